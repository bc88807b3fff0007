"""Scores from codes: asymmetric distance by table look-ups, plain or under XLA, and decode-then-multiply."""

from __future__ import annotations

import tensorflow as tf

from seminar_tf.layers.centroids import code_rows, decode
from seminar_tf.retrieval.exact import ExactFused, gate_weights
from seminar_tf.retrieval.method import Index, SearchMethod
from seminar_tf.retrieval.quantizer import QuantizedTables
from seminar_tf.retrieval.tables import GsuTables


class PairCodes:
    """Codes and gate weights of pairs, by id.

    Attributes:
      count: M+1. subvectors: S. size: C.
      bytes: of a pair: a byte a sub-vector of M+1 channels, and their weights in float16.
    """

    def __init__(self, codes: QuantizedTables) -> None:
        self._item, self._query = tf.constant(codes.item_codes), tf.constant(codes.query_codes)
        self._item_logit, self._query_logit = tf.constant(codes.item_logit), tf.constant(codes.query_logit)
        self.count, self.subvectors, self.size = len(codes.channels), codes.subvectors, codes.size
        self.bytes = float(self.count * (self.subvectors + 2))

    def __call__(self, items: tf.Tensor, queries: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Ids [...] -> codes [..., M+1, S] uint8 and gamma [..., M+1] float16."""
        query = tf.gather(self._query, queries)[..., tf.newaxis, :]
        codes = tf.concat([query, tf.gather(self._item, items)], axis=-2)
        logits = [tf.gather(self._query_logit, queries)[..., tf.newaxis], tf.gather(self._item_logit, items)]
        return codes, tf.cast(gate_weights(tf.concat(logits, axis=-1)), tf.float16)


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
        self._rotation, self._centroids = tf.constant(codes.rotation), tf.constant(codes.centroids)

    def index(self, items: tf.Tensor, queries: tf.Tensor) -> Index:
        """Codes [B, L, M+1, S] uint8 and gamma [B, L, M+1] float16."""
        return self._pairs(items, queries)

    def targets(self, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """x_t A R of targets: ids [B, N] -> [B, N, d], to be multiplied with pairs that are still rotated."""
        return self._exact.targets(items, queries) @ self._rotation

    def tables_of(self, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """Inner products of each target's sub-vectors with all centroids: ids [B, N] -> [B, N, M+1, S, C]."""
        targets = self.targets(items, queries)
        shape = tf.shape(targets)
        parts = tf.reshape(targets, (shape[0], shape[1], self._pairs.subvectors, -1))
        return tf.einsum("bnse,msce->bnmsc", parts, self._centroids)

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
        codes, gamma = index
        return looked_up(self.tables_of(items, queries), codes, gamma)


class CompiledAdc(CodeSearch):
    """The same under XLA, which fuses look-ups and sums; codes lie by column, so that a look-up reads them in a row."""

    def __init__(self, codes: QuantizedTables, tables: GsuTables, name: str = "adc_xla") -> None:
        super().__init__(codes, tables, name)

    def index(self, items: tf.Tensor, queries: tf.Tensor) -> Index:
        """Codes [B, (M+1) S, L] uint8 and gamma [B, M+1, L] float16."""
        codes, gamma = super().index(items, queries)
        shape = tf.shape(codes)
        columns = tf.reshape(codes, (shape[0], shape[1], self._pairs.count * self._pairs.subvectors))
        return tf.transpose(columns, (0, 2, 1)), tf.transpose(gamma, (0, 2, 1))

    def scores(self, index: Index, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """See SearchMethod."""
        return self._compiled(self.tables_of(items, queries), *index)

    @tf.function(jit_compile=True)
    def _compiled(self, table: tf.Tensor, columns: tf.Tensor, gamma: tf.Tensor) -> tf.Tensor:
        channels = []
        for m in range(self._pairs.count):
            total = 0.0
            for s in range(self._pairs.subvectors):
                codes = tf.cast(columns[:, m * self._pairs.subvectors + s], tf.int32)
                total += tf.gather(table[:, :, m, s], codes, axis=2, batch_dims=1)  # [B, N, L]
            channels.append(tf.cast(gamma[:, m], tf.float32)[:, tf.newaxis] * total)
        return tf.add_n(channels)


class DecodeMultiply(CodeSearch):
    """Rebuilds the gated pairs from their codes once a request, then one product: ADC's scores, for many targets."""

    def __init__(self, codes: QuantizedTables, tables: GsuTables, name: str = "decode") -> None:
        super().__init__(codes, tables, name)

    def decoded(self, index: Index) -> tf.Tensor:
        """The pairs, rotated: [B, L, d]."""
        codes, gamma = index
        vectors = decode(self._centroids, codes)
        return tf.reduce_sum(tf.cast(gamma, tf.float32)[..., tf.newaxis] * vectors, axis=2)

    def scores(self, index: Index, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """See SearchMethod."""
        return tf.matmul(self.targets(items, queries), self.decoded(index), transpose_b=True)


def looked_up(table: tf.Tensor, codes: tf.Tensor, gamma: tf.Tensor) -> tf.Tensor:
    """sum_m gamma_m sum_s table[m, s, code]: [B, N, M+1, S, C], [B, L, M+1, S], [B, L, M+1] -> [B, N, L]."""
    shape, size = tf.shape(codes), table.shape[-1]
    channels, subvectors = table.shape[2], table.shape[3]
    rows = tf.reshape(code_rows(codes, size), (shape[0], shape[1] * channels * subvectors))
    flat = tf.reshape(table, (shape[0], tf.shape(table)[1], channels * subvectors * size))
    picked = tf.reshape(tf.gather(flat, rows, axis=2, batch_dims=1), (shape[0], -1, shape[1], channels, subvectors))
    return tf.reduce_sum(tf.reduce_sum(picked, axis=4) * tf.cast(gamma, tf.float32)[:, tf.newaxis], axis=3)
