"""GSU: which K pairs of a long history matter for a target (spec section 5)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from seminar_tf.layers.masking import NEGATIVE


@tf.keras.utils.register_keras_serializable(package="seminar_tf")
class SearchUnit(tf.keras.layers.Layer):
    """Scores every pair by the mean of the heads' alpha and keeps the best K. Nothing in it carries a gradient.

    The mean over heads folds into one matrix: sum_h (q W_h^Q)(k W_h^K)^T / (H sqrt(d_h)) = q W^Q W^K^T k / (H
    sqrt(d_h)). So a target is folded once, and all scores of a request are one (N, d) x (d, L) product.

    Args:
      dim: d.
      heads: H.
      top_k: K.
      shared: use the exact search unit's W^Q and W^K, given at call time, instead of weights of its own. Its own
        are not trainable: selection has no gradient, so they stay as pretraining left them, or at the identity
        (plain inner product) without pretraining.
    """

    def __init__(self, dim: int, heads: int, top_k: int, shared: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dim = dim
        self.heads = heads
        self.top_k = top_k
        self.shared = shared

    def build(self, input_shape: Any) -> None:
        if not self.shared:
            shape, eye = (self.dim, self.dim), tf.keras.initializers.Identity()
            self.query_kernel = self.add_weight(name="query_kernel", shape=shape, initializer=eye, trainable=False)
            self.key_kernel = self.add_weight(name="key_kernel", shape=shape, initializer=eye, trainable=False)
        super().build(input_shape)

    def scores(
        self,
        target: tf.Tensor,
        keys: tf.Tensor,
        mask: tf.Tensor,
        bias: tf.Tensor | None = None,
        kernels: tuple[tf.Tensor, tf.Tensor] | None = None,
    ) -> tf.Tensor:
        """Mean of the heads' alpha, NEGATIVE where the pair is padding.

        Args:
          target: [B, N, d].
          keys: [B, L, d].
          mask: [B, L] bool; `call` wants it right-padded, True first.
          bias: [B, L], the recency bias averaged over heads, or None.
          kernels: W^Q and W^K ([d, d] each) where they are shared.

        Returns:
          [B, N, L].
        """
        if self.shared and kernels is None:
            raise ValueError("SearchUnit: shared=True needs `kernels`, the W^Q and W^K of the exact search unit.")
        query_kernel, key_kernel = kernels if self.shared and kernels else (self.query_kernel, self.key_kernel)
        scale = 1.0 / (self.heads * (self.dim // self.heads) ** 0.5)
        fold = tf.matmul(query_kernel, key_kernel, transpose_b=True) * scale
        target = tf.stop_gradient(target @ tf.cast(fold, target.dtype))
        scores = tf.matmul(target, tf.stop_gradient(keys), transpose_b=True)
        if bias is not None:
            scores += tf.stop_gradient(tf.cast(bias, scores.dtype))[:, tf.newaxis]
        # Masked before top-K, so that padding never takes a place among the K (known fault 5).
        return tf.where(mask[:, tf.newaxis], scores, tf.cast(NEGATIVE, scores.dtype))

    def call(
        self,
        target: tf.Tensor,
        keys: tf.Tensor,
        mask: tf.Tensor,
        bias: tf.Tensor | None = None,
        kernels: tuple[tf.Tensor, tf.Tensor] | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Positions of the best pairs; arguments as in `scores`.

        Returns:
          positions: [B, N, K'] int32 into L, best first; K' = min(K, L).
          valid: [B, N, K'] bool, False where the history has fewer than K' pairs.
        """
        scores = self.scores(target, keys, mask, bias, kernels)
        _, positions = tf.math.top_k(scores, k=self._k(scores), sorted=False)
        # By length, not by value: histories are right-padded, so a padded position is one at or past the length.
        count = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
        return positions, positions < count[:, tf.newaxis, tf.newaxis]

    def keep(
        self,
        target: tf.Tensor,
        keys: tf.Tensor,
        mask: tf.Tensor,
        bias: tf.Tensor | None = None,
        kernels: tuple[tf.Tensor, tf.Tensor] | None = None,
    ) -> tf.Tensor:
        """The same choice as a mask, for many candidates on a history that is not long.

        Returns:
          [B, N, L] bool with min(K, valid pairs) True entries a row: those that `call` picks, ties included.
        """
        scores = self.scores(target, keys, mask, bias, kernels)
        k = self._k(scores)
        last = tf.reduce_min(tf.math.top_k(scores, k=k, sorted=False)[0], axis=-1, keepdims=True)
        above, ties = scores > last, tf.equal(scores, last)
        # top_k prefers the lower position among equals.
        left = k - tf.reduce_sum(tf.cast(above, tf.int32), axis=-1, keepdims=True)
        chosen = above | (ties & (tf.cumsum(tf.cast(ties, tf.int32), axis=-1) <= left))
        return chosen & mask[:, tf.newaxis]

    def _k(self, scores: tf.Tensor) -> int | tf.Tensor:
        length = scores.shape[-1]
        return min(self.top_k, length) if length is not None else tf.minimum(self.top_k, tf.shape(scores)[-1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dim": self.dim,
            "heads": self.heads,
            "top_k": self.top_k,
            "shared": self.shared,
        }
