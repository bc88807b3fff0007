"""SIM: general search by category (hard) or index embeddings (soft), then exact attention (arXiv 2006.05639)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from seminar_tf.features import names
from seminar_tf.layers import seeding
from seminar_tf.layers.projection import project
from seminar_tf.layers.recency_bias import GAP_BUCKETS, RecencyBias
from seminar_tf.losses.click import masked_bce
from seminar_tf.models.fused_batch import FusedBatch, fuse_batch
from seminar_tf.models.rivals.item_categories import ItemCategories, required
from seminar_tf.models.rivals.searching import SearchingRanker, masked

GSU = "gsu"


class Sim(SearchingRanker):
    """The exact search unit of both kinds: attention over z_j = concat(e_j, e_j^t), e^t of the time gap (eq. 3 and 4).

    Args:
      as in TableRanker.
    """

    def make_history(self, categories: np.ndarray | None) -> None:
        """The attention and the embedding of time gaps."""
        super().make_history(categories)
        self.gap: tf.keras.layers.Embedding | None = None
        if self.config.use_recency:
            start = seeding.normal(self.seed, "gap", 0.05)
            self.gap = tf.keras.layers.Embedding(GAP_BUCKETS, self.config.dim, embeddings_initializer=start, name="gap")

    def key_dim(self) -> int:
        """See SearchingRanker."""
        return self.config.dim * (1 + self.config.use_recency)

    def keys(self, seen: FusedBatch) -> tf.Tensor:
        """See SearchingRanker."""
        return self._with_gap(seen.keys(), seen.gap)

    def picked(self, seen: FusedBatch, places: tf.Tensor) -> tf.Tensor:
        """See SearchingRanker."""
        return self._with_gap(seen.picked(places), seen.pick(seen.gap, places))

    def _with_gap(self, pairs: tf.Tensor, gap_ms: tf.Tensor) -> tf.Tensor:
        """z of pairs: [..., d] and [...] int64 ms -> [..., key_dim]."""
        if self.gap is None:
            return pairs
        return tf.concat([pairs, tf.cast(self.gap(RecencyBias.gap_bucket(gap_ms)), pairs.dtype)], axis=-1)


class SimHard(Sim):
    """Keeps the newest K pairs whose item has a category of the target's (eq. 1, hard search).

    Args:
      as in TableRanker; `categories` must be given.
    """

    def make_history(self, categories: np.ndarray | None) -> None:
        """The exact search unit, and the categories."""
        super().make_history(categories)
        self.categories = ItemCategories(required(categories, "sim_hard"), name="categories")

    def scores(self, target: tf.Tensor, seen: FusedBatch, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """See SearchingRanker: the newer a pair the larger, exact in float32 up to 2^24 pairs."""
        same = self.categories.same(batch[names.HISTORY_ITEM_ID], batch[names.CANDIDATE_ITEM_ID])
        return masked(-seen.position[:, tf.newaxis], same & seen.mask[:, tf.newaxis])


class SimSoft(Sim):
    """Keeps the K pairs of largest r_j = (W_b e_j)^T (W_a e_a) (eq. 1, soft search).

    W_a, W_b and the vectors that they project learn by the GSU's own loss: the click-through prediction of an MLP over
    [U_r, e_a] with U_r = sum_j r_j e_j (eq. 2), added to the ranker's loss with weight 1.

    Args:
      as in TableRanker.
    """

    own_terms = {GSU: 1.0}

    def make_history(self, categories: np.ndarray | None) -> None:
        """The exact search unit, W_a, W_b and the auxiliary MLP."""
        super().make_history(categories)
        dim, seed = self.config.dim, self.seed

        def dense(width: int, name: str, bias: bool, activation: str | None = None) -> tf.keras.layers.Dense:
            start = seeding.glorot(seed, name)
            return tf.keras.layers.Dense(width, activation, bias, kernel_initializer=start, name=name)

        self.index_target = dense(dim, "index_target", False)  # W_a
        self.index_pair = dense(dim, "index_pair", False)  # W_b
        self.index_hidden = [
            dense(width, f"index_hidden_{n}", True, "relu") for n, width in enumerate(self.config.hidden_units)
        ]
        self.index_logits = dense(len(self.tasks), "index_logits", True)
        # Training alone calls them, but a checkpoint has them from the start.
        width = 2 * dim
        for layer in (*self.index_hidden, self.index_logits):
            layer.build((None, width))
            width = layer.units
        for layer in (self.index_target, self.index_pair):
            layer.build((None, dim))

    def scores(self, target: tf.Tensor, seen: FusedBatch, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """See SearchingRanker."""
        return masked(self._index_scores(target, seen.keys()), seen.mask)

    def _index_scores(self, target: tf.Tensor, pairs: tf.Tensor) -> tf.Tensor:
        """r / sqrt(d): [B, N, d], [B, L, d] -> [B, N, L]. The target is projected by W_a W_b^T, and no pair at all."""
        folded = project(self.index_target(target), tf.transpose(self.index_pair.kernel))
        return tf.matmul(folded * self.config.dim**-0.5, pairs, transpose_b=True)

    def call(
        self,
        batch: Mapping[str, tf.Tensor],
        training: bool = False,
        step_seed: tf.Tensor | None = None,
        only: str = "",
        auxiliary: bool = False,
    ) -> Any:
        """As SearchingRanker.call; with `auxiliary`, the logits and those of the GSU's own prediction."""
        if not auxiliary:
            return super().call(batch, training, step_seed, only)
        seen = fuse_batch(self.pairs, batch, training)
        target = seen.targets()
        return self.logits(target, seen, batch, training, step_seed), self._prediction(target, seen)

    def _prediction(self, target: tf.Tensor, seen: FusedBatch) -> dict[str, tf.Tensor]:
        """The auxiliary MLP's logits, [B, N] float32 by task."""
        pairs = seen.pairs.pairs(seen.history_items, seen.history_queries)
        relevance = self._index_scores(target, pairs)
        relevance = tf.where(seen.mask[:, tf.newaxis], relevance, tf.zeros([], relevance.dtype))
        # The constant keeps the sum over a long history in range at first; the MLP can make up for it.
        summed = tf.matmul(relevance / self.config.history_length, pairs)
        x = tf.concat([summed, target], axis=-1)
        for layer in self.index_hidden:
            x = layer(x)
        logits = tf.cast(self.index_logits(x), tf.float32)
        return {task: logits[..., n] for n, task in enumerate(self.tasks)}

    def compute_losses(
        self, batch: Mapping[str, tf.Tensor], step_seed: tf.Tensor, training: bool = True
    ) -> dict[str, tf.Tensor]:
        """As TableRanker.compute_losses, and `gsu`: the auxiliary binary cross-entropy, summed over tasks."""
        logits, own = self(batch, training=training, step_seed=step_seed if training else None, auxiliary=True)
        candidates = batch[names.CANDIDATE_ITEM_ID]
        losses = self.losses_of(logits, batch)
        losses[GSU] = tf.add_n([masked_bce(own[task], batch[names.label(task)], candidates) for task in self.tasks])
        return losses
