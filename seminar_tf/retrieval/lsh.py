"""SimHash: pairs and targets by the signs of random projections, compared by Hamming distance (as in ETA)."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from seminar_tf.retrieval.exact import ExactFused
from seminar_tf.retrieval.method import Index, SearchMethod
from seminar_tf.retrieval.tables import GsuTables

_WORD = 32


class SimHash(SearchMethod):
    """Scores are the bits in which a pair and x_t A agree; they tell of the angle, not of the length.

    Args:
      tables: of the model.
      bits: of a hash, a multiple of 32.
      seed: of the projections.
    """

    def __init__(self, tables: GsuTables, bits: int = 256, seed: int = 0) -> None:
        super().__init__(f"simhash_{bits}")
        if bits < _WORD or bits % _WORD:
            raise ValueError(f"SimHash: {bits} bits, expected a multiple of {_WORD}.")
        self._exact = ExactFused(tables)
        self._bits = bits
        planes = np.random.default_rng(seed).normal(size=(tables.dim, bits))
        self._planes = tf.constant(planes, tf.float32)
        self._places = tf.constant(1 << np.arange(_WORD), tf.uint32)

    def _hash(self, vectors: tf.Tensor) -> tf.Tensor:
        """[B, n, d] -> [B, n, bits / 32] uint32."""
        shape = tf.shape(vectors)
        signs = tf.reshape(vectors @ self._planes > 0, (shape[0], shape[1], self._bits // _WORD, _WORD))
        # Each place is another power of two, so that the sum is exact whatever its order.
        return tf.cast(tf.reduce_sum(tf.cast(tf.where(signs, self._places, 0), tf.int64), axis=-1), tf.uint32)

    def index(self, items: tf.Tensor, queries: tf.Tensor) -> Index:
        """Hashes [B, L, bits / 32] uint32."""
        return (self._hash(self._exact.pairs(items, queries)),)

    def scores(self, index: Index, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """See SearchMethod."""
        own = self._hash(self._exact.targets(items, queries))
        differ = tf.bitwise.bitwise_xor(own[:, :, tf.newaxis], index[0][:, tf.newaxis])
        distance = tf.reduce_sum(tf.cast(tf.raw_ops.PopulationCount(x=differ), tf.int32), axis=-1)
        return tf.cast(self._bits - distance, tf.float32)

    def is_exact(self) -> bool:
        """False."""
        return False

    def bytes_per_pair(self) -> float:
        """The bits."""
        return self._bits / 8
