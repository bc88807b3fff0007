"""The skeleton that SEMINAR shares with its rivals: all but the branch that reads the lifelong history."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from seminar_tf.features import names
from seminar_tf.features.tables import ItemFeatures
from seminar_tf.layers import seeding
from seminar_tf.layers.interest_unit import InterestUnit
from seminar_tf.layers.masking import masked_mean
from seminar_tf.layers.prediction_head import PredictionHead
from seminar_tf.layers.short_branch import ShortBranch, last_positions
from seminar_tf.models.channel_tables import ChannelTables, restore
from seminar_tf.models.fused_batch import FusedBatch, fuse_batch
from seminar_tf.models.request_features import calendar, same_item
from seminar_tf.models.table_ranker import TableRanker


class HistoryRanker(TableRanker):
    """Short branch, interest, user and context features and prediction heads around a lifelong branch.

    A subclass makes the layers of its branch in `make_history` and computes x_lifelong in `read_history`. Whatever
    depends on the request alone (history keys, short branch keys, interest, user and context features) is computed once
    a request.

    Args:
      as in TableRanker.
    """

    def make_history(self, categories: np.ndarray | None) -> None:
        """Makes the layers of the lifelong branch, if it has any of its own.

        Args:
          categories: [V, C] int64 category ids by item id, 0 is padding, or None where none were given.
        """

    def restore_history(self, tables: ChannelTables) -> None:
        """Sets weights of these layers to pretrained ones, where the tables have any."""

    def read_history(
        self, target: tf.Tensor, seen: FusedBatch, batch: Mapping[str, tf.Tensor], training: bool
    ) -> tf.Tensor:
        """x_lifelong of candidates. Subclasses define it.

        Args:
          target: [B, N, d] candidate pairs.
          seen: what the batch's ids stand for.
          batch: the batch dict of docs/model.md.
          training: whether gradients are wanted; in inference a cheaper way may be taken.

        Returns:
          [B, N, d].
        """
        raise TypeError(f"{type(self).__name__} does not define read_history.")

    def make_layers(self, items: ItemFeatures, categories: np.ndarray | None) -> None:
        """See TableRanker."""
        config, seed = self.config, self.seed
        dim, heads = config.dim, config.heads
        self.make_history(categories)
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
            self.sizes.attributes,
            dim,
            embeddings_initializer=seeding.normal(seed, "user", 0.05),
            name="user_attributes",
        )
        self.heads = {
            task: PredictionHead(
                config.hidden_units, config.cross_layers, dim, config.dropout, seeding.derive(seed, task), name=task
            )
            for task in self.tasks
        }
        counts = np.where(items.known, items.count, 0).astype(np.float32)
        logs = np.log1p(counts[items.known] if items.known.any() else counts)
        self._counts = tf.constant(counts)
        self._log_count_mean, self._log_count_scale = float(logs.mean()), 1.0 / (float(logs.std()) + 1e-6)

    def restore_layers(self, tables: ChannelTables) -> None:
        """See TableRanker."""
        self.restore_history(tables)
        if self.interest is not None and restore("interest", self.interest, tables):
            for head in self.heads.values():
                # The last match times sqrt(d): the PSU's next-pair logit, with the interest over the newest S pairs.
                head.start_from(-1, self.config.dim**0.5)

    def call(
        self, batch: Mapping[str, tf.Tensor], training: bool = False, step_seed: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """Logits of every candidate.

        Args:
          batch: the batch dict of docs/model.md: history_item_id, history_query [B, L] int32, history_timestamp [B, L]
            int64 ms, candidate_item_id [B, N], query [B] int32, request_timestamp [B] int64 ms, user_attributes
            [B, A] int32. Item id 0 is padding.
          training: gather for each candidate, as training must; in inference the cheaper way is taken.
          step_seed: [2] int32 for dropout, None for none.

        Returns:
          {task: [B, N] float32 logits}; those of padding candidates mean nothing.
        """
        seen = fuse_batch(self.pairs, batch, training)
        return self.logits(seen.targets(), seen, batch, training, step_seed)

    def logits(
        self,
        target: tf.Tensor,
        seen: FusedBatch,
        batch: Mapping[str, tf.Tensor],
        training: bool,
        step_seed: tf.Tensor | None,
    ) -> dict[str, tf.Tensor]:
        """`call` of a batch whose ids are looked up: target [B, N, d], the rest as in `read_history` and `call`."""
        candidates, moment = batch[names.CANDIDATE_ITEM_ID], batch[names.REQUEST_TIMESTAMP]
        item, typed = seen.candidate_items(), seen.queries()
        blocks = [target, self.read_history(target, seen, batch, training)]
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
