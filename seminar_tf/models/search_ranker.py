"""What rankers share that search a history: the logits, or the search alone, computed in the model's own type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from seminar_tf.models.fused_batch import FusedBatch, fuse_batch
from seminar_tf.models.history_ranker import HistoryRanker


class SearchRanker(HistoryRanker):
    """A lifelong branch that keeps K pairs of the history for each candidate, and can say which.

    A subclass defines `scores` and `found` beside what HistoryRanker asks for.

    Args:
      as in TableRanker.
    """

    def scores(self, target: tf.Tensor, seen: FusedBatch, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """What pairs are kept by. Subclasses define it.

        Args:
          target, seen, batch: as in `read_history`.

        Returns:
          [B, N, L] float32, NEGATIVE for pairs that may not be kept, padding among them; [B, N, H, L] where each head
          keeps its own.
        """
        raise TypeError(f"{type(self).__name__} does not define scores.")

    def found(self, target: tf.Tensor, seen: FusedBatch, batch: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Which pairs are kept, and their weights: as `search_history`. Subclasses define it."""
        raise TypeError(f"{type(self).__name__} does not define found.")

    def call(
        self,
        batch: Mapping[str, tf.Tensor],
        training: bool = False,
        step_seed: tf.Tensor | None = None,
        only: str = "",
    ) -> Any:
        """Logits of every candidate, as HistoryRanker.call.

        Args:
          batch, training, step_seed: see there.
          only: `found` or `scores` gives that alone: search_history and search_scores come through here, where Keras
            casts to the model's own compute type.
        """
        seen = fuse_batch(self.pairs, batch, training)
        target = seen.targets()
        if only:
            return {"found": self.found, "scores": self.scores}[only](target, seen, batch)
        return self.logits(target, seen, batch, training, step_seed)

    def search_history(self, batch: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Which pairs are kept for each candidate, and their weights in the attention over them.

        Args:
          batch: as in `call`.

        Returns:
          positions: [B, N, K'] int32 into L, best first, -1 where there are fewer; K' = min(K, L). [B, N, H, K'] where
            each head keeps its own.
          weights: float32 of the same shape: the heads' mean, or each head's own.
        """
        found: tuple[tf.Tensor, tf.Tensor] = self(batch, only="found")
        return found

    def search_scores(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """`scores` of a batch."""
        return self(batch, only="scores")
