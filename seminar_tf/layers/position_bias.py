"""A learned bias for how many pairs lie between two pairs of a sequence."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from seminar_tf.layers.recency_bias import POSITION_BUCKETS, RecencyBias


@tf.keras.utils.register_keras_serializable(package="seminar_tf")
class PositionBias(tf.keras.layers.Layer):
    """bias_h = table[bucket(steps), h], with the position buckets of RecencyBias.

    Args:
      heads: H.
    """

    def __init__(self, heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads = heads

    def build(self, input_shape: Any) -> None:
        self.table = self.add_weight(name="table", shape=(POSITION_BUCKETS, self.heads), initializer="zeros")
        super().build(input_shape)

    def call(self, steps: tf.Tensor) -> tf.Tensor:
        """Bias of every distance.

        Args:
          steps: [...] int32, from one pair back to another; negative counts as 0.

        Returns:
          [..., H] float32.
        """
        return tf.gather(self.table, RecencyBias.position_bucket(steps))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads}
