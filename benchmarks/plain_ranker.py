"""What SEMINAR's speed is compared with: the usual way, every candidate attending over the whole history by itself."""

from __future__ import annotations

from collections.abc import Mapping

import seminar_tf  # noqa: F401  (settles Keras before TensorFlow loads)

# isort: split
import tensorflow as tf

from seminar_tf.config import ModelConfig
from seminar_tf.features import names
from seminar_tf.layers.prediction_head import PredictionHead
from seminar_tf.losses.click import masked_bce
from seminar_tf.models.base import MultiLossModel
from seminar_tf.models.channel_tables import ChannelTables


class PlainRanker(MultiLossModel):
    """Channels projected and gated pair by pair, the history repeated for each candidate, Keras' own attention.

    There is no search and no short branch: the alternative does less than SEMINAR, not more. Tables, projections,
    gate, the prediction head and the loss are the same.

    Args:
      config: sizes.
      tables: E_PSU.
      attributes: rows of the user attribute table.
      task: the label.
      seed: of the initial weights.
    """

    def __init__(self, config: ModelConfig, tables: ChannelTables, attributes: int, task: str, seed: int) -> None:
        super().__init__(seed, {task: 1.0}, clip_norm=5.0)
        self.task, self.dim = task, config.dim
        items, count, dim = tables.item.shape
        self.items = tf.keras.layers.Embedding(items, count * dim)
        self.queries = tf.keras.layers.Embedding(len(tables.query), dim)
        self.users = tf.keras.layers.Embedding(attributes, dim)
        self.projections = [tf.keras.layers.Dense(dim, use_bias=False) for _ in range(count + 1)]
        self.gate = [tf.keras.layers.Dense(1) for _ in range(count + 1)]
        self.attention = tf.keras.layers.MultiHeadAttention(config.heads, dim // config.heads)
        self.head = PredictionHead(config.hidden_units, config.cross_layers, dim, name=task)
        ids, one = tf.ones((1, 2), tf.int32), tf.ones((1,), tf.int32)
        self({names.HISTORY_ITEM_ID: ids, names.HISTORY_QUERY: ids, names.CANDIDATE_ITEM_ID: ids, names.QUERY: one}
             | {names.USER_ATTRIBUTES: ids})  # fmt: skip
        self.items.set_weights([tables.item.reshape(items, -1)])
        self.queries.set_weights([tables.query])

    def _pairs(self, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """[B, n] item and query ids -> [B, n, d]."""
        channels = [self.queries(queries), *tf.split(self.items(items), len(self.gate) - 1, axis=-1)]
        projected = [projection(x) for projection, x in zip(self.projections, channels)]
        weights = tf.nn.softmax(tf.concat([gate(x) for gate, x in zip(self.gate, projected)], axis=-1))
        return tf.add_n([weights[..., n, tf.newaxis] * x for n, x in enumerate(projected)])

    def call(self, batch: Mapping[str, tf.Tensor], training: bool = False) -> dict[str, tf.Tensor]:
        """Args: batch, the batch dict of docs/model.md. Returns: {task: [B, N] logits}."""
        candidates, history = batch[names.CANDIDATE_ITEM_ID], batch[names.HISTORY_ITEM_ID]
        shape, length = tf.shape(candidates), tf.shape(history)[1]
        query = tf.broadcast_to(batch[names.QUERY][:, tf.newaxis], shape)
        target = self._pairs(candidates, query)
        pairs = self._pairs(history, batch[names.HISTORY_QUERY])
        wide = (shape[0], shape[1], length, self.dim)
        repeated = tf.reshape(tf.broadcast_to(pairs[:, tf.newaxis], wide), (-1, length, self.dim))
        mask = tf.reshape(tf.broadcast_to((history > 0)[:, tf.newaxis], wide[:3]), (-1, 1, length))
        interest = self.attention(tf.reshape(target, (-1, 1, self.dim)), repeated, attention_mask=mask)
        interest = tf.reshape(interest, tf.shape(target))
        user = tf.reduce_mean(self.users(batch[names.USER_ATTRIBUTES]), axis=1, keepdims=True)
        matches = tf.reduce_sum(target * interest, axis=-1, keepdims=True)
        features = tf.concat([target, interest, tf.broadcast_to(user, tf.shape(target)), matches], axis=-1)
        return {self.task: self.head(features, matches)}

    def compute_losses(
        self, batch: Mapping[str, tf.Tensor], step_seed: tf.Tensor, training: bool = True
    ) -> dict[str, tf.Tensor]:
        """Binary cross-entropy; see MultiLossModel."""
        logits = self(batch, training=training)[self.task]
        return {self.task: masked_bce(logits, batch[names.label(self.task)], batch[names.CANDIDATE_ITEM_ID])}
