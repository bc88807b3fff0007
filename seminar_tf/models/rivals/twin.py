"""TWIN: one target attention in both stages, with a bias of cross features (arXiv 2302.02352)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from seminar_tf.features import names
from seminar_tf.layers import seeding
from seminar_tf.layers.cross_feature_bias import CrossFeatureBias
from seminar_tf.layers.search_unit import SearchUnit
from seminar_tf.models.fused_batch import FusedBatch
from seminar_tf.models.rivals.item_categories import ItemCategories
from seminar_tf.models.rivals.searching import SearchingRanker


class Twin(SearchingRanker):
    """alpha = (K_h W^h)(W^q q)^T / sqrt(d_k) + (K_c W^c) beta both keeps the K pairs and weights them.

    The first stage takes the heads' mean of alpha, with the very weights of the second. Inherent features are the
    pair's vector, whose projection is folded into the target's, so that no history is projected.

    Args:
      as in TableRanker; without `categories` "same category" is no cross feature.
    """

    def make_history(self, categories: np.ndarray | None) -> None:
        """The attention, and the bias that both stages add to it."""
        super().make_history(categories)
        config = self.config
        # Without weights of its own.
        self.search = SearchUnit(config.dim, config.heads, config.top_k, shared=True, name="search")
        self.categories = None if categories is None else ItemCategories(categories, name="categories")
        seed = seeding.derive(self.seed, "cross")
        self.cross = CrossFeatureBias(config.heads, config.use_recency, categories is not None, seed, name="cross")

    def scores(self, target: tf.Tensor, seen: FusedBatch, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """See SearchingRanker."""
        kernels = (self.attention.query_kernel, self.attention.key_kernel)
        request = tf.reduce_mean(self._of_request(seen, batch), axis=-1)
        scores = tf.cast(self.search.scores(target, seen.keys(), seen.mask, request, kernels), tf.float32)
        same = self._same_category(batch)
        if same is not None:
            without, of_same = tf.unstack(tf.reduce_mean(self.cross.of_category(tf.constant([False, True])), axis=-1))
            # Padding stays far below: its score is NEGATIVE.
            scores += tf.cast(tf.where(same, of_same, without), tf.float32)
        return scores

    def bias(self, seen: FusedBatch, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """See SearchingRanker."""
        bias = tf.transpose(self._of_request(seen, batch), (0, 2, 1))[:, :, tf.newaxis]
        same = self._same_category(batch)
        return bias if same is None else bias + tf.transpose(self.cross.of_category(same), (0, 3, 1, 2))

    def picked_bias(self, seen: FusedBatch, batch: Mapping[str, tf.Tensor], places: tf.Tensor) -> tf.Tensor:
        """See SearchingRanker."""
        same = self._same_category(batch)
        if same is not None:
            same = tf.gather(same, places, batch_dims=2)
        pick = seen.pick
        gap, position, typed = pick(seen.gap, places), pick(seen.position, places), self._same_query(batch)
        return tf.transpose(self.cross(gap, position, pick(typed, places), same), (0, 1, 3, 2))

    def _of_request(self, seen: FusedBatch, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The bias but the category's part: [B, L, H]."""
        return self.cross(seen.gap, seen.position, self._same_query(batch))

    @staticmethod
    def _same_query(batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Whether a pair was found by the query that the request types: [B, L] bool; browsing never is."""
        query = batch[names.QUERY][:, tf.newaxis]
        return tf.equal(batch[names.HISTORY_QUERY], query) & (query > names.EMPTY_QUERY_ID)

    def _same_category(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor | None:
        if self.categories is None:
            return None
        return self.categories.same(batch[names.HISTORY_ITEM_ID], batch[names.CANDIDATE_ITEM_ID])
