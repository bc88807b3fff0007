"""f_theta: the prediction head of one task (spec section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from seminar_tf.layers import seeding
from seminar_tf.layers.stateless_dropout import StatelessDropout


@tf.keras.utils.register_keras_serializable(package="seminar_tf")
class PredictionHead(tf.keras.layers.Layer):
    """TFRS Cross layers, dense layers, and a linear path past them from the matching scores to the logit.

    There is no mask: a candidate's logit depends on its own features alone, and padding's is the caller's to ignore.

    Args:
      hidden_units: widths of the dense layers.
      cross_layers: Cross layers before them.
      cross_dim: rank of a Cross layer's matrix.
      dropout: rate after each dense layer.
      seed: of the initial weights.
    """

    def __init__(
        self,
        hidden_units: Sequence[int],
        cross_layers: int = 1,
        cross_dim: int = 64,
        dropout: float = 0.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_units = tuple(hidden_units)
        self.cross_layers = cross_layers
        self.cross_dim = cross_dim
        self.dropout = dropout
        self.seed = seed
        self.crosses = [
            tfrs.layers.dcn.Cross(
                projection_dim=cross_dim,
                kernel_initializer=seeding.glorot(seed, f"{self.name}/cross_{n}"),
                name=f"cross_{n}",
            )
            for n in range(cross_layers)
        ]
        self.dense = [
            tf.keras.layers.Dense(
                width,
                activation="relu",
                kernel_initializer=seeding.glorot(seed, f"{self.name}/dense_{n}"),
                name=f"dense_{n}",
            )
            for n, width in enumerate(self.hidden_units)
        ]
        self.drops = [StatelessDropout(dropout, name=f"{self.name}_dropout_{n}") for n in range(len(self.hidden_units))]
        # Logits are float32 under any policy: probabilities near 0 need it.
        self.logit = tf.keras.layers.Dense(
            1, kernel_initializer=seeding.glorot(seed, f"{self.name}/logit"), dtype="float32", name="logit"
        )
        self.wide = tf.keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros", dtype="float32", name="wide")

    def call(self, features: tf.Tensor, matches: tf.Tensor, step_seed: tf.Tensor | None = None) -> tf.Tensor:
        """Logits of the candidates.

        Args:
          features: [B, N, F] all features.
          matches: [B, N, W] scores that may drive the logit linearly (dot products, popularity).
          step_seed: [2] int32 in training, None in inference.

        Returns:
          [B, N] logits.
        """
        x = features
        for cross in self.crosses:
            x = cross(features, x)
        for dense, drop in zip(self.dense, self.drops):
            x = drop(dense(x), step_seed)
        return tf.squeeze(self.logit(x) + self.wide(matches), axis=-1)

    def start_from(self, match: int, weight: float) -> None:
        """Makes the logit that of one matching score alone, for a score that ranks well before the head is trained.

        Args:
          match: its column of `matches`.
          weight: what it is multiplied with.
        """
        kernel = np.zeros(self.wide.kernel.shape, np.float32)
        kernel[match] = weight
        self.wide.kernel.assign(kernel)
        # Layers before it learn as soon as its own first step has been taken.
        self.logit.kernel.assign(tf.zeros_like(self.logit.kernel))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "hidden_units": self.hidden_units,
            "cross_layers": self.cross_layers,
            "cross_dim": self.cross_dim,
            "dropout": self.dropout,
            "seed": self.seed,
        }
