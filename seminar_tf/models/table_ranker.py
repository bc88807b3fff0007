"""What every ranker on the restored tables is: pairs to score, and the losses of their logits (spec section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from seminar_tf.config import ModelConfig, RetrievalConfig, TrainConfig
from seminar_tf.features import names
from seminar_tf.features.tables import ItemFeatures
from seminar_tf.features.vocabulary import FeatureSizes
from seminar_tf.layers import seeding
from seminar_tf.losses.click import listwise, masked_bce
from seminar_tf.models.base import MultiLossModel
from seminar_tf.models.channel_tables import ChannelTables, restore
from seminar_tf.models.codes_in_loop import CodesInLoop
from seminar_tf.models.pair_table import PairTable


class TableRanker(MultiLossModel):
    """Scores the N candidates of each request; one logit a task.

    A subclass makes its layers in `make_layers` and computes logits in `call`. Tables, gate and losses are here, so
    that rankers differ in what they are compared for alone.

    Args:
      config: sizes and switches.
      sizes: rows of the id spaces.
      tasks: label tasks.
      tables: E_PSU; those of a PSU of no epochs where there is no pretraining.
      items: features by item id; popularity comes from here.
      seed: of the initial weights and of every draw.
      train: clipping and the weight of the listwise term.
      retrieval: whether codes are in the loop, and which; the Trainer fits them before it begins (retrieval/served.py).
      categories: [V, C] int64 category ids by item id, 0 is padding; for rankers that read them
        (features/categories.py).
    """

    # Losses of a ranker's own, by name: their weights.
    own_terms: Mapping[str, float] = {}

    def __init__(
        self,
        config: ModelConfig,
        sizes: FeatureSizes,
        tasks: tuple[str, ...],
        tables: ChannelTables,
        items: ItemFeatures,
        seed: int,
        train: TrainConfig | None = None,
        retrieval: RetrievalConfig | None = None,
        categories: np.ndarray | None = None,
        **kwargs: Any,
    ) -> None:
        train, retrieval = train or TrainConfig(), retrieval or RetrievalConfig()
        weights = dict.fromkeys(tasks, 1.0)
        weights.update({f"{task}_listwise": train.listwise_weight for task in tasks})
        weights["codes"] = float(retrieval.train_codes)
        weights.update(self.own_terms)
        super().__init__(seed, weights, train.clip_norm, **kwargs)
        self.config = config
        self.sizes = sizes
        self.tasks = tasks
        dim = config.dim
        if tables.dim != dim or len(tables.item) != sizes.items or len(tables.query) != sizes.queries:
            raise ValueError(
                f"channel tables have {len(tables.item)} items, {len(tables.query)} queries of width {tables.dim}; "
                f"this model needs {sizes.items}, {sizes.queries} and {dim}. Pretrain with the same configuration "
                "and TransformGraph."
            )
        codes = CodesInLoop(dim, retrieval, seeding.derive(seed, "codes")) if retrieval.train_codes else None
        self.pairs = PairTable(config, tables, codes, name="pairs")
        self.make_layers(items, categories)
        self._create_weights()
        restore("gate", self.pairs.gate, tables)
        self.restore_layers(tables)

    def make_layers(self, items: ItemFeatures, categories: np.ndarray | None) -> None:
        """Makes the layers beside `pairs`; arguments as in the constructor. Subclasses define it."""
        raise TypeError(f"{type(self).__name__} does not define make_layers.")

    def restore_layers(self, tables: ChannelTables) -> None:
        """Sets weights of those layers to pretrained ones, where the tables have any."""

    def _create_weights(self) -> None:
        """Runs once on a tiny batch, so that every variable exists before a checkpoint is restored."""
        ids, moments = tf.ones((1, 2), tf.int32), tf.ones((1, 2), tf.int64)
        self(
            {
                names.HISTORY_ITEM_ID: ids,
                names.HISTORY_QUERY: ids,
                names.HISTORY_TIMESTAMP: moments,
                names.CANDIDATE_ITEM_ID: ids,
                names.QUERY: ids[:, 0],
                names.REQUEST_TIMESTAMP: moments[:, 0],
                names.USER_ATTRIBUTES: ids,
            }
        )

    def compute_losses(
        self, batch: Mapping[str, tf.Tensor], step_seed: tf.Tensor, training: bool = True
    ) -> dict[str, tf.Tensor]:
        """Binary cross-entropy of each task, its listwise term where that has a weight, and the loss of codes.

        Args:
          batch: as in `call`, with label_<task> [B, N] float32, NaN where unknown.
          step_seed: [2] int32.
          training: whether dropout is on.
        """
        return self.losses_of(self(batch, training=training, step_seed=step_seed if training else None), batch)

    def losses_of(self, logits: Mapping[str, tf.Tensor], batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The losses of logits: {task: [B, N]}; as `compute_losses`."""
        candidates = batch[names.CANDIDATE_ITEM_ID]
        losses = {}
        if "codes" in self.active_terms:
            losses["codes"] = tf.add_n(self.pairs.losses)
        for task in self.tasks:
            labels = batch[names.label(task)]
            losses[task] = masked_bce(logits[task], labels, candidates)
            if f"{task}_listwise" in self.active_terms:
                losses[f"{task}_listwise"] = listwise(logits[task], labels, candidates)
        return losses

    def gate_weights(self, item_ids: tf.Tensor, query_ids: tf.Tensor) -> tf.Tensor:
        """gamma of pairs: item_ids and query_ids [n] int32 -> [n, M+1], query first."""
        return self.pairs.gate_weights(item_ids, query_ids)
