"""The short branch: target attention over the last S pairs (spec section 5)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from seminar_tf.layers.recency_bias import RecencyBias
from seminar_tf.layers.target_attention import TargetAttention


def last_positions(mask: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Positions of the newest pairs of right-padded histories.

    Args:
      mask: [B, L] bool, True first.
      count: S, how many.

    Returns:
      positions: [B, S] int32 into L, oldest first and the newest last; 0 where the history is shorter.
      valid: [B, S] bool; padding is on the left.
    """
    length = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1, keepdims=True)
    positions = length - count + tf.range(count)[tf.newaxis]
    return tf.maximum(positions, 0), positions >= 0


@tf.keras.utils.register_keras_serializable(package="seminar_tf")
class ShortBranch(tf.keras.layers.Layer):
    """x_short: multi-head attention of each candidate over the last S pairs, with a recency bias of its own.

    Args:
      dim: d.
      heads: H.
      use_recency: add the learned time-gap and position bias.
      seed: of the initial weights.
    """

    def __init__(self, dim: int, heads: int, use_recency: bool = True, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dim = dim
        self.heads = heads
        self.use_recency = use_recency
        self.seed = seed
        self.attention = TargetAttention(dim, heads, seed, name="short_attention")
        self.recency = RecencyBias(heads, name="short_recency") if use_recency else None

    def call(
        self, target: tf.Tensor, pairs: tf.Tensor, mask: tf.Tensor, gap_ms: tf.Tensor, position: tf.Tensor
    ) -> tf.Tensor:
        """Attends over the pairs that the row's candidates share.

        Args:
          target: [B, N, d] candidate pairs.
          pairs: [B, S, d] newest pairs.
          mask: [B, S] bool, False for padding, wherever it is (`last_positions` pads on the left).
          gap_ms: [B, S] int64, request time minus pair time, ms.
          position: [B, S] int32, 0 for the newest.

        Returns:
          [B, N, d] x_short.
        """
        bias = None
        if self.recency is not None:
            bias = tf.transpose(self.recency(gap_ms, position), (0, 2, 1))[:, :, tf.newaxis]
        return self.attention(target, pairs, mask, bias)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dim": self.dim,
            "heads": self.heads,
            "use_recency": self.use_recency,
            "seed": self.seed,
        }
