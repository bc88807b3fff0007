"""The learned pair <EOS> attending over a history: what the user wants next (spec section 4)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from seminar_tf.layers import seeding
from seminar_tf.layers.position_bias import PositionBias
from seminar_tf.layers.recency_bias import RecencyBias
from seminar_tf.layers.target_attention import TargetAttention
from seminar_tf.layers.transformer_block import TransformerBlock


@tf.keras.utils.register_keras_serializable(package="seminar_tf")
class InterestUnit(tf.keras.layers.Layer):
    """Multi-head target attention with <EOS> as the target, then a feed-forward layer added to its output.

    With `layers`, causal Transformer blocks run over the pairs first, so that <EOS> sees each pair in the light of
    those before it (as in SASRec, arXiv 1808.09781). A block's output at a pair depends on no later pair, so all
    windows of a history share one pass.

    Args:
      dim: d.
      heads: H.
      use_recency: add the learned time-gap and position bias.
      layers: causal Transformer blocks.
      seed: of the initial weights.
    """

    def __init__(
        self, dim: int, heads: int, use_recency: bool = True, layers: int = 0, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.dim = dim
        self.heads = heads
        self.use_recency = use_recency
        self.layers = layers
        self.seed = seed
        self.blocks = [
            TransformerBlock(dim, heads, seeding.derive(seed, f"causal_{n}"), name=f"causal_block_{n}")
            for n in range(layers)
        ]
        # Of a pair's place before another one; blocks have no other notion of order.
        self.distances = [PositionBias(heads, name=f"causal_distance_{n}") for n in range(layers)]
        self.attention = TargetAttention(dim, heads, seed, name="eos_attention")
        self.recency = RecencyBias(heads, name="eos_recency") if use_recency else None
        self.widen = tf.keras.layers.Dense(
            2 * dim, activation="relu", kernel_initializer=seeding.glorot(seed, "widen"), name="widen"
        )
        self.narrow = tf.keras.layers.Dense(dim, kernel_initializer=seeding.glorot(seed, "narrow"), name="narrow")

    def build(self, input_shape: Any) -> None:
        self.eos = self.add_weight(
            name="eos", shape=(self.dim,), initializer=seeding.normal(self.seed, "eos", self.dim**-0.5)
        )
        super().build(input_shape)

    def call(self, pairs: tf.Tensor, mask: tf.Tensor, gap_ms: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
        """One vector a window of a history.

        Args:
          pairs: [B, L, d].
          mask: [B, W, L] bool, the pairs visible to each window, wherever they are.
          gap_ms: [B, W, L] int64, the window's moment minus the pair's time, ms.
          position: [B, W, L] int32, 0 for the newest visible pair.

        Returns:
          [B, W, d].
        """
        for block, distance in zip(self.blocks, self.distances):
            pairs = _causal(block, distance, pairs, tf.reduce_any(mask, axis=1))
        shape = tf.shape(mask)
        target = tf.broadcast_to(self.eos, (shape[0], shape[1], self.dim))
        bias = None
        if self.recency is not None:
            bias = tf.transpose(self.recency(gap_ms, position), (0, 3, 1, 2))
        x = self.attention(target, pairs, mask, bias)
        return x + self.narrow(self.widen(x))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dim": self.dim,
            "heads": self.heads,
            "use_recency": self.use_recency,
            "layers": self.layers,
            "seed": self.seed,
        }


def _causal(block: TransformerBlock, distance: PositionBias, pairs: tf.Tensor, visible: tf.Tensor) -> tf.Tensor:
    """A block in which a pair attends to the visible pairs up to itself: [B, L, d], visible [B, L] -> [B, L, d]."""
    places = tf.range(tf.shape(pairs)[1])
    steps = places[:, tf.newaxis] - places
    bias = tf.transpose(distance(steps), (2, 0, 1))[tf.newaxis]
    return block(pairs, visible[:, tf.newaxis] & (steps >= 0), bias)
