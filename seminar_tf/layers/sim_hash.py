"""SimHash: signs of random projections, equal for two vectors the likelier the smaller the angle between them."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from seminar_tf.layers import seeding


@tf.keras.utils.register_keras_serializable(package="seminar_tf")
class SimHash(tf.keras.layers.Layer):
    """h_i(x) = sign(r_i x), r_i drawn once from a normal distribution and fixed (used by ETA, arXiv 2108.04468).

    Args:
      dim: d.
      bits: m, hash functions.
      seed: of the projections.
    """

    def __init__(self, dim: int, bits: int, seed: int = 0, **kwargs: Any) -> None:
        # In float32 under any policy: a bit must not depend on it.
        super().__init__(dtype="float32", **kwargs)
        self.dim = dim
        self.bits = bits
        self.seed = seed

    def build(self, input_shape: Any) -> None:
        start = seeding.normal(self.seed, f"{self.name}/rotation", 1.0)
        # A weight, so that a saved model hashes as the trained one did.
        self.rotation = self.add_weight(
            name="rotation", shape=(self.dim, self.bits), initializer=start, trainable=False
        )
        super().build(input_shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Bits of vectors; they carry no gradient.

        Args:
          x: [..., d].

        Returns:
          [..., m] float32, 1 and -1: the Hamming distance of a and b is (m - a b) / 2. There is no mask: padding has
          bits too, and whoever compares them leaves it out.
        """
        projected = tf.stop_gradient(tf.cast(x, tf.float32)) @ tf.convert_to_tensor(self.rotation)
        return tf.stop_gradient(tf.where(projected > 0, 1.0, -1.0))

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "dim": self.dim, "bits": self.bits, "seed": self.seed}
        del config["dtype"]
        return config
