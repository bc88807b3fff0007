"""SEMINAR: GSU, ESU, short branch and prediction heads on the restored tables (spec section 5)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from seminar_tf.layers import seeding
from seminar_tf.layers.exact_search_unit import ExactSearchUnit
from seminar_tf.layers.recency_bias import RecencyBias
from seminar_tf.layers.search_unit import SearchUnit
from seminar_tf.models.channel_tables import ChannelTables, restore
from seminar_tf.models.fused_batch import FusedBatch
from seminar_tf.models.lifelong import LifelongBranch
from seminar_tf.models.search_ranker import SearchRanker


class Seminar(SearchRanker):
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

    def read_history(
        self, target: tf.Tensor, seen: FusedBatch, batch: Mapping[str, tf.Tensor], training: bool
    ) -> tf.Tensor:
        """See HistoryRanker."""
        return self.lifelong(target, seen, training)

    @property
    def lifelong(self) -> LifelongBranch:
        """GSU and ESU together."""
        return LifelongBranch(self.config, self.search, self.exact, self.recency)

    def scores(self, target: tf.Tensor, seen: FusedBatch, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """See SearchRanker: the GSU's scores."""
        return self.lifelong.scores(target, seen)

    def found(self, target: tf.Tensor, seen: FusedBatch, batch: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """See SearchRanker: what the GSU keeps, and its weights in the ESU."""
        return self.lifelong.found(target, seen)
