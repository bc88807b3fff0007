"""DIN: pairs weighted by a local activation unit, and summed (arXiv 1706.06978)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from seminar_tf.layers import seeding
from seminar_tf.layers.activation_unit import ActivationUnit
from seminar_tf.layers.short_branch import last_positions
from seminar_tf.models.fused_batch import FusedBatch
from seminar_tf.models.history_ranker import HistoryRanker


class Din(HistoryRanker):
    """v(A) = sum_j a(e_j, v_A) e_j over the newest K pairs (eq. 3), a an MLP of one PReLU layer, without a softmax.

    Args:
      as in TableRanker.
    """

    def make_history(self, categories: np.ndarray | None) -> None:
        """The activation unit."""
        # So that sums start in the range of the other features; constant, so that the weights can make up for it.
        scale = self.pairs_at_most() ** -0.5
        seed = seeding.derive(self.seed, "activation")
        units = self.config.rivals.attention_units
        self.activation = ActivationUnit(self.config.dim, units, scale, seed, name="activation")

    def pairs_at_most(self) -> int:
        """Pairs that a sum in training has at most."""
        return self.config.top_k

    def read_history(
        self, target: tf.Tensor, seen: FusedBatch, batch: Mapping[str, tf.Tensor], training: bool
    ) -> tf.Tensor:
        """See HistoryRanker."""
        pairs, mask = self.summed(seen)
        return self.activation(target, pairs, mask, training=training)

    def summed(self, seen: FusedBatch) -> tuple[tf.Tensor, tf.Tensor]:
        """The pairs that are summed, [B, n, d], and which of them are any, [B, n] bool."""
        places, valid = last_positions(seen.mask, self.config.top_k)
        return seen.picked(places), valid


class DinWhole(Din):
    """DIN over all L pairs: what no search can lose, at the price of the whole history in every activation.

    Args:
      as in TableRanker.
    """

    def pairs_at_most(self) -> int:
        """See Din."""
        return self.config.history_length

    def summed(self, seen: FusedBatch) -> tuple[tf.Tensor, tf.Tensor]:
        """See Din."""
        return seen.pairs.pairs(seen.history_items, seen.history_queries), seen.mask
