"""QIN: a search by the query, then by the target item among what it found (arXiv 2310.06444)."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from seminar_tf.features import names
from seminar_tf.layers.largest import largest
from seminar_tf.layers.masking import NEGATIVE
from seminar_tf.models.fused_batch import FusedBatch
from seminar_tf.models.rivals.searching import SearchingRanker, masked


class Qin(SearchingRanker):
    """The relevance search unit's cascade: `qin_query_k` pairs by cosine with the query, K of them by
    cosine with the item.

    The first search depends on the request alone. The empty query of browsing says nothing of any pair, so there the
    first search keeps all.

    Args:
      as in TableRanker.
    """

    def scores(self, target: tf.Tensor, seen: FusedBatch, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """See SearchingRanker: cosine with the candidate's item, NEGATIVE for what the search by the query left out."""
        pairs, items = (_unit(x) for x in (seen.keys(), tf.stop_gradient(seen.candidate_items())))
        return masked(tf.matmul(items, pairs, transpose_b=True), self._relevant(pairs, seen, batch))

    def _relevant(self, pairs: tf.Tensor, seen: FusedBatch, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """What the search by the query keeps: unit pairs [B, L, d] -> [B, L] bool, padding out."""
        query = _unit(tf.stop_gradient(seen.queries()))
        scores = tf.where(seen.mask, tf.linalg.matvec(pairs, query), NEGATIVE)
        length = scores.shape[-1]
        most = self.config.rivals.qin_query_k
        count = min(most, length) if length is not None else tf.minimum(most, tf.shape(scores)[-1])
        places = largest(scores, count)
        rows = tf.broadcast_to(tf.range(tf.shape(places)[0])[:, tf.newaxis], tf.shape(places))
        found = tf.scatter_nd(tf.stack([rows, places], axis=-1), tf.ones_like(places), tf.shape(scores)) > 0
        browsing = batch[names.QUERY][:, tf.newaxis] <= names.EMPTY_QUERY_ID
        return seen.mask & (found | browsing)


def _unit(x: tf.Tensor) -> tf.Tensor:
    """float32 unit vectors; zeros stay zeros."""
    return tf.math.l2_normalize(tf.cast(x, tf.float32), axis=-1)
