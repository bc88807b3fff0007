"""SEMINAR: GSU, ESU, short branch and prediction heads on the restored tables (spec section 5)."""

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
from seminar_tf.layers.exact_search_unit import ExactSearchUnit
from seminar_tf.layers.interest_unit import InterestUnit
from seminar_tf.layers.masking import masked_mean
from seminar_tf.layers.prediction_head import PredictionHead
from seminar_tf.layers.recency_bias import RecencyBias
from seminar_tf.layers.search_unit import SearchUnit
from seminar_tf.layers.short_branch import ShortBranch, last_positions
from seminar_tf.losses.click import listwise, masked_bce
from seminar_tf.models.base import MultiLossModel
from seminar_tf.models.channel_tables import ChannelTables, restore
from seminar_tf.models.codes_in_loop import CodesInLoop
from seminar_tf.models.fused_batch import FusedBatch, fuse_batch
from seminar_tf.models.lifelong import LifelongBranch
from seminar_tf.models.pair_table import PairTable
from seminar_tf.models.request_features import calendar, same_item


class Seminar(MultiLossModel):
    """Scores the N candidates of each request; one logit a task.

    Whatever depends on the request alone (history keys, short branch keys, interest, user and context features) is
    computed once a request. GSU scores are one (N, d) x (d, L) product.

    Args:
      config: sizes and switches.
      sizes: rows of the id spaces.
      tasks: label tasks.
      tables: E_PSU; those of a PSU of no epochs where there is no pretraining.
      items: features by item id; popularity comes from here.
      seed: of the initial weights and of every draw.
      train: clipping and the weight of the listwise term.
      retrieval: whether codes are in the loop, and which; the Trainer fits them before it begins (retrieval/served.py).
    """

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
        **kwargs: Any,
    ) -> None:
        train, retrieval = train or TrainConfig(), retrieval or RetrievalConfig()
        weights = dict.fromkeys(tasks, 1.0)
        weights.update({f"{task}_listwise": train.listwise_weight for task in tasks})
        weights["codes"] = float(retrieval.train_codes)
        super().__init__(seed, weights, train.clip_norm, **kwargs)
        self.config = config
        self.sizes = sizes
        self.tasks = tasks
        dim, heads = config.dim, config.heads
        if tables.dim != dim or len(tables.item) != sizes.items or len(tables.query) != sizes.queries:
            raise ValueError(
                f"channel tables have {len(tables.item)} items, {len(tables.query)} queries of width {tables.dim}; "
                f"this model needs {sizes.items}, {sizes.queries} and {dim}. Pretrain with the same configuration "
                "and TransformGraph."
            )
        codes = CodesInLoop(dim, retrieval, seeding.derive(seed, "codes")) if retrieval.train_codes else None
        self.pairs = PairTable(config, tables, codes, name="pairs")
        self.search = SearchUnit(dim, heads, config.top_k, config.share_gsu_esu, config.top_k_per_head, name="search")
        self.exact = ExactSearchUnit(dim, heads, seeding.derive(seed, "exact"), name="exact")
        self.exact.build(None)
        self.recency = RecencyBias(heads, name="recency") if config.use_recency else None
        self.short: ShortBranch | None = None
        self.interest: InterestUnit | None = None
        if config.short_length:
            short_seed = seeding.derive(seed, "short")
            self.short = ShortBranch(dim, heads, config.use_recency, short_seed, name="short")
            interest_seed = seeding.derive(seed, "interest")
            self.interest = InterestUnit(
                dim, heads, config.use_recency, config.interest_layers, interest_seed, name="interest"
            )
        self.user_attributes = tf.keras.layers.Embedding(
            sizes.attributes, dim, embeddings_initializer=seeding.normal(seed, "user", 0.05), name="user_attributes"
        )
        self.heads = {
            task: PredictionHead(
                config.hidden_units, config.cross_layers, dim, config.dropout, seeding.derive(seed, task), name=task
            )
            for task in tasks
        }
        counts = np.where(items.known, items.count, 0).astype(np.float32)
        logs = np.log1p(counts[items.known] if items.known.any() else counts)
        self._counts = tf.constant(counts)
        self._log_count_mean, self._log_count_scale = float(logs.mean()), 1.0 / (float(logs.std()) + 1e-6)
        self._create_weights()
        restore("gate", self.pairs.gate, tables)
        if not config.share_gsu_esu:
            # Without pretraining the GSU stays a plain inner product.
            restore("search", self.search, tables)
        if self.interest is not None and restore("interest", self.interest, tables):
            for head in self.heads.values():
                # The last match times sqrt(d): the PSU's next-pair logit, with the interest over the newest S pairs.
                head.start_from(-1, dim**0.5)

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

    def call(
        self,
        batch: Mapping[str, tf.Tensor],
        training: bool = False,
        step_seed: tf.Tensor | None = None,
        only: str = "",
    ) -> Any:
        """Logits of every candidate.

        Args:
          batch: the batch dict of docs/model.md: history_item_id, history_query [B, L] int32, history_timestamp [B, L]
            int64 ms, candidate_item_id [B, N], query [B] int32, request_timestamp [B] int64 ms, user_attributes
            [B, A] int32. Item id 0 is padding.
          training: gather for each candidate, as training must; in inference the cheaper way is taken.
          step_seed: [2] int32 for dropout, None for none.
          only: `found` or `scores` gives that of the search alone: search_history and search_scores, computed here so
            that they are of the model's own compute type.

        Returns:
          {task: [B, N] float32 logits}; those of padding candidates mean nothing.
        """
        candidates, moment = batch[names.CANDIDATE_ITEM_ID], batch[names.REQUEST_TIMESTAMP]
        seen = fuse_batch(self.pairs, batch, training)
        target = seen.targets()
        if only:
            return {"found": self.lifelong.found, "scores": self.lifelong.scores}[only](target, seen)
        item, typed = seen.candidate_items(), seen.queries()
        blocks = [target, self.lifelong(target, seen, training)]
        matches = [
            self._popularity(batch, training)[..., tf.newaxis],
            same_item(batch[names.HISTORY_ITEM_ID], candidates, seen.gap),
            self._relevance(batch[names.QUERY], typed, item),
        ]
        if self.short is not None and self.interest is not None:
            blocks += self._recent(self.short, self.interest, target, seen)
        matches += [self._dot(target, block) for block in blocks[1:]]
        user = self._user(batch[names.USER_ATTRIBUTES])
        # Counts and the calendar are computed in float32 under any policy.
        request = tf.concat([user, typed, tf.cast(calendar(moment), user.dtype)], axis=-1)
        blocks.append(self._broadcast(request[:, tf.newaxis], candidates))
        joined = tf.concat([tf.cast(match, tf.float32) for match in matches], axis=-1)
        features = tf.concat([*blocks, tf.cast(joined, target.dtype)], axis=-1)
        return {task: self.heads[task](features, joined, step_seed) for task in self.tasks}

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

    def _recent(
        self, short: ShortBranch, interest: InterestUnit, target: tf.Tensor, seen: FusedBatch
    ) -> list[tf.Tensor]:
        """x_short of each candidate and the user's interest, both from the last S pairs: [B, N, d] each."""
        places, valid = last_positions(seen.mask, self.config.short_length)
        pairs, gap, position = seen.picked(places), seen.pick(seen.gap, places), seen.pick(seen.position, places)
        x_short = short(target, pairs, valid, gap, position)
        x_interest = interest(pairs, valid[:, tf.newaxis], gap[:, tf.newaxis], position[:, tf.newaxis])
        return [x_short, tf.broadcast_to(x_interest, tf.shape(target))]

    def _popularity(self, batch: Mapping[str, tf.Tensor], training: bool) -> tf.Tensor:
        """Standardised log train count of the candidates, [B, N].

        A positive of training is one of the pairs that were counted. It is left out of its own count: otherwise no
        positive would ever have count 0, and the head would learn that unseen items are never right.
        """
        count = tf.gather(self._counts, batch[names.CANDIDATE_ITEM_ID])
        if training:
            labels = [batch[names.label(task)] for task in self.tasks if names.label(task) in batch]
            positive = tf.add_n([tf.cast(label > 0.5, tf.float32) for label in labels]) if labels else 0.0
            count = tf.maximum(count - tf.minimum(positive, 1.0), 0.0)
        return (tf.math.log1p(count) - self._log_count_mean) * self._log_count_scale

    def _relevance(self, query: tf.Tensor, typed: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """What the PSU's query-item loss trained: typed query against gated item.

        Args:
          query: [B] int32 query ids.
          typed: [B, d] their vectors.
          items: [B, N, d] gated items of the candidates.

        Returns:
          [B, N, 1]; zero for the empty query, which says nothing of any item.
        """
        present = tf.cast(query > names.EMPTY_QUERY_ID, typed.dtype)[:, tf.newaxis]
        return self._dot(items, (present * typed)[:, tf.newaxis])

    def _user(self, attributes: tf.Tensor) -> tf.Tensor:
        """x_user: [B, A] int32 attribute ids -> [B, d]."""
        return masked_mean(self.user_attributes(attributes), attributes > 0)

    @staticmethod
    def _dot(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        """Scaled inner products [..., d], [..., d] -> [..., 1]."""
        return tf.reduce_sum(a * b, axis=-1, keepdims=True) * a.shape[-1] ** -0.5

    @staticmethod
    def _broadcast(x: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        """[B, 1, F] -> [B, N, F]."""
        shape = tf.concat([tf.shape(candidates), [x.shape[-1]]], axis=0)
        return tf.broadcast_to(x, shape)

    def compute_losses(
        self, batch: Mapping[str, tf.Tensor], step_seed: tf.Tensor, training: bool = True
    ) -> dict[str, tf.Tensor]:
        """Binary cross-entropy of each task, its listwise term where that has a weight, and the loss of codes.

        Args:
          batch: as in `call`, with label_<task> [B, N] float32, NaN where unknown.
          step_seed: [2] int32.
          training: whether dropout is on.
        """
        logits = self(batch, training=training, step_seed=step_seed if training else None)
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
