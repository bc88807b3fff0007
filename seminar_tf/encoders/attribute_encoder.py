"""Attribute channel: g(author, category, tags, item id, numeric ...) (spec section 2)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from seminar_tf.layers import seeding
from seminar_tf.layers.masking import masked_mean


@tf.keras.utils.register_keras_serializable(package="seminar_tf")
class AttributeEncoder(tf.keras.layers.Layer):
    """Projection W_a of the mean attribute embedding, the item id's embedding and the numeric columns.

    Args:
      items: V, rows of the item id space; 0 leaves the item id out.
      attributes: rows of the attribute id space.
      dim: d.
      seed: of the initial weights.
    """

    def __init__(self, items: int, attributes: int, dim: int, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.items = items
        self.attributes = attributes
        self.dim = dim
        self.seed = seed
        self.embedding = tf.keras.layers.Embedding(
            attributes, dim, embeddings_initializer=seeding.normal(seed, "attribute", 0.05), name="attribute"
        )
        self.ids = None
        if items:
            self.ids = tf.keras.layers.Embedding(
                items, dim, embeddings_initializer=seeding.normal(seed, "item_id", 0.05), name="item_id"
            )
        self.project = tf.keras.layers.Dense(
            dim, kernel_initializer=seeding.glorot(seed, "attribute_projection"), name="attribute_projection"
        )
        self.numeric = tf.keras.layers.Dense(
            dim, use_bias=False, kernel_initializer=seeding.glorot(seed, "numeric"), name="numeric"
        )

    def call(self, ids: tf.Tensor, attributes: tf.Tensor, numeric: tf.Tensor) -> tf.Tensor:
        """Encodes items.

        Args:
          ids: [n] int32 item ids.
          attributes: [n, A] int32 attribute ids, 0 is padding, wherever it is: order does not count.
          numeric: [n, F] float32, scaled; F may be 0.

        Returns:
          [n, d].
        """
        x = masked_mean(self.embedding(attributes), attributes > 0)
        if self.ids is not None:
            x += self.ids(ids)
        if numeric.shape[-1]:
            x += self.numeric(numeric)
        return self.project(x)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "items": self.items,
            "attributes": self.attributes,
            "dim": self.dim,
            "seed": self.seed,
        }
