"""Text channel: a small Transformer encoder over the tokens of title and text (spec section 2)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from seminar_tf.layers import seeding
from seminar_tf.layers.masking import masked_mean
from seminar_tf.layers.transformer_block import TransformerBlock


@tf.keras.utils.register_keras_serializable(package="seminar_tf")
class TextEncoder(tf.keras.layers.Layer):
    """Token and position embeddings, Transformer blocks, masked mean, projection W_t.

    Args:
      dim: d.
      heads: attention heads of a block.
      layers: Transformer blocks.
      max_tokens: T, positions that get an embedding.
      seed: of the initial weights.
    """

    def __init__(self, dim: int, heads: int, layers: int, max_tokens: int, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dim = dim
        self.heads = heads
        self.layers = layers
        self.max_tokens = max_tokens
        self.seed = seed
        self.blocks = [
            TransformerBlock(dim, heads, seeding.derive(seed, f"text_{n}"), name=f"text_block_{n}")
            for n in range(layers)
        ]
        self.norm = tf.keras.layers.LayerNormalization(name="text_norm")
        self.project = tf.keras.layers.Dense(
            dim, kernel_initializer=seeding.glorot(seed, "text_projection"), name="text_projection"
        )

    def build(self, input_shape: Any) -> None:
        self.positions = self.add_weight(
            name="positions",
            shape=(self.max_tokens, self.dim),
            initializer=seeding.normal(self.seed, "text_positions", 0.02),
        )
        super().build(input_shape)

    def call(self, tokens: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Encodes titles.

        Args:
          tokens: [n, T, d] token embeddings, T at most max_tokens.
          mask: [n, T] bool, False for padding; a token's position is its place in the row, so pad on the right.

        Returns:
          [n, d]; what a text without any token gives is no text's vector and must be masked by the caller.
        """
        x = tokens + self.positions[: tf.shape(tokens)[1]]
        for block in self.blocks:
            x = block(x, mask)
        return self.project(self.norm(masked_mean(x, mask)))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dim": self.dim,
            "heads": self.heads,
            "layers": self.layers,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
        }
