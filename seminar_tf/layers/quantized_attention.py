"""Target attention over product-quantized multi-modal keys (spec section 6)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from seminar_tf.layers import seeding
from seminar_tf.layers.centroids import code_rows, inner_products, looked_up
from seminar_tf.layers.product_quantizer import ProductQuantizer
from seminar_tf.layers.target_attention import TargetAttention, softmax_weights


@tf.keras.utils.register_keras_serializable(package="seminar_tf")
class QuantizedTargetAttention(TargetAttention):
    """TargetAttention whose keys are gated channels, each product-quantized by a codebook of its own.

    `call` takes the channels' vectors, quantizes them with gradients straight through and attends: for training.
    `attend` takes their codes and never sees a vector of length d for a key: scores are inner products looked up by
    code (asymmetric distance, the target is not quantized), and a head's mean of keys is a mean of centroids by their
    total weight. Both give the same numbers.

    Args:
      dim, heads, seed: as in TargetAttention.
      channels: M+1.
      subvectors: S of each channel, which divides d.
      size: C, 256 at most.
      commitment: weight of the commitment loss (ProductQuantizer).
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        channels: int,
        subvectors: int = 8,
        size: int = 256,
        commitment: float = 0.25,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(dim, heads, seed, **kwargs)
        self.channels, self.subvectors, self.size, self.commitment = channels, subvectors, size, commitment
        self.quantizers = [
            ProductQuantizer(dim, subvectors, size, commitment, seeding.derive(seed, f"channel{m}"), name=f"channel{m}")
            for m in range(channels)
        ]

    def build(self, input_shape: Any) -> None:
        for quantizer in self.quantizers:
            quantizer.build(None)
        super().build(input_shape)

    def call(
        self,
        target: tf.Tensor,
        keys: tuple[tf.Tensor, tf.Tensor],
        mask: tf.Tensor,
        bias: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Attention over quantized keys that the row shares.

        Args:
          target: [B, N, d].
          keys: [B, L, M+1, d] channel vectors of the pairs, and [B, L, M+1] their gate weights, 0 where a channel is
            missing; such vectors have no part in the losses.
          mask, bias: as in TargetAttention.call.

        Returns:
          [B, N, d]; zeros where no key is valid.
        """
        channels, gamma = keys
        valid = mask if len(mask.shape) == 2 else tf.ones_like(gamma[..., 0], tf.bool)
        parts = [
            quantizer(channels[:, :, m], valid & (gamma[:, :, m] > 0)) for m, quantizer in enumerate(self.quantizers)
        ]
        fused = tf.reduce_sum(tf.stack(parts, axis=2) * tf.cast(gamma, target.dtype)[..., tf.newaxis], axis=2)
        return super().call(target, fused, mask, bias)

    def encode(self, channels: tf.Tensor) -> tf.Tensor:
        """Channel vectors [..., M+1, d] -> codes [..., M+1, S] uint8."""
        self._ensure_built()
        return tf.stack([q.encode(channels[..., m, :]) for m, q in enumerate(self.quantizers)], axis=-2)

    def attend(
        self, target: tf.Tensor, codes: tf.Tensor, gamma: tf.Tensor, mask: tf.Tensor, bias: tf.Tensor | None = None
    ) -> tf.Tensor:
        """`call` from codes, for few targets: time and memory O(N H L (M+1) S).

        Args:
          target: [B, N, d].
          codes: [B, L, M+1, S] uint8.
          gamma: [B, L, M+1].
          mask: [B, L] bool.
          bias: added to alpha, broadcastable to [B, H, N, L], or None.

        Returns:
          [B, N, d].
        """
        self._ensure_built()
        bias = None if bias is None else tf.transpose(bias, (0, 2, 1, 3))
        shape, length = tf.shape(target), tf.shape(codes)[1]
        gamma = tf.cast(gamma, tf.float32)
        centroids = tf.cast(tf.stack([tf.convert_to_tensor(q.centroids) for q in self.quantizers]), tf.float32)
        folded = tf.reshape(self._folded(target), (shape[0], shape[1] * self.heads, self.dim))
        alpha = looked_up(inner_products(tf.cast(folded, tf.float32), centroids), codes, gamma)
        alpha = tf.reshape(alpha, (shape[0], shape[1], self.heads, length))
        mask = mask[:, tf.newaxis, tf.newaxis]
        weights = tf.reshape(softmax_weights(alpha, mask, bias), (shape[0], shape[1] * self.heads, length))
        mixed = self._mixed(weights, codes, gamma, centroids)
        mixed = tf.reshape(tf.cast(mixed, target.dtype), (shape[0], shape[1], self.heads, self.dim))
        return self._unfolded(mixed, mask)

    def _ensure_built(self) -> None:
        """These methods may be called before `call` is."""
        if not self.built:
            self.build(None)

    def _mixed(self, weights: tf.Tensor, codes: tf.Tensor, gamma: tf.Tensor, centroids: tf.Tensor) -> tf.Tensor:
        """Weighted means of the keys: [B, n, L] -> [B, n, d], by the weight that falls to each centroid."""
        batch, count = tf.shape(weights)[0], tf.shape(weights)[1]
        bins = self.channels * self.subvectors * self.size
        rows = code_rows(codes, self.size) + (tf.range(batch) * bins)[:, tf.newaxis, tf.newaxis, tf.newaxis]
        each = tf.transpose(weights, (0, 2, 1))[:, :, tf.newaxis] * gamma[..., tf.newaxis]  # [B, L, M+1, n]
        each = tf.broadcast_to(each[:, :, :, tf.newaxis], tf.concat([tf.shape(codes), [count]], axis=0))
        totals = tf.math.unsorted_segment_sum(tf.reshape(each, (-1, count)), tf.reshape(rows, [-1]), batch * bins)
        totals = tf.reshape(totals, (batch, self.channels, self.subvectors, self.size, count))
        parts = tf.einsum("bmscn,msce->bnse", totals, centroids)
        return tf.reshape(parts, (batch, count, self.dim))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "channels": self.channels,
            "subvectors": self.subvectors,
            "size": self.size,
            "commitment": self.commitment,
        }
