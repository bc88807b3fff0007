"""SDIM: the pairs that share a hash bucket with the target, neither searched nor weighted (arXiv 2205.10249)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from seminar_tf.layers import seeding
from seminar_tf.layers.sim_hash import SimHash
from seminar_tf.models.fused_batch import FusedBatch
from seminar_tf.models.history_ranker import HistoryRanker


class Sdim(HistoryRanker):
    """x = tau / m sum_g l2(sum_j [bucket_g(e_j) = bucket_g(target)] e_j) over the m / tau groups.

    A group's tau hash functions name one of 2^tau buckets. The normalised sum of every bucket depends on the request
    alone and is computed once (the paper's Behavior Sequence Encoding server); a candidate picks one bucket a group.

    Args:
      as in TableRanker.
    """

    def make_history(self, categories: np.ndarray | None) -> None:
        """The hash; there is nothing to train."""
        rivals = self.config.rivals
        seed = seeding.derive(self.seed, "hash")
        self.hash = SimHash(self.config.dim, rivals.sdim_hashes, seed, name="hash")

    @property
    def groups(self) -> int:
        """m / tau."""
        return self.config.rivals.sdim_hashes // self.config.rivals.sdim_width

    def read_history(
        self, target: tf.Tensor, seen: FusedBatch, batch: Mapping[str, tf.Tensor], training: bool
    ) -> tf.Tensor:
        """See HistoryRanker."""
        pairs = seen.pairs.pairs(seen.history_items, seen.history_queries)
        mask = tf.cast(seen.mask, tf.float32)[..., tf.newaxis]
        # Sums of long histories are taken in float32 under any policy.
        sums = tf.matmul(self._buckets(pairs) * mask, tf.cast(pairs, tf.float32), transpose_a=True)
        table = tf.math.l2_normalize(sums, axis=-1, epsilon=1e-12)
        return tf.cast(tf.matmul(self._buckets(target), table) / self.groups, target.dtype)

    def _buckets(self, x: tf.Tensor) -> tf.Tensor:
        """Which bucket of each group: [B, n, d] -> [B, n, m / tau 2^tau] of ones and zeros."""
        width = self.config.rivals.sdim_width
        bits = tf.cast(self.hash(x) > 0, tf.int32)
        shape = tf.shape(bits)
        bits = tf.reshape(bits, (shape[0], shape[1], self.groups, width))
        number = tf.reduce_sum(bits * tf.constant([1 << n for n in range(width)]), axis=-1)
        return tf.reshape(tf.one_hot(number, 1 << width), (shape[0], shape[1], self.groups << width))
