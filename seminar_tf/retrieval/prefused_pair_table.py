"""x_pair from vectors that were fused before the export: the exact scores without projections at a request."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from seminar_tf.models.pair_table import FusedPairs, FusedTable
from seminar_tf.retrieval.tables import GsuTables


class PrefusedPairTable(FusedTable):
    """Takes the place of a trained PairTable, for inference: one vector and one log weight an item instead of M.

    The gate's logits depend on nothing but the channel, so an item's channels are fused once for all requests (spec
    section 6, "exact, pre-fused"). No variable of it trains.

    Args:
      tables: of the model.
    """

    def __init__(self, tables: GsuTables, **kwargs: Any) -> None:
        super().__init__(trainable=False, **kwargs)
        fused = tables.fused()
        self.channels = tables.channels[1:]
        self.dim, self.rows, self.query_rows = tables.dim, len(tables.item), len(tables.query)
        self.items = self.held("items", fused.item[:, 0])
        self.item_weight = self.held("item_weight", fused.item_logit[:, 0])
        self.queries = self.held("queries", fused.query)
        self.query_weight = self.held("query_weight", fused.query_logit)

    def fuse(
        self, items: tf.Tensor, queries: tf.Tensor, training: bool = False
    ) -> tuple[FusedPairs, tf.Tensor, tf.Tensor]:
        """As PairTable.fuse, in inference: the tables as they are; rows are ids.

        Raises:
          ValueError: it is asked to train.
        """
        if training:
            raise ValueError("PrefusedPairTable does not train: train the model with its channels apart.")
        tables = (self.items, self.item_weight, self.queries, self.query_weight)
        return FusedPairs(*(tf.convert_to_tensor(x) for x in tables)), items, queries
