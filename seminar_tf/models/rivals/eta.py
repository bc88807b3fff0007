"""ETA: K pairs by the Hamming distance of SimHash signatures, then target attention (arXiv 2108.04468)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from seminar_tf.layers import seeding
from seminar_tf.layers.sim_hash import SimHash
from seminar_tf.models.fused_batch import FusedBatch
from seminar_tf.models.rivals.searching import SearchingRanker, masked

# float32 counts exactly to 2^24: distances up to 128 leave 2^16 positions to part equal ones.
_POSITIONS = 1 << 16


class Eta(SearchingRanker):
    """Keeps the K pairs whose signature has the least Hamming distance from the target's: h(x) = sign(x R).

    Signatures are of the very vectors that the attention sees, so they change as those train. Of pairs at the same
    distance, of which there are many, the newer ones are kept.

    Args:
      as in TableRanker.
    """

    def make_history(self, categories: np.ndarray | None) -> None:
        """The attention and the hash."""
        super().make_history(categories)
        bits = self.config.rivals.hash_bits
        self.hash = SimHash(self.config.dim, bits, seeding.derive(self.seed, "hash"), name="hash")

    def scores(self, target: tf.Tensor, seen: FusedBatch, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """See SearchingRanker: minus (distance 2^16 + position)."""
        # (m - a b) / 2: one product instead of a count of unequal bits.
        agreement = tf.matmul(self.hash(target), self.hash(seen.keys()), transpose_b=True)
        distance = 0.5 * (self.hash.bits - agreement)
        position = tf.cast(tf.clip_by_value(seen.position, 0, _POSITIONS - 1), tf.float32)
        return masked(-(distance * _POSITIONS + position[:, tf.newaxis]), seen.mask)
