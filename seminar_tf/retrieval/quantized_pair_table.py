"""x_pair from codes: what an exported model holds instead of float tables (spec section 6)."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from seminar_tf.layers.channel_gate import ChannelGate
from seminar_tf.layers.distinct import distinct
from seminar_tf.layers.masking import NEGATIVE, masked_softmax
from seminar_tf.models.pair_table import FusedPairs
from seminar_tf.models.seminar import Seminar
from seminar_tf.retrieval.quantizer import QuantizedTables
from seminar_tf.retrieval.tables import gsu_tables


class QuantizedPairTable(tf.keras.layers.Layer):
    """Takes the place of a trained PairTable, for inference: S bytes a channel and one gate logit instead of d floats.

    Each distinct item and query of a call is decoded once, gated and fused; the search and everything after it then
    see decoded pairs, candidates' among them. No variable of it trains.

    Args:
      codes: of the model's tables.
    """

    def __init__(self, codes: QuantizedTables, **kwargs: Any) -> None:
        super().__init__(trainable=False, **kwargs)
        self.channels = codes.channels[1:]
        self.dim, self.subvectors, self.size = codes.dim, codes.subvectors, codes.size
        self.rows, self.query_rows = len(codes.item_codes), len(codes.query_codes)
        self.item_codes = self._held("item_codes", codes.item_codes)
        self.query_codes = self._held("query_codes", codes.query_codes)
        self.item_logit = self._held("item_logit", codes.item_logit)
        self.query_logit = self._held("query_logit", codes.query_logit)
        self.centroids = self._held("centroids", codes.centroids)
        self.rotation = self._held("rotation", codes.rotation)

    def _held(self, name: str, values: np.ndarray) -> tf.Variable:
        # Assigned, not an initializer constant, which a graph would hold a second time.
        held = self.add_weight(name=name, shape=values.shape, dtype=values.dtype, initializer="zeros", trainable=False)
        held.assign(values)
        return held

    def fused_items(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Item ids [n] -> gated item vectors [n, d] and gate log weights [n]."""
        logits = tf.gather(self.item_logit, ids)
        present = logits > NEGATIVE
        x = self._decoded(tf.gather(self.item_codes, ids), 1)
        fused = tf.reduce_sum(masked_softmax(logits, present)[..., tf.newaxis] * x, axis=1)
        log_weight = tf.where(tf.reduce_any(present, axis=-1), tf.reduce_logsumexp(logits, axis=-1), NEGATIVE)
        return self._back(fused), log_weight

    def fused_queries(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Query ids [n] -> vectors [n, d] and gate log weights [n]."""
        return self.query_vector(ids), tf.gather(self.query_logit, ids)

    def query_vector(self, ids: tf.Tensor) -> tf.Tensor:
        """x^(query) of query ids: [n] -> [n, d]; zeros where there is none."""
        vectors = self._back(self._decoded(tf.gather(self.query_codes, ids)[:, tf.newaxis], 0)[:, 0])
        present = tf.gather(self.query_logit, ids) > NEGATIVE
        return tf.cast(present, vectors.dtype)[:, tf.newaxis] * vectors

    def _decoded(self, codes: tf.Tensor, first: int) -> tf.Tensor:
        """Codes [n, C, S] of channels `first`, `first` + 1, ... -> [n, C, d], rotated."""
        channels = codes.shape[1]
        offset = (first * self.subvectors + tf.range(channels * self.subvectors)) * self.size
        rows = tf.cast(codes, tf.int32) + tf.reshape(offset, (channels, self.subvectors))
        parts = tf.gather(tf.reshape(self.centroids, (-1, self.dim // self.subvectors)), rows)
        return tf.reshape(parts, (-1, channels, self.dim))

    def _back(self, x: tf.Tensor) -> tf.Tensor:
        return tf.matmul(x, self.rotation, transpose_b=True)

    def fuse(
        self, items: tf.Tensor, queries: tf.Tensor, training: bool = False
    ) -> tuple[FusedPairs, tf.Tensor, tf.Tensor]:
        """As PairTable.fuse, in inference.

        Raises:
          ValueError: it is asked to train.
        """
        if training:
            raise ValueError("QuantizedPairTable holds codes, which do not train: train the float model.")
        found_items, found_queries = distinct(items, self.rows), distinct(queries, self.query_rows)
        pairs = FusedPairs(*self.fused_items(found_items.ids), *self.fused_queries(found_queries.ids))
        return pairs, found_items.row, found_queries.row

    def gate_weights(self, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """gamma of pairs: [n] and [n] int32 ids -> [n, M+1], query first."""
        query_logit = tf.gather(self.query_logit, queries)[:, tf.newaxis]
        logits = tf.concat([query_logit, tf.gather(self.item_logit, items)], axis=1)
        return masked_softmax(logits, logits > NEGATIVE)

    def call(self, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """x_pair: item and query ids [...] -> [..., d]."""
        item, item_weight = self.fused_items(tf.reshape(items, [-1]))
        query, query_weight = self.fused_queries(tf.reshape(queries, [-1]))
        pairs = ChannelGate.combine(item, item_weight, query, query_weight)
        return tf.reshape(pairs, tf.concat([tf.shape(items), [self.dim]], axis=0))


def hold_codes(model: Seminar, codes: QuantizedTables) -> None:
    """Puts codes in the place of a trained model's float tables, for export; the model can train no more.

    Raises:
      ValueError: the codes are of another model's tables.
    """
    tables = gsu_tables(model)
    if codes.channels != tables.channels or codes.dim != tables.dim:
        mine, theirs = (tables.channels, tables.dim), (codes.channels, codes.dim)
        raise ValueError(f"the codes are of channels and d {theirs}, the model has {mine}.")
    for name in ("item_logit", "query_logit"):
        one, other = getattr(codes, name), getattr(tables, name)
        if one.shape != other.shape or not np.allclose(one, other, rtol=1e-4, atol=1e-4):
            raise ValueError(f"the codes are of another model: {name} differs from that of this model's gate.")
    model.pairs = QuantizedPairTable(codes, name="quantized_pairs")
