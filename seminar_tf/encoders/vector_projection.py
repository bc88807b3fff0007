"""A supplied text or image vector as a channel: normalised and projected to d (spec section 2)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from seminar_tf.layers import seeding


@tf.keras.utils.register_keras_serializable(package="seminar_tf")
class VectorProjection(tf.keras.layers.Layer):
    """Layer normalisation, so that the supplier's scale does not matter, then a linear map to d.

    Args:
      dim: d.
      seed: of the initial weights.
    """

    def __init__(self, dim: int, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dim = dim
        self.seed = seed
        self.norm = tf.keras.layers.LayerNormalization(name="norm")
        self.project = tf.keras.layers.Dense(
            dim, kernel_initializer=seeding.glorot(seed, f"{self.name}/projection"), name="projection"
        )

    def call(self, vectors: tf.Tensor) -> tf.Tensor:
        """Projects vectors, each by itself, so that there is no mask: the caller masks items without one.

        Args:
          vectors: [n, D] float32.

        Returns:
          [n, d].
        """
        return self.project(self.norm(vectors))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dim": self.dim, "seed": self.seed}
