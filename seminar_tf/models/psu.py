"""PSU: pretraining of the channels and of the search (spec section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from seminar_tf.config import ModelConfig, TrainConfig
from seminar_tf.encoders.item_channels import ItemChannels
from seminar_tf.encoders.query_encoder import QueryEncoder
from seminar_tf.features import names
from seminar_tf.features.tables import ItemFeatures, QueryFeatures
from seminar_tf.features.vocabulary import FeatureSizes
from seminar_tf.layers import replicas, seeding
from seminar_tf.layers.channel_gate import ChannelGate
from seminar_tf.layers.distinct import Distinct, distinct
from seminar_tf.layers.interest_unit import InterestUnit
from seminar_tf.layers.masking import NEGATIVE
from seminar_tf.losses.alignment import AlignmentLoss
from seminar_tf.losses.next_pair import NextPairLoss, mixture_probability
from seminar_tf.losses.relevance import RelevanceLoss
from seminar_tf.models.base import MultiLossModel
from seminar_tf.models.channel_tables import ChannelTables, pack
from seminar_tf.models.windows import ages, last_windows


@dataclass(frozen=True)
class _Encoded:
    """Encoder outputs of the distinct ids of the global batch, and where each history pair finds its own."""

    channels: tf.Tensor  # [U, M, d]
    channel_mask: tf.Tensor  # [U, M]
    items: tf.Tensor  # [U, d] gated item, query left out
    item_weight: tf.Tensor  # [U]
    queries: tf.Tensor  # [W, d]
    query_weight: tf.Tensor  # [W]
    item_row: tf.Tensor  # [B, L] row of `items`
    query_row: tf.Tensor  # [B, L] row of `queries`
    extra_row: tf.Tensor  # [n] rows of `items`, of ids asked for beside the history
    distinct: Distinct  # item ids of the rows


class PSU(MultiLossModel):
    """Encoders of every channel, the gate, and <EOS> attention, trained on histories alone.

    A batch needs the history only: its last pairs are held out in turn (`next_pair_windows`) and predicted. Each
    distinct item and query of the batch is encoded once.

    Args:
      config: sizes and switches.
      train: weights of the losses, windows, negatives, clipping.
      sizes: rows of the id spaces.
      items, queries: features by id.
      seed: of the initial weights and of every draw.
    """

    def __init__(
        self,
        config: ModelConfig,
        train: TrainConfig,
        sizes: FeatureSizes,
        items: ItemFeatures,
        queries: QueryFeatures,
        seed: int,
        **kwargs: Any,
    ) -> None:
        weights = {
            "next_pair": train.next_pair_weight,
            "align": train.align_weight,
            "query_item": train.query_item_weight if config.use_query else 0.0,
        }
        super().__init__(seed, weights, train.clip_norm, **kwargs)
        self.config = config
        self.train = train
        self.sizes = sizes
        self.token_embedding = tf.keras.layers.Embedding(
            sizes.tokens, config.dim, embeddings_initializer=seeding.normal(seed, "token", 0.05), name="token"
        )
        self.item_channels = ItemChannels(config, sizes, items, self.token_embedding, seed, name="item_channels")
        self.channels = self.item_channels.channels
        self.query_encoder = QueryEncoder(sizes.queries, config.dim, seed, name="query")
        self.gate = ChannelGate(1 + len(self.channels), config.dim, config.use_gate, name="gate")
        self.gate.build(None)
        self.interest = InterestUnit(
            config.dim,
            config.heads,
            config.use_recency,
            config.interest_layers,
            seeding.derive(seed, "interest"),
            name="interest",
        )
        self.next_pair_loss = NextPairLoss(name="next_pair_loss")
        self.align_loss = AlignmentLoss(train.chunk_size, name="align_loss")
        self.relevance_loss = RelevanceLoss(name="relevance_loss")
        known = np.flatnonzero(items.known).astype(np.int32)
        counts = np.where(items.known, items.count, 0).astype(np.float64)
        self._known_ids = tf.constant(known)
        # An item that training never saw can still be held out of an OOV bucket; the floor keeps log q finite.
        popularity = counts / max(counts.sum(), 1.0)
        self._popularity = tf.constant(np.maximum(popularity, 1e-12).astype(np.float32))
        self._query_tokens = tf.constant(queries.tokens)
        self._create_weights()

    def _create_weights(self) -> None:
        """Runs once on a tiny batch, so that every variable exists before a checkpoint is restored."""
        batch = {
            names.HISTORY_ITEM_ID: tf.ones((1, 2), tf.int32),
            names.HISTORY_QUERY: tf.ones((1, 2), tf.int32),
            names.HISTORY_TIMESTAMP: tf.ones((1, 2), tf.int64),
            names.REQUEST_TIMESTAMP: tf.ones((1,), tf.int64),
        }
        for name, loss in (("align", self.align_loss), ("query_item", self.relevance_loss)):
            if name in self.active_terms:
                loss.build(None)
        self.compute_losses(batch, tf.zeros((2,), tf.int32), training=True)
        self(batch)

    def encode(self, batch: Mapping[str, tf.Tensor], extra: tf.Tensor) -> _Encoded:
        """Encodes every distinct id of the batch's histories, and `extra` item ids ([n] int32), once.

        Where replicas share a batch, each encodes a part of the ids of all, and gets the others' from them.
        """
        history, typed = replicas.gather(batch[names.HISTORY_ITEM_ID], batch[names.HISTORY_QUERY])
        # Padding comes first, whether a history has any or not: draws from the distinct ids must not depend on the rows
        # that fill up the last replica's share.
        every = tf.concat([[names.PADDING_ID], tf.reshape(history, [-1]), extra], axis=0)
        of_item = distinct(every, self.sizes.items)
        channels, channel_mask = replicas.divide(of_item.ids, self.item_channels)
        items, item_weight = self.gate.fuse(channels, channel_mask, first=1)
        of_query = distinct(tf.reshape(typed, [-1]), self.sizes.queries)
        queries, query_weight = replicas.divide(of_query.ids, self._encode_queries)
        pairs = 1 + tf.size(history)
        return _Encoded(
            channels=channels,
            channel_mask=channel_mask,
            items=items,
            item_weight=item_weight,
            queries=queries,
            query_weight=query_weight,
            item_row=replicas.own_rows(tf.reshape(of_item.row[1:pairs], tf.shape(history))),
            query_row=replicas.own_rows(tf.reshape(of_query.row, tf.shape(history))),
            extra_row=of_item.row[pairs:],
            distinct=of_item,
        )

    def _encode_queries(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Vectors [n, d] and gate log weights [n] of query ids [n]."""
        tokens = tf.gather(self._query_tokens, ids)
        vectors = self.query_encoder(ids, self.token_embedding(tokens), tokens > 0)
        weight = self.gate.logits(vectors[:, tf.newaxis], first=0)[:, 0]
        present = (ids > 0) & self.config.use_query
        return vectors, tf.where(present, weight, NEGATIVE)

    def _pairs(self, encoded: _Encoded, item_row: tf.Tensor, query_row: tf.Tensor) -> tf.Tensor:
        """x_pair for rows of items and of queries, both [...]: [..., d]."""
        return self.gate.combine(
            tf.gather(encoded.items, item_row),
            tf.gather(encoded.item_weight, item_row),
            tf.gather(encoded.queries, query_row),
            tf.gather(encoded.query_weight, query_row),
        )

    def call(self, batch: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """What the user wants next.

        Args:
          batch: history_item_id, history_query [B, L] int32, history_timestamp [B, L] and request_timestamp [B] int64.

        Returns:
          [B, d]; its inner product with a pair's vector is the next-pair logit.
        """
        encoded = self.encode(batch, tf.zeros((0,), tf.int32))
        mask = batch[names.HISTORY_ITEM_ID] > 0
        gap, position = ages(mask, batch[names.HISTORY_TIMESTAMP], batch[names.REQUEST_TIMESTAMP])
        pairs = self._pairs(encoded, encoded.item_row, encoded.query_row)
        return self.interest(pairs, mask[:, tf.newaxis], gap[:, tf.newaxis], position[:, tf.newaxis])[:, 0]

    def compute_losses(
        self, batch: Mapping[str, tf.Tensor], step_seed: tf.Tensor, training: bool = True
    ) -> dict[str, tf.Tensor]:
        """The active ones of next_pair, align, query_item, unweighted.

        Args:
          batch: history_item_id, history_query [B, L] int32 and history_timestamp [B, L] int64; more is ignored.
          step_seed: [2] int32.
          training: unused; the losses draw the same way in evaluation.
        """
        draws = seeding.integers(step_seed, "uniform", (self.train.negatives,), tf.size(self._known_ids))
        uniform = tf.gather(self._known_ids, draws)
        encoded = self.encode(batch, uniform)
        losses = {}
        if "next_pair" in self.active_terms:
            losses["next_pair"] = self._next_pair(batch, encoded, uniform, step_seed)
        if "align" in self.active_terms:
            vectors = tf.gather(encoded.channels, encoded.item_row)
            mask = tf.gather(encoded.channel_mask, encoded.item_row)
            losses["align"] = self.align_loss(vectors, mask, batch[names.HISTORY_ITEM_ID])
        if "query_item" in self.active_terms:
            losses["query_item"] = self._query_item(batch, encoded, step_seed)
        return losses

    def _next_pair(
        self, batch: Mapping[str, tf.Tensor], encoded: _Encoded, uniform: tf.Tensor, step_seed: tf.Tensor
    ) -> tf.Tensor:
        history = batch[names.HISTORY_ITEM_ID]
        windows = last_windows(history > 0, batch[names.HISTORY_TIMESTAMP], self.train.next_pair_windows)
        pairs = self._pairs(encoded, encoded.item_row, encoded.query_row)
        users = self.interest(pairs, windows.visible, windows.gap_ms, windows.position)

        def held(values: tf.Tensor) -> tf.Tensor:
            return tf.reshape(tf.gather(values, windows.held_out, batch_dims=1), [-1])

        # The pool is that of the global batch: other replicas' pairs are negatives too.
        held_items, item_rows, query_rows, valid = replicas.gather(
            held(history), held(encoded.item_row), held(encoded.query_row), tf.reshape(windows.valid, [-1])
        )
        # A uniform item is paired with the query of some held-out pair, so that the query does not give it away.
        order = tf.argsort(tf.cast(valid, tf.int32), direction="DESCENDING", stable=True)
        count = tf.reduce_sum(tf.cast(valid, tf.int32))
        picks = seeding.integers(step_seed, "query", tf.shape(uniform), tf.maximum(count, 1))
        uniform_pairs = self._pairs(encoded, encoded.extra_row, tf.gather(query_rows, tf.gather(order, picks)))
        held_items, item_rows, query_rows, valid = (
            replicas.own_first(x) for x in (held_items, item_rows, query_rows, valid)
        )
        return self.next_pair_loss(
            tf.reshape(users, (-1, self.config.dim)),
            self._pairs(encoded, item_rows, query_rows),
            held_items,
            valid,
            uniform_pairs,
            uniform,
            mixture_probability(
                tf.concat([held_items, uniform], axis=0), self._popularity, count, self.train.negatives
            ),
        )

    def _query_item(self, batch: Mapping[str, tf.Tensor], encoded: _Encoded, step_seed: tf.Tensor) -> tf.Tensor:
        history, typed = batch[names.HISTORY_ITEM_ID], batch[names.HISTORY_QUERY]
        # Drawn for the global batch, of which a replica has its rows.
        shape = tf.shape(history) * [replicas.count(), 1]
        draws = replicas.own_rows(seeding.integers(step_seed, "relevance", shape, encoded.distinct.count))
        other = tf.gather(encoded.distinct.ids, draws)
        return self.relevance_loss(
            tf.gather(encoded.queries, encoded.query_row),
            tf.gather(encoded.items, encoded.item_row),
            (history > 0) & (typed > names.EMPTY_QUERY_ID),
            tf.gather(encoded.items, draws),
            (other > 0) & tf.not_equal(other, history),
        )

    def channel_tables(self, batch_size: int = 1024) -> ChannelTables:
        """E_PSU: every item and every query encoded once, and the weights that SEMINAR starts from.

        Args:
          batch_size: ids encoded at a time.
        """
        items, masks = [], []
        for start in range(0, self.sizes.items, batch_size):
            vectors, mask = self.item_channels(tf.range(start, min(start + batch_size, self.sizes.items)))
            items.append(tf.cast(vectors, tf.float32).numpy())
            masks.append(mask.numpy())
        queries = [
            tf.cast(
                self._encode_queries(tf.range(start, min(start + batch_size, self.sizes.queries)))[0], tf.float32
            ).numpy()
            for start in range(0, self.sizes.queries, batch_size)
        ]
        weights = pack("gate", self.gate)
        if "next_pair" in self.active_terms:
            # Nothing else trains <EOS> attention, whose W^Q and W^K are the search's too.
            attention = self.interest.attention
            weights |= pack("interest", self.interest)
            weights |= {"search/0": attention.query_kernel.numpy(), "search/1": attention.key_kernel.numpy()}
        return ChannelTables(
            channels=self.channels,
            item=np.concatenate(items),
            item_mask=np.concatenate(masks),
            query=np.concatenate(queries),
            weights=weights,
        )

    def gate_weights(self, item_ids: tf.Tensor, query_ids: tf.Tensor) -> tf.Tensor:
        """gamma of pairs: item_ids and query_ids [n] int32 -> [n, M+1], query first."""
        channels, mask = self.item_channels(item_ids)
        queries, weight = self._encode_queries(query_ids)
        x = tf.concat([queries[:, tf.newaxis], channels], axis=1)
        return self.gate.weights_of(x, tf.concat([weight[:, tf.newaxis] > NEGATIVE, mask], axis=1))
