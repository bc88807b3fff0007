"""Query channel: f(tokens of the query, query id) (spec section 2)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from seminar_tf.layers import seeding
from seminar_tf.layers.masking import masked_mean


@tf.keras.utils.register_keras_serializable(package="seminar_tf")
class QueryEncoder(tf.keras.layers.Layer):
    """Projection W_q of the mean of the token embeddings plus the query id's embedding.

    The empty query has no tokens, so its vector is that of its own id: a learned row, not zeros.

    Args:
      queries: Q, rows of the id space.
      dim: d.
      seed: of the initial weights.
    """

    def __init__(self, queries: int, dim: int, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.queries = queries
        self.dim = dim
        self.seed = seed
        self.ids = tf.keras.layers.Embedding(
            queries, dim, embeddings_initializer=seeding.normal(seed, "query_id", 0.05), name="query_id"
        )
        self.project = tf.keras.layers.Dense(
            dim, kernel_initializer=seeding.glorot(seed, "query_projection"), name="query_projection"
        )

    def call(self, ids: tf.Tensor, tokens: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Encodes queries.

        Args:
          ids: [n] int32 query ids.
          tokens: [n, T, d] token embeddings.
          mask: [n, T] bool, False for padding, wherever it is: order does not count.

        Returns:
          [n, d].
        """
        return self.project(self.ids(ids) + masked_mean(tokens, mask))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "queries": self.queries, "dim": self.dim, "seed": self.seed}
