"""A Keras model trained on several named losses, with no random state in the step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from seminar_tf.layers import replicas
from seminar_tf.layers.distinct import merge_rows, static_shapes


class MultiLossModel(tf.keras.Model):
    """train_step and test_step over `losses`: weighted sum, clipped gradients, one Mean metric a loss and the total.

    Whatever is drawn in a step is a function of (seed, step), so that a run resumed from a checkpoint repeats the
    unbroken one bit for bit.

    Where replicas share a batch (training/strategy.py), `compute_losses` gives this replica's share of each loss: the
    shares add up to the loss of the whole batch, so one and many replicas train alike. A row of zeros fills a
    replica's rows up and must have no part in any loss.

    Args:
      seed: of the initial weights and of every draw.
      term_weights: weight of each loss; a loss with weight 0 is not computed.
      clip_norm: global norm above which gradients are scaled down; 0 switches it off.
    """

    def __init__(self, seed: int, term_weights: Mapping[str, float], clip_norm: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.clip_norm = clip_norm
        self.term_weights = dict(term_weights)
        self.active_terms = tuple(name for name, weight in term_weights.items() if weight)
        self.total_metric = tf.keras.metrics.Mean(name="loss")
        self.term_metrics = [tf.keras.metrics.Mean(name=name) for name in self.active_terms]

    def compute_losses(
        self, batch: Mapping[str, tf.Tensor], step_seed: tf.Tensor, training: bool
    ) -> dict[str, tf.Tensor]:
        """Every active loss, unweighted: a float32 scalar each, by name. Subclasses define it."""
        raise TypeError(f"{type(self).__name__} does not define compute_losses.")

    @property
    def metrics(self) -> list[tf.keras.metrics.Metric]:
        """Reset by Keras at the start of each epoch."""
        return [self.total_metric, *self.term_metrics]

    def total(self, losses: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Weighted sum of the active losses."""
        return tf.add_n([self.term_weights[name] * losses[name] for name in self.active_terms])

    def step_seed(self) -> tf.Tensor:
        """[2] int32: (seed, steps taken)."""
        return tf.stack([tf.constant(self.seed, tf.int32), tf.cast(self.optimizer.iterations, tf.int32)])

    # Nothing in a model is written for autograph, which would take most of the time before the first step.
    @tf.autograph.experimental.do_not_convert
    def train_step(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One step of the optimizer on a batch dict (or the tuple that Keras wraps it in)."""
        batch = tf.keras.utils.unpack_x_y_sample_weight(batch)[0]
        with static_shapes(bool(self.jit_compile)):
            with tf.GradientTape() as tape:
                losses = self.compute_losses(batch, self.step_seed(), training=True)
                total = self.total(losses)
                scaled = self._scaled(total)
            gradients = tape.gradient(scaled, self.trainable_variables)
            if self._scales_loss():
                gradients = self.optimizer.get_unscaled_gradients(gradients)
            self._apply([(g, v) for g, v in zip(gradients, self.trainable_variables) if g is not None])
            return self._update(losses, total)

    def _apply(self, pairs: list[tuple[Any, tf.Variable]]) -> None:
        """Sums gradients over replicas, clips their sum, and takes the step."""
        # A loss-scaling optimizer leaves the sum to the one that it wraps.
        inner: Any = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        pairs = [(merge_rows(g), v) for g, v in inner.aggregate_gradients(pairs)]
        if self.clip_norm:
            clipped, _ = tf.clip_by_global_norm([g for g, _ in pairs], self.clip_norm)
            pairs = [(g, v) for g, (_, v) in zip(clipped, pairs)]
        self.optimizer.apply_gradients(pairs, skip_gradients_aggregation=True)

    @tf.autograph.experimental.do_not_convert
    def test_step(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The losses of a batch, with draws that are the same in every evaluation."""
        batch = tf.keras.utils.unpack_x_y_sample_weight(batch)[0]
        with static_shapes(bool(self.jit_compile)):
            losses = self.compute_losses(batch, tf.constant([self.seed, -1], tf.int32), training=False)
            return self._update(losses, self.total(losses))

    def _update(self, losses: Mapping[str, tf.Tensor], total: tf.Tensor) -> dict[str, tf.Tensor]:
        # Metrics add up over replicas, values and counts: R times the share, counted once a replica.
        shares = replicas.count()
        self.total_metric.update_state(total * shares)
        for name, metric in zip(self.active_terms, self.term_metrics):
            metric.update_state(losses[name] * shares)
        return {metric.name: metric.result() for metric in self.metrics}

    def _scales_loss(self) -> bool:
        return isinstance(self.optimizer, tf.keras.mixed_precision.LossScaleOptimizer)

    def _scaled(self, total: tf.Tensor) -> tf.Tensor:
        return self.optimizer.get_scaled_loss(total) if self._scales_loss() else total
