"""x_pair from codes: what an exported model holds instead of float tables (spec section 6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from seminar_tf.layers.centroids import decode, inner_products, looked_up, looked_up_by_column
from seminar_tf.layers.channel_gate import ChannelGate
from seminar_tf.layers.distinct import are_shapes_static, distinct
from seminar_tf.layers.masking import NEGATIVE
from seminar_tf.models.pair_table import FusedTable
from seminar_tf.retrieval.exact import gate_weights
from seminar_tf.retrieval.quantizer import QuantizedTables

# (N, L) of a call, numbers or scalars of a graph -> whether look-ups are the faster way.
LookUp = Callable[[Any, Any], Any]


class QuantizedPairTable(FusedTable):
    """Takes the place of a trained PairTable, for inference: S bytes a channel and one gate logit instead of d floats.

    Pairs are decoded where they are used: candidates and the pairs that the search has kept always, a whole history
    only where it is searched by one product. No variable of it trains.

    Args:
      codes: of the model's tables.
      look_up: when the search looks scores up by code, and no history is decoded.
    """

    def __init__(self, codes: QuantizedTables, look_up: LookUp, **kwargs: Any) -> None:
        super().__init__(trainable=False, **kwargs)
        self.channels = codes.channels[1:]
        self.dim, self.rows, self.query_rows = codes.dim, len(codes.item_codes), len(codes.query_codes)
        self.look_up = look_up
        self.item_codes = self.held("item_codes", codes.item_codes)
        self.query_codes = self.held("query_codes", codes.query_codes)
        self.item_logit = self.held("item_logit", codes.item_logit)
        self.query_logit = self.held("query_logit", codes.query_logit)
        self.item_centroids = self.held("item_centroids", codes.item_centroids)
        self.query_centroids = self.held("query_centroids", codes.query_centroids)
        self.back = self.held("back", codes.back)

    def fused_items(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Item ids [n] -> gated item vectors [n, d] and gate log weights [n]."""
        logits = tf.gather(self.item_logit, ids)
        weights, log_weight = ChannelGate.shares(logits, logits > NEGATIVE)
        x = decode(self.item_centroids, tf.gather(self.item_codes, ids))
        return self._back(tf.reduce_sum(weights[..., tf.newaxis] * x, axis=1)), log_weight

    def fused_queries(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Query ids [n] -> vectors [n, d] and gate log weights [n]."""
        return self.query_vector(ids), tf.gather(self.query_logit, ids)

    def query_vector(self, ids: tf.Tensor) -> tf.Tensor:
        """x^(query) of query ids: [n] -> [n, d]; zeros where there is none."""
        codes = tf.gather(self.query_codes, ids)[:, tf.newaxis]
        vectors = self._back(decode(self.query_centroids[tf.newaxis], codes)[:, 0])
        present = tf.gather(self.query_logit, ids) > NEGATIVE
        return tf.cast(present, vectors.dtype)[:, tf.newaxis] * vectors

    def _back(self, x: tf.Tensor) -> tf.Tensor:
        return tf.matmul(x, self.back)

    def fuse(
        self, items: tf.Tensor, queries: tf.Tensor, training: bool = False
    ) -> tuple[CodedPairs, tf.Tensor, tf.Tensor]:
        """As PairTable.fuse, in inference; rows are ids.

        Raises:
          ValueError: it is asked to train.
        """
        if training:
            raise ValueError("QuantizedPairTable holds codes, which do not train: train the float model.")
        return CodedPairs(self), items, queries

    def products(self, folded: tf.Tensor, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """Inner products of targets with coded pairs, by look-ups.

        Args:
          folded: [B, n, d] x_t A.
          items, queries: [B, L] int32 ids.

        Returns:
          [B, n, L].
        """
        rotated = tf.matmul(folded, self.back, transpose_b=True)
        of_items = inner_products(rotated, self.item_centroids)
        of_query = inner_products(rotated, self.query_centroids[tf.newaxis])
        gamma = self.gate_weights(items, queries)
        item_codes, query_codes = tf.gather(self.item_codes, items), tf.gather(self.query_codes, queries)
        query_codes = query_codes[:, :, tf.newaxis]
        if not are_shapes_static():
            return looked_up(of_items, item_codes, gamma[..., 1:]) + looked_up(of_query, query_codes, gamma[..., :1])
        gamma = tf.transpose(gamma, (0, 2, 1))
        item_codes, query_codes = (tf.transpose(codes, (0, 2, 3, 1)) for codes in (item_codes, query_codes))
        by_item = looked_up_by_column(of_items, item_codes, gamma[:, 1:])
        return by_item + looked_up_by_column(of_query, query_codes, gamma[:, :1])

    def gate_weights(self, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """gamma of pairs: [...] and [...] int32 ids -> [..., M+1], query first."""
        query_logit = tf.gather(self.query_logit, queries)[..., tf.newaxis]
        return gate_weights(tf.concat([query_logit, tf.gather(self.item_logit, items)], axis=-1))


@dataclass(frozen=True)
class CodedPairs:
    """FusedPairs of a table of codes: rows are ids, vectors are decoded on demand.

    Attributes:
      table: the codes.
    """

    table: QuantizedPairTable

    def pairs(self, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """x_pair: [...] int32 ids -> [..., d]."""
        item, query = self._flat(self.table.fused_items, items), self._flat(self.table.fused_queries, queries)
        return ChannelGate.combine(*item, *query)

    @staticmethod
    def _flat(fused: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]], ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        vectors, weight = fused(tf.reshape(ids, [-1]))
        shape = tf.shape(ids)
        return tf.reshape(vectors, tf.concat([shape, [vectors.shape[-1]]], axis=0)), tf.reshape(weight, shape)

    def item(self, items: tf.Tensor) -> tf.Tensor:
        """Gated items: [...] -> [..., d]."""
        return self._flat(self.table.fused_items, items)[0]

    def query(self, queries: tf.Tensor) -> tf.Tensor:
        """Query vectors: [...] -> [..., d]."""
        return self._flat(self.table.fused_queries, queries)[0]

    def history(self, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """Pairs of histories, each distinct item and query decoded once: [B, L] -> [B, L, d]."""
        found = [
            distinct(tf.reshape(ids, [-1]), rows)
            for ids, rows in ((items, self.table.rows), (queries, self.table.query_rows))
        ]
        item, query = self.table.fused_items(found[0].ids), self.table.fused_queries(found[1].ids)
        rows = [tf.reshape(one.row, tf.shape(items)) for one in found]
        return ChannelGate.combine(*(tf.gather(x, rows[0]) for x in item), *(tf.gather(x, rows[1]) for x in query))

    def products(self, folded: tf.Tensor, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """Inner products of targets and histories by look-ups, see QuantizedPairTable.products."""
        return self.table.products(folded, items, queries)

    def look_up(self, targets: Any, length: Any) -> Any:
        """Whether `products` is the faster way for N targets on L pairs."""
        return self.table.look_up(targets, length)
