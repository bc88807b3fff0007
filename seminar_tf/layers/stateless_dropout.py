"""Dropout whose mask is a function of a seed, so that a resumed run repeats the broken one bit for bit."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from seminar_tf.layers import seeding


@tf.keras.utils.register_keras_serializable(package="seminar_tf")
class StatelessDropout(tf.keras.layers.Layer):
    """Zeroes a share of the entries and scales the rest up, with no random state of its own.

    Args:
      rate: share dropped, in [0, 1).
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, inputs: tf.Tensor, step_seed: tf.Tensor | None = None) -> tf.Tensor:
        """Drops entries where a seed is given (training), else returns the input.

        Args:
          inputs: any shape.
          step_seed: [2] int32, or None for inference.

        Returns:
          A tensor like `inputs`.
        """
        if step_seed is None or self.rate == 0.0:
            return inputs
        return tf.nn.experimental.stateless_dropout(inputs, self.rate, seeding.fold(step_seed, self.name))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}
