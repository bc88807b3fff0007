"""Scores from codes: asymmetric distance by table look-ups, plain or under XLA, and decode-then-multiply."""

from __future__ import annotations

import tensorflow as tf

from seminar_tf.retrieval.exact import ExactFused, gate_weights
from seminar_tf.retrieval.method import Index, SearchMethod
from seminar_tf.retrieval.quantizer import QuantizedTables
from seminar_tf.retrieval.tables import GsuTables


class CodeSearch(SearchMethod):
    """What methods on codes share: codes and gate weights of a history; targets stay floats.

    Args:
      codes: of the model's tables.
      tables: the model's own, for the targets, which are not quantized.
      name: as tables show it.
    """

    def __init__(self, codes: QuantizedTables, tables: GsuTables, name: str) -> None:
        super().__init__(name=name)
        self._codes = codes
        self._targets = ExactFused(tables)
        self._rotation = tf.constant(codes.rotation)
        self._centroids = tf.constant(codes.centroids)
        self._item_codes, self._query_codes = tf.constant(codes.item_codes), tf.constant(codes.query_codes)
        self._item_logit, self._query_logit = tf.constant(codes.item_logit), tf.constant(codes.query_logit)
        self.count, self.subvectors, self.size = len(codes.channels), codes.subvectors, codes.size

    def index(self, items: tf.Tensor, queries: tf.Tensor) -> Index:
        """Codes [B, L, M+1, S] uint8 and gamma [B, L, M+1] float16."""
        query = tf.gather(self._query_codes, queries)[:, :, tf.newaxis]
        codes = tf.concat([query, tf.gather(self._item_codes, items)], axis=2)
        logits = [tf.gather(self._query_logit, queries)[..., tf.newaxis], tf.gather(self._item_logit, items)]
        return codes, tf.cast(gate_weights(tf.concat(logits, axis=-1)), tf.float16)

    def tables_of(self, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """Inner products of each target's sub-vectors with all centroids: ids [B, N] -> [B, N, M+1, S, C]."""
        targets = self._targets.targets(items, queries) @ self._rotation
        shape = tf.shape(targets)
        parts = tf.reshape(targets, (shape[0], shape[1], self.subvectors, -1))
        return tf.einsum("bnse,msce->bnmsc", parts, self._centroids)

    def is_exact(self) -> bool:
        """False."""
        return False

    def bytes_per_pair(self) -> float:
        """A byte a sub-vector of M+1 channels, and their weights in float16."""
        return float(self.count * (self.subvectors + 2))


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
        columns = tf.reshape(codes, (shape[0], shape[1], self.count * self.subvectors))
        return tf.transpose(columns, (0, 2, 1)), tf.transpose(gamma, (0, 2, 1))

    def scores(self, index: Index, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """See SearchMethod."""
        return self._compiled(self.tables_of(items, queries), *index)

    @tf.function(jit_compile=True)
    def _compiled(self, table: tf.Tensor, columns: tf.Tensor, gamma: tf.Tensor) -> tf.Tensor:
        channels = []
        for m in range(self.count):
            total = 0.0
            for s in range(self.subvectors):
                codes = tf.cast(columns[:, m * self.subvectors + s], tf.int32)
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
        shape = tf.shape(codes)
        # Row of each code among all centroids, of all channels and sub-vectors.
        first = tf.range(self.count * self.subvectors) * self.size
        rows = tf.cast(codes, tf.int32) + tf.reshape(first, (self.count, self.subvectors))
        parts = tf.gather(tf.reshape(self._centroids, (-1, self._centroids.shape[-1])), rows)
        vectors = tf.reshape(parts, (shape[0], shape[1], self.count, self._codes.dim))
        return tf.reduce_sum(tf.cast(gamma, tf.float32)[..., tf.newaxis] * vectors, axis=2)

    def scores(self, index: Index, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """See SearchMethod."""
        targets = self._targets.targets(items, queries) @ self._rotation
        return tf.matmul(targets, self.decoded(index), transpose_b=True)


def looked_up(table: tf.Tensor, codes: tf.Tensor, gamma: tf.Tensor) -> tf.Tensor:
    """sum_m gamma_m sum_s table[m, s, code]: [B, N, M+1, S, C], [B, L, M+1, S], [B, L, M+1] -> [B, N, L]."""
    shape, size = tf.shape(codes), table.shape[-1]
    channels, subvectors = table.shape[2], table.shape[3]
    first = tf.reshape(tf.range(channels * subvectors) * size, (channels, subvectors))
    rows = tf.reshape(tf.cast(codes, tf.int32) + first, (shape[0], shape[1] * channels * subvectors))
    flat = tf.reshape(table, (shape[0], tf.shape(table)[1], channels * subvectors * size))
    picked = tf.reshape(tf.gather(flat, rows, axis=2, batch_dims=1), (shape[0], -1, shape[1], channels, subvectors))
    return tf.reduce_sum(tf.reduce_sum(picked, axis=4) * tf.cast(gamma, tf.float32)[:, tf.newaxis], axis=3)
