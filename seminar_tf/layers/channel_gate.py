"""The channel gate: x_pair = sum_m gamma_m x^(m) (spec section 3)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from seminar_tf.layers.masking import NEGATIVE, masked_softmax


@tf.keras.utils.register_keras_serializable(package="seminar_tf")
class ChannelGate(tf.keras.layers.Layer):
    """Softmax over channels, each logit a function of its own channel: logit_m = w_m . x^(m) + b_m.

    Because a logit sees one channel only, the item channels of a pair can be fused before the query is known: `fuse`
    gives their gated mean and the log of their total weight, and `combine` puts two such parts together. That equals
    the softmax over all M + 1 channels, so an item costs d + 1 numbers however many channels it has.

    Args:
      channels: number of channels, query first.
      dim: d, width of a channel.
      learned: False gives every present channel the same weight (the ablation "no gate").
    """

    def __init__(self, channels: int, dim: int, learned: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels = channels
        self.dim = dim
        self.learned = learned

    def build(self, input_shape: Any) -> None:
        if self.learned:
            # Zeros: training starts from equal weights, whatever the scale of a channel.
            self.kernel = self.add_weight(name="kernel", shape=(self.channels, self.dim), initializer="zeros")
            self.bias = self.add_weight(name="bias", shape=(self.channels,), initializer="zeros")
        super().build(input_shape)

    def logits(self, x: tf.Tensor, first: int = 0) -> tf.Tensor:
        """Gate logits of channels `first`, `first` + 1, ...

        Args:
          x: [..., C, d] channel vectors.
          first: index of the first of them among all channels.

        Returns:
          [..., C] float32 under any policy: NEGATIVE would be -inf in float16, and the difference of two such a NaN.
        """
        count = x.shape[-2]
        if not self.learned:
            return tf.zeros_like(x[..., 0], tf.float32)
        kernel = tf.cast(self.kernel[first : first + count], x.dtype)
        return tf.cast(tf.reduce_sum(x * kernel, axis=-1), tf.float32) + self._biases(first, count)

    def _biases(self, first: int, count: int) -> tf.Tensor:
        return tf.cast(self.bias[first : first + count], tf.float32)

    def fuse(self, x: tf.Tensor, mask: tf.Tensor, first: int = 0) -> tuple[tf.Tensor, tf.Tensor]:
        """Gated mean of some channels and the log of their weight, for `combine`.

        Args:
          x: [..., C, d] channel vectors.
          mask: [..., C] bool, False where the channel is missing, whichever it is.
          first: index of the first of them among all channels.

        Returns:
          vector: [..., d], zeros where all are missing.
          log_weight: [...], log sum of exp(logit) over present channels; NEGATIVE where all are missing.
        """
        weights, log_weight = self.shares(self.logits(x, first), mask)
        return tf.reduce_sum(x * tf.cast(weights, x.dtype)[..., tf.newaxis], axis=-2), log_weight

    def weights_before(
        self, x: tf.Tensor, mask: tf.Tensor, projections: tf.Tensor, first: int = 0
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Weights of channels that are yet to be projected: w_m . (x G_m) = (G_m w_m) . x.

        Args:
          x: [n, C, d] channel vectors, not projected.
          mask: [n, C] bool, False where the channel is missing.
          projections: [C, d, d] G of these channels; the gate's channels are x^(m) G_m.
          first: index of the first of them among all channels.

        Returns:
          weights: [n, C], the softmax over these channels; zeros where all are missing.
          log_weight: [n] as in `fuse`.
        """
        if self.learned:
            count = x.shape[-2]
            kernel = tf.cast(self.kernel[first : first + count], x.dtype)
            kernel = tf.linalg.matvec(projections, kernel)
            logits = tf.cast(tf.reduce_sum(x * kernel, axis=-1), tf.float32) + self._biases(first, count)
        else:
            logits = self.logits(x, first)
        return self.shares(logits, mask)

    @staticmethod
    def shares(logits: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Weights of some channels among themselves, and the log of their weight beside others, for `combine`.

        Args:
          logits: [..., C] gate logits.
          mask: [..., C] bool, False where the channel is missing.

        Returns:
          [..., C], the softmax over these channels, and [...] as in `fuse`.
        """
        log_weight = tf.reduce_logsumexp(tf.where(mask, logits, NEGATIVE), axis=-1)
        log_weight = tf.where(tf.reduce_any(mask, axis=-1), log_weight, NEGATIVE)
        return masked_softmax(logits, mask), log_weight

    @staticmethod
    def combine(a: tf.Tensor, log_weight_a: tf.Tensor, b: tf.Tensor, log_weight_b: tf.Tensor) -> tf.Tensor:
        """The pair vector of two fused parts.

        Args:
          a, b: [..., d] fused vectors.
          log_weight_a, log_weight_b: [...] their log weights.

        Returns:
          [..., d]; zeros where both parts are missing (then both vectors are zeros).
        """
        share = tf.cast(tf.sigmoid(log_weight_a - log_weight_b), a.dtype)[..., tf.newaxis]
        return b + share * (a - b)

    def weights_of(self, x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """gamma: [..., M+1, d] channels and [..., M+1] mask -> [..., M+1] weights."""
        return masked_softmax(self.logits(x), mask)

    def call(self, x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """x_pair of all channels at once.

        Args:
          x: [..., M+1, d].
          mask: [..., M+1] bool.

        Returns:
          [..., d].
        """
        return self.fuse(x, mask)[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels, "dim": self.dim, "learned": self.learned}
