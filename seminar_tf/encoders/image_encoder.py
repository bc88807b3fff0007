"""Image channel: a small Vision Transformer over pixels or over patches already cut (spec section 2)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from seminar_tf.layers import seeding
from seminar_tf.layers.masking import masked_mean
from seminar_tf.layers.transformer_block import TransformerBlock


@tf.keras.utils.register_keras_serializable(package="seminar_tf")
class ImageEncoder(tf.keras.layers.Layer):
    """Patches, embedded linearly with a position each, Transformer blocks, mean over patches, projection W_i.

    Pixels are scaled to [-1, 1] and cut into patches; patches that come cut are taken as they are. The first input
    settles P, the number of patches, each of which has a position of its own.

    Args:
      dim: d.
      heads: attention heads of a block.
      layers: Transformer blocks.
      patch: height and width of a patch in pixels; must divide those of the image. Of no meaning for patches.
      seed: of the initial weights.
    """

    def __init__(self, dim: int, heads: int, layers: int = 1, patch: int = 8, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dim = dim
        self.heads = heads
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
        """Raises: ValueError: neither pixels nor patches, or `patch` does not divide the image."""
        shape = tf.TensorShape(input_shape)
        if shape.rank == 4:
            height, width = shape[1], shape[2]
            if height % self.patch or width % self.patch:
                raise ValueError(f"ImageEncoder: patch ({self.patch}) must divide the image size ({height} x {width}).")
            patches = (height // self.patch) * (width // self.patch)
        elif shape.rank == 3 and shape[1] is not None:
            patches = shape[1]
        else:
            raise ValueError(f"ImageEncoder: expected pixels [n, S, S, 3] or patches [n, P, D], got shape {shape}.")
        self.positions = self.add_weight(
            name="positions",
            shape=(patches, self.dim),
            initializer=seeding.normal(self.seed, "image_positions", 0.02),
        )
        super().build(input_shape)

    def cut(self, pixels: tf.Tensor) -> tf.Tensor:
        """Patches of images.

        Args:
          pixels: [n, S, S, 3] uint8 RGB.

        Returns:
          [n, P, patch * patch * 3] float32 in [-1, 1]: patches row by row, in each its pixels row by row.
        """
        size, (height, width, colours) = self.patch, pixels.shape[1:]
        x = tf.cast(pixels, tf.float32) / 127.5 - 1.0
        x = tf.reshape(x, (-1, height // size, size, width // size, size, colours))
        x = tf.transpose(x, (0, 1, 3, 2, 4, 5))
        return tf.reshape(x, (-1, (height // size) * (width // size), size * size * colours))

    def call(self, images: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Encodes images.

        Args:
          images: [n, S, S, 3] uint8 RGB pixels, or [n, P, D] float32 patches.
          mask: [n, P] bool, False for patches that are padding, wherever they are; None takes all.

        Returns:
          [n, d]; what an image without any patch gives must be masked by the caller.
        """
        patches = self.cut(images) if len(images.shape) == 4 else images
        x = self.embed(patches) + self.positions
        if mask is None:
            mask = tf.ones(tf.shape(x)[:2], tf.bool)
        for block in self.blocks:
            x = block(x, mask)
        return self.project(self.norm(masked_mean(x, mask)))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dim": self.dim,
            "heads": self.heads,
            "layers": self.layers,
            "patch": self.patch,
            "seed": self.seed,
        }
