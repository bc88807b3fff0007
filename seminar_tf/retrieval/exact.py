"""Exact scores: the paper's way, and with all of a pair's channels fused before the request."""

from __future__ import annotations

import tensorflow as tf

from seminar_tf.layers.channel_gate import ChannelGate
from seminar_tf.layers.masking import NEGATIVE, masked_softmax
from seminar_tf.retrieval.method import Index, SearchMethod
from seminar_tf.retrieval.tables import GsuTables


class ExactUnfused(SearchMethod):
    """Gate, fusion, projection by W^K and the heads' inner products for every pair of the request.

    Args:
      tables: of the model.
      query_kernel, key_kernel: (d, d) W^Q and W^K, heads side by side; scores are those of `tables.fold`.
      heads: H.
    """

    def __init__(self, tables: GsuTables, query_kernel: tf.Tensor, key_kernel: tf.Tensor, heads: int) -> None:
        super().__init__(name="exact_unfused")
        self._channels = PairChannels(tables)
        self._query_kernel, self._key_kernel = tf.constant(query_kernel), tf.constant(key_kernel)
        self._heads, self._dim = heads, tables.dim

    def index(self, items: tf.Tensor, queries: tf.Tensor) -> Index:
        """Channel vectors [B, L, M+1, d] and their gate logits [B, L, M+1]."""
        return self._channels(items, queries)

    def scores(self, index: Index, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """See SearchMethod."""
        vectors, logits = index
        keys = self._split(fuse(vectors, logits) @ self._key_kernel)
        targets = self._split(fuse(*self._channels(items, queries)) @ self._query_kernel)
        alpha = tf.matmul(targets, keys, transpose_b=True) * (self._dim // self._heads) ** -0.5
        return tf.reduce_mean(alpha, axis=1)

    def _split(self, x: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(x)
        return tf.transpose(tf.reshape(x, (shape[0], shape[1], self._heads, -1)), (0, 2, 1, 3))

    def is_exact(self) -> bool:
        """True."""
        return True

    def bytes_per_pair(self) -> float:
        """Floats of M+1 channels, and of their logits."""
        return 4.0 * self._channels.count * (self._dim + 1)


class ExactByChannel(ExactUnfused):
    """The same scores with nothing added up beforehand: sum_i sum_j gamma_i gamma_j alpha(x_t^(i), x^(j)), each pair of
    channels by itself, as the paper writes what product quantization approximates.
    """

    def __init__(self, tables: GsuTables, query_kernel: tf.Tensor, key_kernel: tf.Tensor, heads: int) -> None:
        super().__init__(tables, query_kernel, key_kernel, heads)
        self.name = "exact_by_channel"

    def scores(self, index: Index, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """See SearchMethod."""
        vectors, logits = index
        targets, own = self._channels(items, queries)
        keys = self._gated(vectors, logits, self._key_kernel)
        asked = self._gated(targets, own, self._query_kernel)
        each = [tf.reduce_mean(tf.matmul(a, k, transpose_b=True), axis=1) for a in asked for k in keys]
        return tf.add_n(each) * (self._dim // self._heads) ** -0.5

    def _gated(self, vectors: tf.Tensor, logits: tf.Tensor, kernel: tf.Tensor) -> list[tf.Tensor]:
        """[B, n, M+1, d] -> for each channel [B, H, n, d_h], projected and weighted."""
        weighted = gate_weights(logits)[..., tf.newaxis] * vectors
        return [self._split(weighted[:, :, m] @ kernel) for m in range(self._channels.count)]


class ExactFused(SearchMethod):
    """Pairs fused from vectors known before the request; one product of two matrices.

    Args:
      tables: of the model.
    """

    def __init__(self, tables: GsuTables) -> None:
        super().__init__(name="exact_fused")
        fused = tables.fused()
        self._item, self._query = tf.constant(fused.item[:, 0]), tf.constant(fused.query)
        self._item_logit, self._query_logit = tf.constant(fused.item_logit[:, 0]), tf.constant(fused.query_logit)
        self._fold, self._dim = tf.constant(tables.fold), tables.dim

    def pairs(self, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """x of pairs: ids [...] -> [..., d]."""
        return ChannelGate.combine(
            tf.gather(self._item, items),
            tf.gather(self._item_logit, items),
            tf.gather(self._query, queries),
            tf.gather(self._query_logit, queries),
        )

    def targets(self, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """x_t A of targets: ids [...] -> [..., d]."""
        return self.pairs(items, queries) @ self._fold

    def index(self, items: tf.Tensor, queries: tf.Tensor) -> Index:
        """The pairs, [B, L, d]."""
        return (self.pairs(items, queries),)

    def scores(self, index: Index, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """See SearchMethod."""
        return tf.matmul(self.targets(items, queries), index[0], transpose_b=True)

    def is_exact(self) -> bool:
        """True."""
        return True

    def bytes_per_pair(self) -> float:
        """d floats."""
        return 4.0 * self._dim


class PairChannels:
    """Channel vectors and gate logits of pairs, looked up by id."""

    def __init__(self, tables: GsuTables) -> None:
        self._item, self._query = tf.constant(tables.item), tf.constant(tables.query)
        self._item_logit, self._query_logit = tf.constant(tables.item_logit), tf.constant(tables.query_logit)
        self.count = len(tables.channels)

    def __call__(self, items: tf.Tensor, queries: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Ids [...] and [...] -> vectors [..., M+1, d] and logits [..., M+1], query first."""
        query, query_logit = tf.gather(self._query, queries), tf.gather(self._query_logit, queries)
        vectors = tf.concat([query[..., tf.newaxis, :], tf.gather(self._item, items)], axis=-2)
        return vectors, tf.concat([query_logit[..., tf.newaxis], tf.gather(self._item_logit, items)], axis=-1)


def gate_weights(logits: tf.Tensor) -> tf.Tensor:
    """gamma: logits [..., M+1], NEGATIVE where the channel is missing -> [..., M+1]."""
    return masked_softmax(logits, logits > NEGATIVE)


def fuse(vectors: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """x of pairs: [..., M+1, d] and [..., M+1] -> [..., d]."""
    return tf.reduce_sum(gate_weights(logits)[..., tf.newaxis] * vectors, axis=-2)
