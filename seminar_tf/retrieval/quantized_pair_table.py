"""x_pair from codes: what an exported model holds instead of float tables (spec section 6)."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from seminar_tf.layers.centroids import decode
from seminar_tf.layers.channel_gate import ChannelGate
from seminar_tf.layers.masking import NEGATIVE
from seminar_tf.models.pair_table import FusedPairs, FusedTable
from seminar_tf.models.seminar import Seminar
from seminar_tf.retrieval.exact import gate_weights
from seminar_tf.retrieval.quantizer import QuantizedTables
from seminar_tf.retrieval.tables import gsu_tables


class QuantizedPairTable(FusedTable):
    """Takes the place of a trained PairTable, for inference: S bytes a channel and one gate logit instead of d floats.

    Each distinct item and query of a call is decoded once, gated and fused; the search and everything after it then
    see decoded pairs, candidates' among them. No variable of it trains.

    Args:
      codes: of the model's tables.
    """

    def __init__(self, codes: QuantizedTables, **kwargs: Any) -> None:
        super().__init__(trainable=False, **kwargs)
        self.channels = codes.channels[1:]
        self.dim, self.rows, self.query_rows = codes.dim, len(codes.item_codes), len(codes.query_codes)
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
        weights, log_weight = ChannelGate.shares(logits, logits > NEGATIVE)
        x = decode(self.centroids, tf.gather(self.item_codes, ids), first=1)
        return self._back(tf.reduce_sum(weights[..., tf.newaxis] * x, axis=1)), log_weight

    def fused_queries(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Query ids [n] -> vectors [n, d] and gate log weights [n]."""
        return self.query_vector(ids), tf.gather(self.query_logit, ids)

    def query_vector(self, ids: tf.Tensor) -> tf.Tensor:
        """x^(query) of query ids: [n] -> [n, d]; zeros where there is none."""
        vectors = self._back(decode(self.centroids, tf.gather(self.query_codes, ids)[:, tf.newaxis])[:, 0])
        present = tf.gather(self.query_logit, ids) > NEGATIVE
        return tf.cast(present, vectors.dtype)[:, tf.newaxis] * vectors

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
        return super().fuse(items, queries)

    def gate_weights(self, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """gamma of pairs: [n] and [n] int32 ids -> [n, M+1], query first."""
        query_logit = tf.gather(self.query_logit, queries)[:, tf.newaxis]
        logits = tf.concat([query_logit, tf.gather(self.item_logit, items)], axis=1)
        return gate_weights(logits)


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
