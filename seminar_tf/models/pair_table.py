"""x_pair of any (item, query) from the restored tables: x^(j) = x^PSU(j) G_j, gated (spec sections 3 and 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from seminar_tf.config import ModelConfig
from seminar_tf.layers.channel_gate import ChannelGate
from seminar_tf.layers.distinct import distinct
from seminar_tf.layers.masking import NEGATIVE
from seminar_tf.models.channel_tables import ChannelTables
from seminar_tf.models.codes_in_loop import CodesInLoop

# A training step fuses tables of up to so many rows whole: a batch of histories has most of their ids anyway, and
# neither tf.unique nor sparse gradients are needed then. Larger tables are fused for the distinct ids of the batch.
WHOLE_TABLE_ROWS = 16_384


@tf.custom_gradient
def _pairs(
    items: tf.Tensor,
    item_weight: tf.Tensor,
    queries: tf.Tensor,
    query_weight: tf.Tensor,
    item_rows: tf.Tensor,
    query_rows: tf.Tensor,
) -> tuple[tf.Tensor, Any]:
    """ChannelGate.combine of gathered rows: q + s (i - q), s = sigmoid(item_weight - query_weight).

    With a gradient of its own: the recorded one would hold and pass over four tensors of the pairs' size, and would
    concatenate the gradients of all gathers before it adds them up; fused tables are small, so each is added up alone.
    """
    query = tf.gather(queries, query_rows)
    difference = tf.gather(items, item_rows) - query
    chance = tf.sigmoid(tf.gather(item_weight, item_rows) - tf.gather(query_weight, query_rows))
    share = tf.cast(chance, query.dtype)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        of_item = share[..., tf.newaxis] * upstream
        of_weight = tf.cast(tf.reduce_sum(upstream * difference, axis=-1), chance.dtype) * chance * (1.0 - chance)
        item_count, query_count = tf.shape(items)[0], tf.shape(queries)[0]
        return (
            tf.math.unsorted_segment_sum(of_item, item_rows, item_count),
            tf.math.unsorted_segment_sum(of_weight, item_rows, item_count),
            tf.math.unsorted_segment_sum(upstream - of_item, query_rows, query_count),
            -tf.math.unsorted_segment_sum(of_weight, query_rows, query_count),
            None,
            None,
        )

    return query + share[..., tf.newaxis] * difference, gradient


class Pairs(Protocol):
    """Vectors of a batch's items and queries by row, whether they are held or decoded on demand."""

    def pairs(self, item_rows: tf.Tensor, query_rows: tf.Tensor) -> tf.Tensor: ...

    def item(self, item_rows: tf.Tensor) -> tf.Tensor: ...

    def query(self, query_rows: tf.Tensor) -> tf.Tensor: ...

    def history(self, item_rows: tf.Tensor, query_rows: tf.Tensor) -> tf.Tensor: ...


@dataclass(frozen=True)
class FusedPairs:
    """Fused vectors of all items and queries of a batch; a pair is a row of each.

    Attributes:
      items: [U, d] gated item vectors. item_weight: [U] their gate log weights.
      queries: [W, d]. query_weight: [W].
    """

    items: tf.Tensor
    item_weight: tf.Tensor
    queries: tf.Tensor
    query_weight: tf.Tensor

    def pairs(self, item_rows: tf.Tensor, query_rows: tf.Tensor) -> tf.Tensor:
        """x_pair: [...] int32 rows of `items` and of `queries` -> [..., d]."""
        return _pairs(self.items, self.item_weight, self.queries, self.query_weight, item_rows, query_rows)

    def item(self, item_rows: tf.Tensor) -> tf.Tensor:
        """Gated items: [...] int32 rows -> [..., d]."""
        return tf.gather(self.items, item_rows)

    def query(self, query_rows: tf.Tensor) -> tf.Tensor:
        """Query vectors: [...] int32 rows -> [..., d]."""
        return tf.gather(self.queries, query_rows)

    def history(self, item_rows: tf.Tensor, query_rows: tf.Tensor) -> tf.Tensor:
        """`pairs` of whole histories, through which no gradient flows: [B, L] int32 rows -> [B, L, d]."""
        return FusedPairs(*(tf.stop_gradient(x) for x in vars(self).values())).pairs(item_rows, query_rows)


def _is_small(table: tf.Variable) -> bool:
    """Whether a step fuses a table whole; one in shards (no tf.Variable itself) would be fetched from every server."""
    return isinstance(table, tf.Variable) and table.shape[0] <= WHOLE_TABLE_ROWS


class FusedTable(tf.keras.layers.Layer):
    """x_pair of items and queries that a subclass fuses by id.

    Attributes:
      rows, query_rows: of the id spaces. dim: d.
    """

    rows: int
    query_rows: int
    dim: int

    def fuse(self, items: tf.Tensor, queries: tf.Tensor, training: bool = False) -> tuple[Pairs, tf.Tensor, tf.Tensor]:
        """Fuses every item and query of a batch, each once.

        Args:
          items: [n] int32 item ids of any number of pairs.
          queries: [m] int32 query ids.
          training: whether to fuse small tables whole; a request in inference has too few ids for that.

        Returns:
          The fused vectors, and the rows in them of `items` [n] and of `queries` [m], int32.
        """
        raise TypeError(f"{type(self).__name__} does not define fuse.")

    def held(self, name: str, values: np.ndarray) -> tf.Variable:
        """A weight that never trains."""
        # Assigned, not an initializer constant, which a graph would hold a second time.
        held = self.add_weight(name=name, shape=values.shape, dtype=values.dtype, initializer="zeros", trainable=False)
        held.assign(values)
        return held

    def call(self, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """x_pair.

        Args:
          items: [...] int32 item ids, 0 is padding.
          queries: [...] int32 query ids of the same shape, 0 is padding, 1 the empty query.

        Returns:
          [..., d].
        """
        fused, item_rows, query_rows = self.fuse(tf.reshape(items, [-1]), tf.reshape(queries, [-1]))
        pairs = fused.pairs(item_rows, query_rows)
        return tf.reshape(pairs, tf.concat([tf.shape(items), [self.dim]], axis=0))


class PairTable(FusedTable):
    """E_PSU tables, one G_j a channel starting at the identity, and the gate.

    Each distinct item and query of a call is projected and fused once, however often it occurs in histories.

    Args:
      config: freeze switches, use of the query and of the gate.
      tables: E_PSU.
      codes: quantizes fused items and queries with gradients straight through, or None.
    """

    def __init__(
        self, config: ModelConfig, tables: ChannelTables, codes: CodesInLoop | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.config = config
        self.channels = tables.channels
        self.dim = tables.dim
        self.rows, self.query_rows = len(tables.item), len(tables.query)
        self.count = 1 + len(tables.channels)
        self.item_table = self._table("item_table", tables.item)
        self.query_table = self._table("query_table", tables.query)
        # A weight that never trains, so that a checkpoint says by itself which channels an item has.
        self.item_mask = self.held("item_mask", tables.item_mask)
        self.projections = self.add_weight(
            name="projections",  # G_j, query first
            shape=(self.count, self.dim, self.dim),
            initializer=tf.keras.initializers.Constant(np.tile(np.eye(self.dim, dtype=np.float32), (self.count, 1, 1))),
            trainable=not config.freeze_projections,
        )
        self.gate = ChannelGate(self.count, self.dim, config.use_gate, name="gate")
        self.gate.build(None)
        self.codes = codes

    def _table(self, name: str, values: np.ndarray) -> tf.Variable:
        # Assigned, not an initializer constant, which a graph would hold a second time.
        table = self.add_weight(
            name=name, shape=values.shape, initializer="zeros", trainable=not self.config.freeze_tables
        )
        table.assign(values)
        return table

    def query_vector(self, ids: tf.Tensor) -> tf.Tensor:
        """x^(query) of query ids: [n] int32 -> [n, d]; zeros where the model has no query channel or id 0."""
        vectors = tf.nn.embedding_lookup(self.query_table, ids) @ self.projections[0]
        return tf.cast((ids > 0) & self.config.use_query, vectors.dtype)[:, tf.newaxis] * vectors

    def fused_items(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Item ids [n] -> gated item vectors [n, d] and gate log weights [n]; what serving may compute ahead."""
        mask = tf.nn.embedding_lookup(self.item_mask, ids)
        return self._fuse(tf.nn.embedding_lookup(self.item_table, ids), mask)

    def _fuse(self, x: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Channel vectors [n, M, d] as restored and mask [n, M] -> as `fused_items`."""
        # sum_m gamma_m (x_m G_m) = [gamma_1 x_1 .. gamma_M x_M] [G_1; ..; G_M]: the projected channels, M times the
        # size of the result, are never there.
        weights, log_weight = self.gate.weights_before(x, mask, self.projections[1:], first=1)
        weighted = tf.reshape(x * tf.cast(weights, x.dtype)[..., tf.newaxis], (-1, (self.count - 1) * self.dim))
        fused = weighted @ tf.reshape(self.projections[1:], (-1, self.dim))
        return fused if self.codes is None else self.codes.items(fused, log_weight > NEGATIVE), log_weight

    def fused_queries(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Query ids [n] -> vectors [n, d] and gate log weights [n]."""
        vectors, weight = self.projected_queries(ids)
        return vectors if self.codes is None else self.codes.queries(vectors, weight > NEGATIVE), weight

    def projected_queries(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The same before any codes: what the gate sees."""
        vectors = self.query_vector(ids)
        weight = self.gate.logits(vectors[:, tf.newaxis], first=0)[:, 0]
        return vectors, tf.where((ids > 0) & self.config.use_query, weight, NEGATIVE)

    def fuse(self, items: tf.Tensor, queries: tf.Tensor, training: bool = False) -> tuple[Pairs, tf.Tensor, tf.Tensor]:
        """See FusedTable."""
        if training and _is_small(self.item_table):
            item, item_rows = (
                self._fuse(tf.convert_to_tensor(self.item_table), tf.convert_to_tensor(self.item_mask)),
                items,
            )
        else:
            found = distinct(items, self.rows)
            item, item_rows = self.fused_items(found.ids), found.row
        if training and _is_small(self.query_table):
            query, query_rows = self.fused_queries(tf.range(self.query_rows)), queries
        else:
            found = distinct(queries, self.query_rows)
            query, query_rows = self.fused_queries(found.ids), found.row
        return FusedPairs(*item, *query), item_rows, query_rows

    def gate_weights(self, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """gamma of pairs: [n] and [n] int32 ids -> [n, M+1], query first."""
        projected = tf.einsum("nmd,mde->nme", tf.nn.embedding_lookup(self.item_table, items), self.projections[1:])
        mask = tf.nn.embedding_lookup(self.item_mask, items)
        vectors, weight = self.projected_queries(queries)
        x = tf.concat([vectors[:, tf.newaxis], projected], axis=1)
        return self.gate.weights_of(x, tf.concat([weight[:, tf.newaxis] > NEGATIVE, mask], axis=1))
