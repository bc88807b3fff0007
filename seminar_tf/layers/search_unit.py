"""GSU: which K pairs of a long history matter for a target (spec section 5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from seminar_tf.layers.largest import largest
from seminar_tf.layers.masking import NEGATIVE

# Folded targets [B, n, d] -> their inner products with the L pairs of each row, [B, n, L].
Products = Callable[[tf.Tensor], tf.Tensor]


def kept(scores: tf.Tensor, k: int | tf.Tensor) -> tf.Tensor:
    """Which entries top_k takes, without sorting: [R, L] scores -> [R, L] bool with k True a row.

    The k-th value is found by selection, which costs O(L) a row. Only rows with more than k entries at or above it
    need a closer look: among equals top_k takes the first ones.
    """
    last = tf.raw_ops.NthElement(input=scores, n=k - 1, reverse=True)[:, tf.newaxis]
    chosen = scores >= last
    tied = tf.reshape(tf.where(tf.math.count_nonzero(chosen, axis=-1, dtype=tf.int32) > k), [-1])
    some, threshold = tf.gather(scores, tied), tf.gather(last, tied)
    above, ties = some > threshold, tf.equal(some, threshold)
    left = k - tf.reduce_sum(tf.cast(above, tf.int32), axis=-1, keepdims=True)
    exact = above | (ties & (tf.cumsum(tf.cast(ties, tf.int32), axis=-1) <= left))
    return tf.tensor_scatter_nd_update(chosen, tied[:, tf.newaxis], exact)


def _products_with(keys: tf.Tensor) -> Products:
    return lambda folded: tf.matmul(folded, keys, transpose_b=True)


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
      per_head: each head keeps the best K by its own alpha, instead of all heads the same K by their mean. Scores,
        positions and masks then have an axis of H after N, and the bias one after L.
    """

    def __init__(
        self, dim: int, heads: int, top_k: int, shared: bool = False, per_head: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.dim = dim
        self.heads = heads
        self.top_k = top_k
        self.shared = shared
        self.per_head = per_head

    def build(self, input_shape: Any) -> None:
        if not self.shared:
            shape, eye = (self.dim, self.dim), tf.keras.initializers.Identity()
            self.query_kernel = self.add_weight(name="query_kernel", shape=shape, initializer=eye, trainable=False)
            self.key_kernel = self.add_weight(name="key_kernel", shape=shape, initializer=eye, trainable=False)
        super().build(input_shape)

    def scores(
        self,
        target: tf.Tensor,
        keys: tf.Tensor | Products,
        mask: tf.Tensor,
        bias: tf.Tensor | None = None,
        kernels: tuple[tf.Tensor, tf.Tensor] | None = None,
    ) -> tf.Tensor:
        """Mean of the heads' alpha (each head's with `per_head`), NEGATIVE where the pair is padding.

        Args:
          target: [B, N, d].
          keys: [B, L, d], or what multiplies targets with them, where they are held as codes.
          mask: [B, L] bool; `call` wants it right-padded, True first.
          bias: [B, L], the recency bias averaged over heads ([B, L, H] with `per_head`), or None.
          kernels: W^Q and W^K ([d, d] each) where they are shared.

        Returns:
          [B, N, L], or [B, N, H, L] with `per_head`.
        """
        if self.shared and kernels is None:
            raise ValueError("SearchUnit: shared=True needs `kernels`, the W^Q and W^K of the exact search unit.")
        query_kernel, key_kernel = kernels if self.shared and kernels else (self.query_kernel, self.key_kernel)
        products = keys if callable(keys) else _products_with(tf.stop_gradient(keys))
        scores = self._alpha(target, products, query_kernel, key_kernel)
        if bias is not None:
            bias = tf.stop_gradient(tf.cast(bias, scores.dtype))
            scores += tf.transpose(bias, (0, 2, 1))[:, tf.newaxis] if self.per_head else bias[:, tf.newaxis]
        # Masked before top-K, so that padding never takes a place among the K (known fault 5).
        return tf.where(self._over_lists(mask), scores, tf.cast(NEGATIVE, scores.dtype))

    def _alpha(
        self, target: tf.Tensor, products: Products, query_kernel: tf.Tensor, key_kernel: tf.Tensor
    ) -> tf.Tensor:
        """alpha without bias, in the shape of `scores`."""
        head_dim = self.dim // self.heads
        if not self.per_head:
            fold = tf.matmul(query_kernel, key_kernel, transpose_b=True) / (self.heads * head_dim**0.5)
            return products(tf.stop_gradient(target @ tf.cast(fold, target.dtype)))
        split = (self.dim, self.heads, head_dim)
        fold = tf.einsum("dhe,fhe->dhf", tf.reshape(query_kernel, split), tf.reshape(key_kernel, split)) / head_dim**0.5
        folded = target @ tf.cast(tf.reshape(fold, (self.dim, self.heads * self.dim)), target.dtype)
        shape = tf.shape(target)
        folded = tf.reshape(folded, (shape[0], shape[1] * self.heads, self.dim))
        scores = products(tf.stop_gradient(folded))
        return tf.reshape(scores, (shape[0], shape[1], self.heads, tf.shape(scores)[-1]))

    def _over_lists(self, x: tf.Tensor) -> tf.Tensor:
        """[B, L] -> a view that broadcasts over the lists of a request: [B, 1, L], or [B, 1, 1, L]."""
        return x[:, tf.newaxis, tf.newaxis] if self.per_head else x[:, tf.newaxis]

    def call(
        self,
        target: tf.Tensor,
        keys: tf.Tensor | Products,
        mask: tf.Tensor,
        bias: tf.Tensor | None = None,
        kernels: tuple[tf.Tensor, tf.Tensor] | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Positions of the best pairs; arguments as in `scores`.

        Returns:
          positions: [B, N, K'] int32 into L, best first; K' = min(K, L). [B, N, H, K'] with `per_head`.
          valid: bool of the same shape, False where the history has fewer than K' pairs.
        """
        scores = self.scores(target, keys, mask, bias, kernels)
        positions = largest(scores, self._k(scores))
        # By length, not by value: histories are right-padded, so a padded position is one at or past the length.
        count = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1, keepdims=True)
        return positions, positions < self._over_lists(count)

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
          [B, N, L] bool ([B, N, H, L] with `per_head`) with min(K, valid pairs) True entries a row: those that `call`
          picks, ties included.
        """
        scores = self.scores(target, keys, mask, bias, kernels)
        rows = tf.reshape(scores, (-1, tf.shape(scores)[-1]))
        return tf.reshape(kept(rows, self._k(scores)), tf.shape(scores)) & self._over_lists(mask)

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
            "per_head": self.per_head,
        }
