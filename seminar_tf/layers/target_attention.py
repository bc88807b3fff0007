"""Multi-head target attention: head_h = Attention_h(q_t, K, V) (spec section 4)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from seminar_tf.layers import seeding
from seminar_tf.layers.masking import NEGATIVE
from seminar_tf.layers.projection import project


def softmax_weights(alpha: tf.Tensor, mask: tf.Tensor, bias: tf.Tensor | None) -> tf.Tensor:
    """Softmax of alpha + bias over the valid keys; rows without any are for `_without_empty`.

    Mask and bias become one term first, in the smaller shape that they broadcast from, so that the tensor of all
    weights, the largest here, is passed over once.
    """
    offset = tf.where(mask, 0.0 if bias is None else tf.cast(bias, tf.float32), NEGATIVE)
    return tf.cast(tf.nn.softmax(tf.cast(alpha, tf.float32) + offset, axis=-1), alpha.dtype)


def _without_empty(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Zeros in the rows that have no valid key: values [.., n, d], mask [.., n or 1, keys] -> [.., n, d]."""
    return values * tf.cast(tf.reduce_any(mask, axis=-1), values.dtype)[..., tf.newaxis]


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
      key_dim: width of the keys where that is not d.
    """

    def __init__(self, dim: int, heads: int, seed: int = 0, key_dim: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if dim % heads:
            raise ValueError(f"TargetAttention: heads ({heads}) must divide dim ({dim}).")
        self.dim = dim
        self.heads = heads
        self.seed = seed
        self.key_dim = key_dim or dim
        self.head_dim = dim // heads

    def build(self, input_shape: Any) -> None:
        def kernel(name: str, rows: int) -> tf.Variable:
            return self.add_weight(
                name=name, shape=(rows, self.dim), initializer=seeding.glorot(self.seed, f"{self.name}/{name}")
            )

        self.query_kernel = kernel("query_kernel", self.dim)  # W^Q, heads side by side
        self.key_kernel = kernel("key_kernel", self.key_dim)  # W^K
        self.value_kernel = kernel("value_kernel", self.key_dim)  # W^V
        self.output_kernel = kernel("output_kernel", self.dim)  # W^O (W^ESU in the exact search unit)
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
          mask: [B, L], [B, N, L] or, with keys of each head's own choice, [B, H, N, L] bool, False for keys that have
            no part, wherever they are.
          bias: added to alpha, broadcastable to [B, H, N, L], or None.

        Returns:
          [B, N, d]; zeros where no key is valid.
        """
        if len(mask.shape) < 4:
            mask = mask[:, tf.newaxis, tf.newaxis] if len(mask.shape) == 2 else mask[:, tf.newaxis]
        count = target.shape[1]
        if count is not None and count * self.heads <= self.dim:
            return self._few(target, keys, mask, bias)
        # The scale goes on the N targets, not on the N x L scores.
        query = self._split(project(target, self.query_kernel) * self.head_dim**-0.5)
        alpha = tf.matmul(query, self._split(project(keys, self.key_kernel)), transpose_b=True)
        values = self._split(project(keys, self.value_kernel))
        heads = tf.transpose(_without_empty(softmax_weights(alpha, mask, bias) @ values, mask), (0, 2, 1, 3))
        return project(tf.reshape(heads, tf.shape(target)), self.output_kernel)

    def _few(self, target: tf.Tensor, keys: tf.Tensor, mask: tf.Tensor, bias: tf.Tensor | None) -> tf.Tensor:
        """`call` with the projections on the targets' side: less work while N H <= d. mask: [B, 1 or H, 1 or N, L]."""
        shape, length = tf.shape(target), tf.shape(keys)[1]
        rows = (shape[0], shape[1] * self.heads, self.key_dim)
        alpha = tf.matmul(tf.reshape(self._folded(target), rows), keys, transpose_b=True)
        alpha = tf.reshape(alpha, (shape[0], shape[1], self.heads, length))
        mask = tf.transpose(mask, (0, 2, 1, 3))
        weights = softmax_weights(alpha, mask, None if bias is None else tf.transpose(bias, (0, 2, 1, 3)))
        mixed = tf.reshape(weights, (shape[0], shape[1] * self.heads, length)) @ keys
        return self._unfolded(tf.reshape(mixed, (shape[0], shape[1], self.heads, self.key_dim)), mask)

    def gathered(self, target: tf.Tensor, keys: tf.Tensor, mask: tf.Tensor, bias: tf.Tensor | None = None) -> tf.Tensor:
        """Attention of each target over keys of its own.

        Args:
          target: [B, N, d].
          keys: [B, N, K, d], values too; [B, N, H, K, d] where each head has its own.
          mask: [B, N, K] bool, False for keys that have no part, wherever they are; [B, N, H, K] where each head has
            its own keys.
          bias: [B, N, H, K], added to alpha, or None.

        Returns:
          [B, N, d]; zeros where no key is valid.
        """
        if len(keys.shape) == 5:
            return self._per_head(target, keys, mask, bias)
        return self._unfolded(self.weights_of(target, keys, mask, bias) @ keys, mask[:, :, tf.newaxis])

    def weights_of(
        self, target: tf.Tensor, keys: tf.Tensor, mask: tf.Tensor, bias: tf.Tensor | None = None
    ) -> tf.Tensor:
        """The weights that `gathered` gives its keys; arguments as there.

        Returns:
          [B, N, H, K]; all equal where no key is valid.
        """
        if len(keys.shape) == 5:
            return softmax_weights(tf.linalg.matvec(keys, self._folded(target)), mask, bias)
        return softmax_weights(tf.matmul(self._folded(target), keys, transpose_b=True), mask[:, :, tf.newaxis], bias)

    def _per_head(self, target: tf.Tensor, keys: tf.Tensor, mask: tf.Tensor, bias: tf.Tensor | None) -> tf.Tensor:
        """`gathered` with keys [B, N, H, K, d] and mask [B, N, H, K]."""
        return self._unfolded(tf.linalg.matvec(keys, self.weights_of(target, keys, mask, bias), transpose_a=True), mask)

    def _folded(self, target: tf.Tensor) -> tf.Tensor:
        """(q W_h^Q) W_h^K^T / sqrt(d_h), to be multiplied with keys as they are: [B, N, d] -> [B, N, H, key_dim]."""
        shape = tf.shape(target)
        query = project(target, self.query_kernel) * self.head_dim**-0.5
        query = tf.reshape(query, (shape[0], shape[1], self.heads, self.head_dim))
        kernel = tf.reshape(tf.cast(self.key_kernel, target.dtype), (self.key_dim, self.heads, self.head_dim))
        return tf.einsum("bnhe,dhe->bnhd", query, kernel)

    def _unfolded(self, mixed: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """W_h^V and W^O on attention-weighted means of keys: [B, N, H, d], mask [B, N or 1, H or 1, n] -> [B, N, d]."""
        mixed, shape = _without_empty(mixed, mask), tf.shape(mixed)
        values = tf.reshape(tf.cast(self.value_kernel, mixed.dtype), (self.key_dim, self.heads, self.head_dim))
        heads = tf.einsum("bnhd,dhe->bnhe", mixed, values)
        return project(tf.reshape(heads, (shape[0], shape[1], self.dim)), self.output_kernel)

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "dim": self.dim, "heads": self.heads, "seed": self.seed}
        return config if self.key_dim == self.dim else {**config, "key_dim": self.key_dim}
