"""A batch's ids looked up once: candidates, history and request point into the same fused vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from seminar_tf.features import names
from seminar_tf.layers.search_unit import Products
from seminar_tf.models.pair_table import FusedTable, Pairs
from seminar_tf.models.windows import ages


@dataclass(frozen=True)
class FusedBatch:
    """What the search units see of a batch.

    Pairs are read from `pairs` by row wherever they are needed, so that gradients flow to those that are used and
    nothing of the history's length is kept for them.

    Attributes:
      pairs: fused vectors of the batch's items and queries.
      history_items, history_queries: [B, L] int32 rows of `pairs`.
      candidates: [B, N] int32 rows. query: [B] int32 rows, the requests' queries.
      mask: [B, L] bool, False is padding.
      gap: [B, L] int64, request time minus pair time, ms. position: [B, L] int32, 0 for the newest pair.
    """

    pairs: Pairs
    history_items: tf.Tensor
    history_queries: tf.Tensor
    candidates: tf.Tensor
    query: tf.Tensor
    mask: tf.Tensor
    gap: tf.Tensor
    position: tf.Tensor

    def targets(self) -> tf.Tensor:
        """[B, N, d] candidate pairs."""
        query = tf.broadcast_to(self.query[:, tf.newaxis], tf.shape(self.candidates))
        return self.pairs.pairs(self.candidates, query)

    def candidate_items(self) -> tf.Tensor:
        """[B, N, d] gated items of the candidates, query left out."""
        return self.pairs.item(self.candidates)

    def queries(self) -> tf.Tensor:
        """[B, d] query vectors of the requests."""
        return self.pairs.query(self.query)

    def keys(self) -> tf.Tensor:
        """[B, L, d] history pairs without a gradient."""
        return self.pairs.history(self.history_items, self.history_queries)

    def products(self) -> Products | None:
        """Inner products of folded targets with the history by look-ups; None where no codes are held."""
        by_code = getattr(self.pairs, "products", None)
        return None if by_code is None else lambda folded: by_code(folded, self.history_items, self.history_queries)

    def look_up(self, lists: int = 1) -> Any:
        """Whether `products` is the faster way for this batch, whose candidates have so many lists of K pairs each: a
        bool, or one of the graph."""
        shape = [size or tf.shape(x)[1] for x in (self.candidates, self.history_items) for size in x.shape[1:]]
        return self.pairs.look_up(shape[0] * lists, shape[1])  # type: ignore[attr-defined]

    def picked(self, places: tf.Tensor) -> tf.Tensor:
        """History pairs at some positions: [B, ...] int32 into L -> [B, ..., d]."""
        return self.pairs.pairs(self.pick(self.history_items, places), self.pick(self.history_queries, places))

    @staticmethod
    def pick(values: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """Values [B, L] at positions [B, ...] int32 into L -> [B, ...]."""
        return tf.gather(values, places, batch_dims=1)


def fuse_batch(table: FusedTable, batch: Mapping[str, tf.Tensor], training: bool) -> FusedBatch:
    """Fuses all items and queries of a batch dict (docs/model.md), each once.

    Args:
      table: E_PSU, projections and gate.
      batch: the batch dict.
      training: as in PairTable.fuse.
    """
    history, candidates = batch[names.HISTORY_ITEM_ID], batch[names.CANDIDATE_ITEM_ID]
    typed, query = batch[names.HISTORY_QUERY], batch[names.QUERY]
    mask = history > 0
    gap, position = ages(mask, batch[names.HISTORY_TIMESTAMP], batch[names.REQUEST_TIMESTAMP])

    def flat(*ids: tf.Tensor) -> tf.Tensor:
        return tf.concat([tf.reshape(x, [-1]) for x in ids], axis=0)

    pairs, item_rows, query_rows = table.fuse(flat(history, candidates), flat(typed, query), training)
    pairs_count = tf.size(history)
    return FusedBatch(
        pairs=pairs,
        history_items=tf.reshape(item_rows[:pairs_count], tf.shape(history)),
        history_queries=tf.reshape(query_rows[:pairs_count], tf.shape(typed)),
        candidates=tf.reshape(item_rows[pairs_count:], tf.shape(candidates)),
        query=query_rows[pairs_count:],
        mask=mask,
        gap=gap,
        position=position,
    )
