"""SASRec: causal self-attention over the newest pairs; a candidate's score is an inner product (arXiv 1808.09781)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from seminar_tf.features.tables import ItemFeatures
from seminar_tf.layers import seeding
from seminar_tf.layers.short_branch import last_positions
from seminar_tf.layers.stateless_dropout import StatelessDropout
from seminar_tf.layers.transformer_block import TransformerBlock
from seminar_tf.models.fused_batch import FusedBatch, fuse_batch
from seminar_tf.models.table_ranker import TableRanker


class SasRec(TableRanker):
    """r = F_t M_i: the state after the newest pair, times the candidate (eq. 6), F of blocks over E + P (eq. 1 to 5).

    No prediction head, no short branch and no other features: what is learned of a user is one vector a request. A task
    has a factor and an offset of its own, so that scores are probabilities.

    Args:
      as in TableRanker.
    """

    def make_layers(self, items: ItemFeatures, categories: np.ndarray | None) -> None:
        """Blocks, learned positions (the newest pair's is the last), and the tasks' factors."""
        config, seed = self.config, self.seed
        self.positions = self.add_weight(
            name="positions",
            shape=(config.short_length, config.dim),
            initializer=seeding.normal(seed, "positions", 0.05),
        )
        self.drop = StatelessDropout(config.dropout, name="sasrec_dropout")
        self.blocks = [
            TransformerBlock(config.dim, config.heads, seeding.derive(seed, f"block_{n}"), name=f"block_{n}")
            for n in range(config.rivals.sasrec_blocks)
        ]
        self.norm = tf.keras.layers.LayerNormalization(epsilon=1e-6, name="norm")
        tasks = (len(self.tasks),)
        self.factor = self.add_weight(name="factor", shape=tasks, initializer="ones", dtype=tf.float32)
        self.offset = self.add_weight(name="offset", shape=tasks, initializer="zeros", dtype=tf.float32)

    def call(
        self, batch: Mapping[str, tf.Tensor], training: bool = False, step_seed: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """Logits of every candidate; arguments and result as in HistoryRanker.call."""
        seen = fuse_batch(self.pairs, batch, training)
        state = self.state(seen, step_seed)
        product = tf.cast(tf.linalg.matvec(seen.targets(), state), tf.float32)
        factor, offset = tf.cast(self.factor, tf.float32), tf.cast(self.offset, tf.float32)
        return {task: factor[n] * product + offset[n] for n, task in enumerate(self.tasks)}

    def state(self, seen: FusedBatch, step_seed: tf.Tensor | None = None) -> tf.Tensor:
        """F after the newest pair, [B, d]; zeros for a user without any."""
        places, valid = last_positions(seen.mask, self.config.short_length)
        pairs = seen.picked(places)
        x = self.drop(pairs + tf.cast(self.positions, pairs.dtype), step_seed)
        order = tf.range(self.config.short_length)
        mask = valid[:, tf.newaxis] & (order[:, tf.newaxis] >= order)
        for block in self.blocks:
            x = block(x, mask)
        last = self.norm(x[:, -1])
        return tf.where(valid[:, -1:], last, tf.zeros([], last.dtype))
