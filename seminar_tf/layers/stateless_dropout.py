"""Dropout whose mask is a function of a seed, so that a resumed run repeats the broken one bit for bit."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from seminar_tf.layers import replicas, seeding


@tf.keras.utils.register_keras_serializable(package="seminar_tf")
class StatelessDropout(tf.keras.layers.Layer):
    """Zeroes a share of the entries and scales the rest up, with no random state of its own.

    The mask is drawn for the global batch and each replica takes its rows: it does not depend on how the batch is
    split. It is drawn as integers, which XLA draws as other devices do; floats it would not.

    Args:
      rate: share dropped, in [0, 1).
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, inputs: tf.Tensor, step_seed: tf.Tensor | None = None) -> tf.Tensor:
        """Drops entries where a seed is given (training), else returns the input.

        Args:
          inputs: [n, ...].
          step_seed: [2] int32, or None for inference.

        Returns:
          A tensor like `inputs`.
        """
        if step_seed is None or self.rate == 0.0:
            return inputs
        shape = tf.shape(inputs)
        shape = tf.concat([shape[:1] * replicas.count(), shape[1:]], axis=0)
        seed = seeding.fold(step_seed, self.name)
        bits = tf.random.stateless_uniform(shape, seed, None, None, tf.uint32)
        keep = replicas.own_rows(bits) >= tf.constant(round(self.rate * 2**32), tf.uint32)
        return tf.where(keep, inputs * tf.cast(1.0 / (1.0 - self.rate), inputs.dtype), tf.zeros([], inputs.dtype))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}
