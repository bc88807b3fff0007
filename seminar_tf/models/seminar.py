"""SEMINAR: GSU, ESU, short branch and prediction heads on the restored tables (spec section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from seminar_tf.layers import seeding
from seminar_tf.layers.exact_search_unit import ExactSearchUnit
from seminar_tf.layers.recency_bias import RecencyBias
from seminar_tf.layers.search_unit import SearchUnit
from seminar_tf.models.channel_tables import ChannelTables, restore
from seminar_tf.models.fused_batch import FusedBatch, fuse_batch
from seminar_tf.models.history_ranker import HistoryRanker
from seminar_tf.models.lifelong import LifelongBranch


class Seminar(HistoryRanker):
    """Scores the N candidates of each request; one logit a task.

    GSU scores are one (N, d) x (d, L) product.

    Args:
      as in TableRanker.
    """

    def make_history(self, categories: np.ndarray | None) -> None:
        """GSU, ESU and the recency bias that both share."""
        config = self.config
        dim, heads = config.dim, config.heads
        self.search = SearchUnit(dim, heads, config.top_k, config.share_gsu_esu, config.top_k_per_head, name="search")
        self.exact = ExactSearchUnit(dim, heads, seeding.derive(self.seed, "exact"), name="exact")
        self.exact.build(None)
        self.recency = RecencyBias(heads, name="recency") if config.use_recency else None

    def restore_history(self, tables: ChannelTables) -> None:
        """The GSU's W^Q and W^K."""
        if not self.config.share_gsu_esu:
            # Without pretraining the GSU stays a plain inner product.
            restore("search", self.search, tables)

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
          only: `found` or `scores` gives that of the search alone: search_history and search_scores, computed here so
            that they are of the model's own compute type.
        """
        seen = fuse_batch(self.pairs, batch, training)
        target = seen.targets()
        if only:
            return {"found": self.lifelong.found, "scores": self.lifelong.scores}[only](target, seen)
        return self.logits(target, seen, batch, training, step_seed)

    def read_history(
        self, target: tf.Tensor, seen: FusedBatch, batch: Mapping[str, tf.Tensor], training: bool
    ) -> tf.Tensor:
        """See HistoryRanker."""
        return self.lifelong(target, seen, training)

    @property
    def lifelong(self) -> LifelongBranch:
        """GSU and ESU together."""
        return LifelongBranch(self.config, self.search, self.exact, self.recency)

    def search_history(self, batch: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Which pairs the GSU keeps for each candidate, and their weights in the ESU.

        Args:
          batch: as in `call`.

        Returns:
          positions: [B, N, K'] int32 into L, best first, -1 where there are fewer ([B, N, H, K'] with top_k_per_head).
          weights: float32 of the same shape, see LifelongBranch.found.
        """
        found: tuple[tf.Tensor, tf.Tensor] = self(batch, only="found")
        return found

    def search_scores(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The GSU's scores by which it keeps pairs: [B, N, L], or [B, N, H, L] with top_k_per_head."""
        return self(batch, only="scores")
