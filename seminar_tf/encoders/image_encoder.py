"""Image channel: a small Vision Transformer over pixels (spec section 2)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from seminar_tf.layers import seeding
from seminar_tf.layers.transformer_block import TransformerBlock


class ImageEncoder(tf.keras.layers.Layer):
    """Patches of pixels, embedded linearly with a position each, one Transformer block a layer, mean, projection W_i.

    Args:
      dim: d.
      heads: attention heads of a block.
      size: S, height and width in pixels.
      layers: Transformer blocks.
      patch: height and width of a patch in pixels; must divide `size`.
      seed: of the initial weights.
    """

    def __init__(
        self, dim: int, heads: int, size: int, layers: int = 1, patch: int = 8, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if size % patch:
            raise ValueError(f"ImageEncoder: patch ({patch}) must divide the image size ({size}).")
        self.dim = dim
        self.heads = heads
        self.size = size
        self.layers = layers
        self.patch = patch
        self.seed = seed
        self.embed = tf.keras.layers.Dense(dim, kernel_initializer=seeding.glorot(seed, "patch"), name="patch")
        self.blocks = [
            TransformerBlock(dim, heads, seeding.derive(seed, f"image_{n}"), name=f"image_block_{n}")
            for n in range(layers)
        ]
        self.norm = tf.keras.layers.LayerNormalization(name="image_norm")
        self.project = tf.keras.layers.Dense(
            dim, kernel_initializer=seeding.glorot(seed, "image_projection"), name="image_projection"
        )

    def build(self, input_shape: Any) -> None:
        self.positions = self.add_weight(
            name="positions",
            shape=((self.size // self.patch) ** 2, self.dim),
            initializer=seeding.normal(self.seed, "image_positions", 0.02),
        )
        super().build(input_shape)

    def call(self, pixels: tf.Tensor) -> tf.Tensor:
        """Encodes images.

        Args:
          pixels: [n, S, S, 3] uint8 RGB.

        Returns:
          [n, d].
        """
        side, patch = self.size // self.patch, self.patch
        x = tf.cast(pixels, tf.float32) / 127.5 - 1.0
        x = tf.reshape(x, (-1, side, patch, side, patch, 3))
        x = tf.reshape(tf.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, side * side, patch * patch * 3))
        x = self.embed(x) + self.positions
        mask = tf.ones(tf.shape(x)[:2], tf.bool)
        for block in self.blocks:
            x = block(x, mask)
        return self.project(self.norm(tf.reduce_mean(x, axis=1)))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dim": self.dim,
            "heads": self.heads,
            "size": self.size,
            "layers": self.layers,
            "patch": self.patch,
            "seed": self.seed,
        }
