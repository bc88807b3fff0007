"""A learned bias for a pair's time gap and position (spec section 5, TWIN's cross-feature bias)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

GAP_BUCKETS = 64
POSITION_BUCKETS = 56


@tf.keras.utils.register_keras_serializable(package="seminar_tf")
class RecencyBias(tf.keras.layers.Layer):
    """bias_h = gap_table[bucket(time gap), h] + position_table[bucket(position), h].

    Buckets are logarithmic: half octaves of seconds for the gap (63 at 94 years), quarter octaves for the position
    counted from the newest pair, exact for the newest five (55 at 65,000 pairs). There is no mask: every pair gets a
    bias, padding too, and whoever adds it to scores masks those.

    Args:
      heads: H.
    """

    def __init__(self, heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads = heads

    def build(self, input_shape: Any) -> None:
        self.gap_table = self.add_weight(name="gap_table", shape=(GAP_BUCKETS, self.heads), initializer="zeros")
        self.position_table = self.add_weight(
            name="position_table", shape=(POSITION_BUCKETS, self.heads), initializer="zeros"
        )
        super().build(input_shape)

    @staticmethod
    def gap_bucket(gap_ms: tf.Tensor) -> tf.Tensor:
        """Bucket of a time gap: int64 ms, any shape -> int32; a negative gap (clock skew) counts as none."""
        seconds = tf.cast(tf.maximum(gap_ms, 0), tf.float32) / 1000.0
        # The small term keeps exact powers of two on one side of floor on every device.
        bucket = tf.cast(tf.floor(2.0 * tf.math.log1p(seconds) * 1.4426950408889634 + 1e-3), tf.int32)
        return tf.minimum(bucket, GAP_BUCKETS - 1)

    @staticmethod
    def position_bucket(position: tf.Tensor) -> tf.Tensor:
        """Bucket of a position from the newest pair (0): int32, any shape -> int32; negative counts as 0."""
        steps = tf.cast(tf.maximum(position, 0), tf.float32) / 4.0
        bucket = tf.cast(tf.floor(4.0 * tf.math.log1p(steps) * 1.4426950408889634 + 1e-3), tf.int32)
        return tf.minimum(bucket, POSITION_BUCKETS - 1)

    def call(self, gap_ms: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
        """Bias of every pair.

        Args:
          gap_ms: [...] int64, request time minus pair time, ms.
          position: [...] int32, pairs between this one and the newest visible one.

        Returns:
          [..., H] float32.
        """
        gap = tf.nn.embedding_lookup(self.gap_table, self.gap_bucket(gap_ms))
        return gap + tf.nn.embedding_lookup(self.position_table, self.position_bucket(position))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads}
