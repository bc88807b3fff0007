"""x_pair of any (item, query) from the restored tables: x^(j) = x^PSU(j) G_j, gated (spec sections 3 and 5)."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from seminar_tf.config import ModelConfig
from seminar_tf.layers.channel_gate import ChannelGate
from seminar_tf.layers.distinct import distinct
from seminar_tf.layers.masking import NEGATIVE
from seminar_tf.models.channel_tables import ChannelTables


class PairTable(tf.keras.layers.Layer):
    """E_PSU tables, one G_j a channel starting at the identity, and the gate.

    Each distinct item and query of a call is projected and fused once, however often it occurs in histories.

    Args:
      config: freeze switches, use of the query and of the gate.
      tables: E_PSU.
    """

    def __init__(self, config: ModelConfig, tables: ChannelTables, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config
        self.channels = tables.channels
        self.dim = tables.dim
        self.rows, self.query_rows = len(tables.item), len(tables.query)
        self.count = 1 + len(tables.channels)
        self.item_table = self._table("item_table", tables.item)
        self.query_table = self._table("query_table", tables.query)
        # A weight that never trains, so that a checkpoint says by itself which channels an item has.
        self.item_mask = self.add_weight(
            name="item_mask", shape=tables.item_mask.shape, dtype=tf.bool, initializer="zeros", trainable=False
        )
        self.item_mask.assign(tables.item_mask)
        self.projections = self.add_weight(
            name="projections",  # G_j, query first
            shape=(self.count, self.dim, self.dim),
            initializer=tf.keras.initializers.Constant(np.tile(np.eye(self.dim, dtype=np.float32), (self.count, 1, 1))),
            trainable=not config.freeze_projections,
        )
        self.gate = ChannelGate(self.count, self.dim, config.use_gate, name="gate")
        self.gate.build(None)

    def _table(self, name: str, values: np.ndarray) -> tf.Variable:
        # Assigned, not an initializer constant, which a graph would hold a second time.
        table = self.add_weight(
            name=name, shape=values.shape, initializer="zeros", trainable=not self.config.freeze_tables
        )
        table.assign(values)
        return table

    def _items(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Projected channels [n, M, d] and mask [n, M] of item ids [n]."""
        projected = tf.einsum("nmd,mde->nme", tf.nn.embedding_lookup(self.item_table, ids), self.projections[1:])
        return projected, tf.nn.embedding_lookup(self.item_mask, ids)

    def query_vector(self, ids: tf.Tensor) -> tf.Tensor:
        """x^(query) of query ids: [n] int32 -> [n, d]; zeros where the model has no query channel or id 0."""
        vectors = tf.nn.embedding_lookup(self.query_table, ids) @ self.projections[0]
        return tf.cast((ids > 0) & self.config.use_query, vectors.dtype)[:, tf.newaxis] * vectors

    def fused_items(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Item ids [n] -> gated item vectors [n, d] and gate log weights [n]; what serving may compute ahead."""
        projected, mask = self._items(ids)
        return self.gate.fuse(projected, mask, first=1)

    def fused_queries(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Query ids [n] -> vectors [n, d] and gate log weights [n]."""
        vectors = self.query_vector(ids)
        weight = self.gate.logits(vectors[:, tf.newaxis], first=0)[:, 0]
        return vectors, tf.where((ids > 0) & self.config.use_query, weight, NEGATIVE)

    def call(self, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """x_pair.

        Args:
          items: [...] int32 item ids, 0 is padding.
          queries: [...] int32 query ids of the same shape, 0 is padding, 1 the empty query.

        Returns:
          [..., d].
        """
        of_item = distinct(tf.reshape(items, [-1]), self.rows)
        of_query = distinct(tf.reshape(queries, [-1]), self.query_rows)
        item, item_weight = self.fused_items(of_item.ids)
        query, query_weight = self.fused_queries(of_query.ids)
        pairs = self.gate.combine(
            tf.gather(item, of_item.row),
            tf.gather(item_weight, of_item.row),
            tf.gather(query, of_query.row),
            tf.gather(query_weight, of_query.row),
        )
        return tf.reshape(pairs, tf.concat([tf.shape(items), [self.dim]], axis=0))

    def gate_weights(self, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """gamma of pairs: [n] and [n] int32 ids -> [n, M+1], query first."""
        projected, mask = self._items(items)
        vectors, weight = self.fused_queries(queries)
        x = tf.concat([vectors[:, tf.newaxis], projected], axis=1)
        return self.gate.weights_of(x, tf.concat([weight[:, tf.newaxis] > NEGATIVE, mask], axis=1))
