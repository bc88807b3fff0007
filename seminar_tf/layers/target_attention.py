"""Multi-head target attention: head_h = Attention_h(q_t, K, V) (spec section 4)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from seminar_tf.layers import seeding
from seminar_tf.layers.masking import masked_softmax
from seminar_tf.layers.projection import project


@tf.keras.utils.register_keras_serializable(package="seminar_tf")
class TargetAttention(tf.keras.layers.Layer):
    """alpha_h = (q_t W_h^Q)(K W_h^K)^T / sqrt(d_h); output = Concat(head_1 .. head_H) W^O.

    Keys come in two forms. `call` takes keys that all targets of a row share, projects them once and scores by one
    matrix product. `gathered` takes keys chosen for each target; there W_h^K and W_h^V are moved over to the target's
    side ((q W^Q) W^K^T k = (q W^Q)(k W^K)^T), so that the many keys are never projected. Both give the same numbers.

    Args:
      dim: d, width of targets, keys and output.
      heads: H; d_h = d / H.
      seed: of the initial weights.
    """

    def __init__(self, dim: int, heads: int, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if dim % heads:
            raise ValueError(f"TargetAttention: heads ({heads}) must divide dim ({dim}).")
        self.dim = dim
        self.heads = heads
        self.seed = seed
        self.head_dim = dim // heads

    def build(self, input_shape: Any) -> None:
        def kernel(name: str) -> tf.Variable:
            return self.add_weight(
                name=name, shape=(self.dim, self.dim), initializer=seeding.glorot(self.seed, f"{self.name}/{name}")
            )

        self.query_kernel = kernel("query_kernel")  # W^Q, heads side by side
        self.key_kernel = kernel("key_kernel")  # W^K
        self.value_kernel = kernel("value_kernel")  # W^V
        self.output_kernel = kernel("output_kernel")  # W^O (W^ESU in the exact search unit)
        super().build(input_shape)

    def _split(self, x: tf.Tensor) -> tf.Tensor:
        """[B, n, d] -> [B, H, n, d_h]."""
        shape = tf.shape(x)
        return tf.transpose(tf.reshape(x, (shape[0], shape[1], self.heads, self.head_dim)), (0, 2, 1, 3))

    def call(self, target: tf.Tensor, keys: tf.Tensor, mask: tf.Tensor, bias: tf.Tensor | None = None) -> tf.Tensor:
        """Attention of each target over keys that the row shares.

        Args:
          target: [B, N, d].
          keys: [B, L, d], values too.
          mask: [B, L] or [B, N, L] bool, False for keys that have no part, wherever they are.
          bias: added to alpha, broadcastable to [B, H, N, L], or None.

        Returns:
          [B, N, d]; zeros where no key is valid.
        """
        # The scale goes on the N targets, not on the N x L scores.
        query = self._split(project(target, self.query_kernel) * self.head_dim**-0.5)
        alpha = tf.matmul(query, self._split(project(keys, self.key_kernel)), transpose_b=True)
        if bias is not None:
            alpha += tf.cast(bias, alpha.dtype)
        mask = mask[:, tf.newaxis, tf.newaxis, :] if len(mask.shape) == 2 else mask[:, tf.newaxis]
        values = self._split(project(keys, self.value_kernel))
        heads = tf.transpose(masked_softmax(alpha, mask) @ values, (0, 2, 1, 3))
        return project(tf.reshape(heads, tf.shape(target)), self.output_kernel)

    def gathered(self, target: tf.Tensor, keys: tf.Tensor, mask: tf.Tensor, bias: tf.Tensor | None = None) -> tf.Tensor:
        """Attention of each target over keys of its own.

        Args:
          target: [B, N, d].
          keys: [B, N, K, d], values too.
          mask: [B, N, K] bool, False for keys that have no part, wherever they are.
          bias: [B, N, H, K], added to alpha, or None.

        Returns:
          [B, N, d]; zeros where no key is valid.
        """
        shape = tf.shape(target)
        per_head = (self.dim, self.heads, self.head_dim)
        query = project(target, self.query_kernel) * self.head_dim**-0.5
        query = tf.reshape(query, (shape[0], shape[1], self.heads, self.head_dim))
        folded = tf.einsum("bnhe,dhe->bnhd", query, tf.reshape(tf.cast(self.key_kernel, target.dtype), per_head))
        alpha = tf.matmul(folded, keys, transpose_b=True)
        if bias is not None:
            alpha += tf.cast(bias, alpha.dtype)
        mixed = masked_softmax(alpha, mask[:, :, tf.newaxis, :]) @ keys
        values = tf.reshape(tf.cast(self.value_kernel, target.dtype), per_head)
        heads = tf.einsum("bnhd,dhe->bnhe", mixed, values)
        return project(tf.reshape(heads, shape), self.output_kernel)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dim": self.dim, "heads": self.heads, "seed": self.seed}
