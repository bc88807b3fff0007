"""TWIN's bias of cross features: what a pair and a target have in common, besides their vectors."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from seminar_tf.layers import seeding
from seminar_tf.layers.recency_bias import GAP_BUCKETS, POSITION_BUCKETS, RecencyBias


@tf.keras.utils.register_keras_serializable(package="seminar_tf")
class CrossFeatureBias(tf.keras.layers.Layer):
    """bias_h = sum_j s_j[value of feature j] beta_jh (TWIN, arXiv 2302.02352: (K_c W^c) beta).

    TWIN projects each cross feature's embedding to one number; of a feature of few values that is one number a value,
    which is what s_j holds. Time gap and position are bucketed as in RecencyBias. There is no mask: padding gets a bias
    too, and whoever adds it to scores masks those.

    Args:
      heads: H.
      recency: whether time gap and position are among the features.
      category: whether "has a category of the target's" is.
      seed: of the initial weights.
    """

    def __init__(self, heads: int, recency: bool = True, category: bool = True, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads = heads
        self.recency = recency
        self.category = category
        self.seed = seed

    def build(self, input_shape: Any) -> None:
        def values(name: str, rows: int) -> tf.Variable:
            # Not zeros: beta would get no gradient then.
            start = seeding.normal(self.seed, f"{self.name}/{name}", 0.05)
            return self.add_weight(name=name, shape=(rows,), initializer=start)

        if self.recency:
            self.gap_values = values("gap_values", GAP_BUCKETS)
            self.position_values = values("position_values", POSITION_BUCKETS)
        self.query_values = values("query_values", 2)
        if self.category:
            self.category_values = values("category_values", 2)
        count = 1 + 2 * self.recency + self.category
        self.beta = self.add_weight(name="beta", shape=(count, self.heads), initializer="ones")
        super().build(input_shape)

    def call(
        self,
        gap_ms: tf.Tensor,
        position: tf.Tensor,
        same_query: tf.Tensor,
        same_category: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Bias of pairs.

        Args:
          gap_ms: [...] int64, request time minus pair time, ms.
          position: [...] int32, 0 for the newest pair.
          same_query: [...] bool, whether the pair's typed query is the request's.
          same_category: [...] bool, or None for the part of the bias that is the same for all targets of a request;
            `of_category` is the rest.

        Returns:
          [..., H] float32.
        """
        parts = [tf.gather(self.query_values, tf.cast(same_query, tf.int32))]
        if self.recency:
            parts.append(tf.gather(self.gap_values, RecencyBias.gap_bucket(gap_ms)))
            parts.append(tf.gather(self.position_values, RecencyBias.position_bucket(position)))
        # One product of two matrices; an einsum with an ellipsis is wrong on some CPUs (tests/layers/test_einsum.py).
        bias = tf.tensordot(tf.stack(parts, axis=-1), self.beta[: len(parts)], axes=1)
        return bias if same_category is None else bias + self.of_category(same_category)

    def of_category(self, same_category: tf.Tensor) -> tf.Tensor:
        """The category's part: [...] bool -> [..., H]."""
        return tf.gather(self.category_values[:, tf.newaxis] * self.beta[-1], tf.cast(same_category, tf.int32))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "heads": self.heads,
            "recency": self.recency,
            "category": self.category,
            "seed": self.seed,
        }
