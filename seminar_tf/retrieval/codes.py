"""Scores from codes: asymmetric distance by table look-ups, plain or under XLA, and decode-then-multiply."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from seminar_tf.layers.centroids import decode, inner_products, looked_up, looked_up_by_column
from seminar_tf.retrieval.exact import ExactFused, gate_weights
from seminar_tf.retrieval.method import Index, SearchMethod
from seminar_tf.retrieval.quantizer import QuantizedTables
from seminar_tf.retrieval.tables import GsuTables


class PairCodes:
    """Codes and gate weights of pairs, by id.

    Attributes:
      bytes: of a pair: a byte a sub-vector of M+1 channels, and their weights in float16.
    """

    def __init__(self, codes: QuantizedTables) -> None:
        self._item, self._query = tf.constant(codes.item_codes), tf.constant(codes.query_codes)
        self._item_logit, self._query_logit = tf.constant(codes.item_logit), tf.constant(codes.query_logit)
        self.bytes = codes.bytes_per_pair

    def __call__(self, items: tf.Tensor, queries: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Ids [...] -> item codes [..., M, S] uint8, query codes [..., 1, S_q] uint8, gamma [..., M+1] float16."""
        logits = [tf.gather(self._query_logit, queries)[..., tf.newaxis], tf.gather(self._item_logit, items)]
        gamma = tf.cast(gate_weights(tf.concat(logits, axis=-1)), tf.float16)
        return tf.gather(self._item, items), tf.gather(self._query, queries)[..., tf.newaxis, :], gamma


class CodeSearch(SearchMethod):
    """What methods on codes share: codes and gate weights of a history; targets stay floats.

    Args:
      codes: of the model's tables.
      tables: the model's own, for the targets, which are not quantized.
      name: as tables show it.
    """

    def __init__(self, codes: QuantizedTables, tables: GsuTables, name: str) -> None:
        super().__init__(name)
        self._pairs, self._exact = PairCodes(codes), ExactFused(tables)
        self._back = tf.constant(codes.back)
        self._items, self._query = tf.constant(codes.item_centroids), tf.constant(codes.query_centroids[np.newaxis])

    def index(self, items: tf.Tensor, queries: tf.Tensor) -> Index:
        """Item codes [B, L, M, S] and query codes [B, L, 1, S_q] uint8, gamma [B, L, M+1] float16."""
        return self._pairs(items, queries)

    def targets(self, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """x_t A back^T of targets: ids [B, N] -> [B, N, d'], to be multiplied with pairs that are still rotated."""
        return tf.linalg.matmul(self._exact.targets(items, queries), self._back, transpose_b=True)

    def tables_of(self, items: tf.Tensor, queries: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Inner products of each target's sub-vectors with all centroids: ids [B, N] -> [B, N, M, S, C] of the item
        channels and [B, N, 1, S_q, C] of the query's."""
        targets = self.targets(items, queries)
        return inner_products(targets, self._items), inner_products(targets, self._query)

    def is_exact(self) -> bool:
        """False."""
        return False

    def bytes_per_pair(self) -> float:
        """Its codes and gate weights."""
        return self._pairs.bytes


class Adc(CodeSearch):
    """Asymmetric distance: each code picks its sub-vector's inner product out of the target's table.

    Time O(N L (M+1) S), memory as much: for few targets.
    """

    def __init__(self, codes: QuantizedTables, tables: GsuTables, name: str = "adc") -> None:
        super().__init__(codes, tables, name)

    def scores(self, index: Index, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """See SearchMethod."""
        item_codes, query_codes, gamma = index
        of_items, of_query = self.tables_of(items, queries)
        return looked_up(of_items, item_codes, gamma[..., 1:]) + looked_up(of_query, query_codes, gamma[..., :1])


class CompiledAdc(CodeSearch):
    """The same under XLA, which fuses look-ups and sums; codes lie by column, so that a look-up reads them in a row."""

    def __init__(self, codes: QuantizedTables, tables: GsuTables, name: str = "adc_xla") -> None:
        super().__init__(codes, tables, name)

    def index(self, items: tf.Tensor, queries: tf.Tensor) -> Index:
        """Item codes [B, M, S, L] and query codes [B, 1, S_q, L] uint8, gamma [B, M+1, L] float16."""
        item_codes, query_codes, gamma = super().index(items, queries)
        columns = [tf.transpose(codes, (0, 2, 3, 1)) for codes in (item_codes, query_codes)]
        return (*columns, tf.transpose(gamma, (0, 2, 1)))

    def scores(self, index: Index, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """See SearchMethod."""
        return self._compiled(*self.tables_of(items, queries), *index)

    @tf.function(jit_compile=True, autograph=False)
    def _compiled(
        self, of_items: tf.Tensor, of_query: tf.Tensor, items: tf.Tensor, query: tf.Tensor, gamma: tf.Tensor
    ) -> tf.Tensor:
        return looked_up_by_column(of_items, items, gamma[:, 1:]) + looked_up_by_column(of_query, query, gamma[:, :1])


class DecodeMultiply(CodeSearch):
    """Rebuilds the gated pairs from their codes once a request, then one product: ADC's scores, for many targets."""

    def __init__(self, codes: QuantizedTables, tables: GsuTables, name: str = "decode") -> None:
        super().__init__(codes, tables, name)

    def decoded(self, index: Index) -> tf.Tensor:
        """The pairs, rotated: [B, L, d']."""
        item_codes, query_codes, gamma = index
        weights = tf.cast(gamma, tf.float32)[..., tf.newaxis]
        items = tf.reduce_sum(weights[..., 1:, :] * decode(self._items, item_codes), axis=2)
        return items + weights[..., 0, :] * decode(self._query, query_codes)[:, :, 0]

    def scores(self, index: Index, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """See SearchMethod."""
        return tf.matmul(self.targets(items, queries), self.decoded(index), transpose_b=True)
