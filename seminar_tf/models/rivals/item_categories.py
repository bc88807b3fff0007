"""Whether a pair's item has a category of the target's: what SIM's hard search and a cross feature of TWIN ask."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf


class ItemCategories(tf.keras.layers.Layer):
    """Categories by item id, as a weight that never trains: a checkpoint says by itself which an item has.

    Args:
      categories: [V, C] int64, 0 is padding (features/categories.py).
    """

    def __init__(self, categories: np.ndarray, **kwargs: Any) -> None:
        super().__init__(trainable=False, **kwargs)
        self.columns = categories.shape[1]
        # int64: TensorFlow keeps int32 variables away from GPUs.
        self.table = self.add_weight(
            name="categories", shape=categories.shape, dtype=tf.int64, initializer="zeros", trainable=False
        )
        self.table.assign(categories)

    def same(self, history: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        """Whether they share any category.

        Args:
          history: [B, L] int32 item ids, 0 is padding.
          candidates: [B, N] int32 item ids.

        Returns:
          [B, N, L] bool; False for padding and for items without a category.
        """
        of_pair = tf.nn.embedding_lookup(self.table, history)
        of_target = tf.nn.embedding_lookup(self.table, candidates)
        # No target's 0 equals a pair's.
        of_target = tf.where(of_target > 0, of_target, -1)
        found = tf.zeros(tf.stack([tf.shape(history)[0], tf.shape(candidates)[1], tf.shape(history)[1]]), tf.bool)
        # Column by column: items have few, and all at once would be an (N, L, C, C) tensor.
        for one in range(self.columns):
            for other in range(self.columns):
                found |= tf.equal(of_target[:, :, tf.newaxis, one], of_pair[:, tf.newaxis, :, other])
        return found


def required(categories: np.ndarray | None, ranker: str) -> np.ndarray:
    """The categories that a ranker cannot do without.

    Raises:
      ValueError: there are none.
    """
    if categories is None:
        raise ValueError(
            f"model.ranker {ranker} needs the items' categories: give `categories`, which features/categories.py reads "
            "from item attributes by model.rivals.category_prefix."
        )
    return categories
