"""A small pre-norm Transformer block: for titles, image patches and, made causal by its mask, histories."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from seminar_tf.layers import seeding
from seminar_tf.layers.target_attention import TargetAttention


@tf.keras.utils.register_keras_serializable(package="seminar_tf")
class TransformerBlock(tf.keras.layers.Layer):
    """Masked self-attention and a feed-forward layer of twice the width, each added to its input.

    Args:
      dim: d.
      heads: H.
      seed: of the initial weights.
    """

    def __init__(self, dim: int, heads: int, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dim = dim
        self.heads = heads
        self.seed = seed
        # Below 1.001e-5 Keras takes plain ops; the fused kernel that it takes otherwise is slow on CPU.
        self.norm_attention = tf.keras.layers.LayerNormalization(epsilon=1e-6, name="norm_attention")
        self.attention = TargetAttention(dim, heads, seeding.derive(seed, self.name), name="self_attention")
        self.norm_dense = tf.keras.layers.LayerNormalization(epsilon=1e-6, name="norm_dense")
        self.widen = tf.keras.layers.Dense(
            2 * dim, activation="relu", kernel_initializer=seeding.glorot(seed, f"{self.name}/widen"), name="widen"
        )
        self.narrow = tf.keras.layers.Dense(
            dim, kernel_initializer=seeding.glorot(seed, f"{self.name}/narrow"), name="narrow"
        )

    def call(self, x: tf.Tensor, mask: tf.Tensor, bias: tf.Tensor | None = None) -> tf.Tensor:
        """Encodes sequences.

        Args:
          x: [B, T, d].
          mask: [B, T] bool, False for positions never attended to, wherever they are; or [B, T, T], where each
            position (the second axis) has a mask of its own.
          bias: added to alpha, broadcastable to [B, H, T, T], or None.

        Returns:
          [B, T, d]; what stands at masked positions is of no meaning.
        """
        normed = self.norm_attention(x)
        x += self.attention(normed, normed, mask, bias)
        return x + self.narrow(self.widen(self.norm_dense(x)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dim": self.dim, "heads": self.heads, "seed": self.seed}
