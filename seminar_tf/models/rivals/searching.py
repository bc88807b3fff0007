"""What SIM, ETA, TWIN and QIN share: K pairs kept by a score of their own, then multi-head target attention."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from seminar_tf.layers import seeding
from seminar_tf.layers.branching import dense_pays
from seminar_tf.layers.distinct import are_shapes_static
from seminar_tf.layers.largest import largest
from seminar_tf.layers.masking import NEGATIVE
from seminar_tf.layers.search_unit import kept
from seminar_tf.layers.target_attention import TargetAttention
from seminar_tf.models.fused_batch import FusedBatch
from seminar_tf.models.search_ranker import SearchRanker


def is_eligible(scores: tf.Tensor) -> tf.Tensor:
    """Whether a pair may be kept at all: those that may not, padding among them, have score NEGATIVE or below."""
    return scores > 0.5 * NEGATIVE


class SearchingRanker(SearchRanker):
    """x_lifelong = multi-head target attention over the K eligible pairs of largest score.

    A subclass defines `scores`, and may give the attention wider keys (`keys` and `picked`) or a bias (`bias` and
    `picked_bias`). With many candidates on a history that is not long, inference attends over the history under a mask
    instead of gathering K pairs for each candidate; both ways give the same.

    Args:
      as in TableRanker.
    """

    def make_history(self, categories: np.ndarray | None) -> None:
        """The attention; subclasses add what their scores need."""
        dim, heads = self.config.dim, self.config.heads
        seed = seeding.derive(self.seed, "attention")
        self.attention = TargetAttention(dim, heads, seed, self.key_dim(), name="attention")
        self.attention.build(None)

    def key_dim(self) -> int:
        """Width of `keys`."""
        return self.config.dim

    def keys(self, seen: FusedBatch) -> tf.Tensor:
        """Keys of the whole history without a gradient: [B, L, key_dim]."""
        return seen.keys()

    def picked(self, seen: FusedBatch, places: tf.Tensor) -> tf.Tensor:
        """The same of some pairs, with one: places [B, N, K] -> [B, N, K, key_dim]."""
        return seen.picked(places)

    def bias(self, seen: FusedBatch, batch: Mapping[str, tf.Tensor]) -> tf.Tensor | None:
        """Added to the attention's alpha, broadcastable to [B, H, N, L]; None for nothing."""
        return None

    def picked_bias(self, seen: FusedBatch, batch: Mapping[str, tf.Tensor], places: tf.Tensor) -> tf.Tensor | None:
        """The same of some pairs: places [B, N, K] -> [B, N, H, K]."""
        return None

    def read_history(
        self, target: tf.Tensor, seen: FusedBatch, batch: Mapping[str, tf.Tensor], training: bool
    ) -> tf.Tensor:
        """See HistoryRanker."""
        scores = tf.stop_gradient(self.scores(target, seen, batch))

        def gathered() -> tf.Tensor:
            places, valid = self._kept(scores)
            bias = self.picked_bias(seen, batch, places)
            return self.attention.gathered(target, self.picked(seen, places), valid, bias)

        def dense() -> tf.Tensor:
            rows = tf.reshape(scores, (-1, tf.shape(scores)[-1]))
            keep = tf.reshape(kept(rows, self._k(scores)), tf.shape(scores)) & is_eligible(scores)
            return self.attention(target, self.keys(seen), keep, self.bias(seen, batch))

        if training or are_shapes_static():
            return gathered()
        values = self.config.top_k * self.key_dim()
        pays = dense_pays(self.config.heads, tf.shape(scores)[-1], values, tf.shape(target)[1])
        return tf.cond(pays, dense, gathered)

    def found(self, target: tf.Tensor, seen: FusedBatch, batch: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """See SearchRanker."""
        places, valid = self._kept(self.scores(target, seen, batch))
        bias = self.picked_bias(seen, batch, places)
        weights = self.attention.weights_of(target, self.picked(seen, places), valid, bias)
        mean = tf.reduce_mean(tf.cast(weights, tf.float32), axis=2)
        return tf.where(valid, places, -1), tf.where(valid, mean, 0.0)

    def _kept(self, scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Positions [B, N, K'] of the largest scores, best first, and which of them hold an eligible pair."""
        places = largest(scores, self._k(scores))
        return places, is_eligible(tf.gather(scores, places, batch_dims=2))

    def _k(self, scores: tf.Tensor) -> int | tf.Tensor:
        length = scores.shape[-1]
        top_k = self.config.top_k
        return min(top_k, length) if length is not None else tf.minimum(top_k, tf.shape(scores)[-1])


def masked(scores: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Scores [B, N, L] as float32, NEGATIVE where mask ([B, L] or [B, N, L] bool) is False (known fault 5)."""
    mask = mask[:, tf.newaxis] if len(mask.shape) == 2 else mask
    return tf.where(mask, tf.cast(scores, tf.float32), NEGATIVE)
