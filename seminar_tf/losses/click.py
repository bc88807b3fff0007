"""Losses of ranking: binary cross-entropy a task, and an optional listwise term (spec section 5)."""

from __future__ import annotations

import tensorflow as tf

from seminar_tf.layers.masking import NEGATIVE, weighted_mean


def masked_bce(logits: tf.Tensor, labels: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
    """Mean binary cross-entropy over real candidates whose label is known.

    Args:
      logits: [B, N].
      labels: [B, N] float32 in [0, 1], NaN where unknown.
      candidates: [B, N] int32 item ids, 0 is padding.

    Returns:
      A float32 scalar, 0 where no label is known.
    """
    known = ~tf.math.is_nan(labels) & (candidates > 0)
    labels = tf.where(known, labels, 0.0)
    loss = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=tf.cast(logits, tf.float32))
    return weighted_mean(loss, known)


def listwise(logits: tf.Tensor, labels: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
    """Softmax cross-entropy over the candidates of a request, for requests with a positive label.

    Args:
      logits, labels, candidates: as in `masked_bce`.

    Returns:
      A float32 scalar: mean over requests of -sum_c y_c log softmax(logits)_c / sum_c y_c.
    """
    known = ~tf.math.is_nan(labels) & (candidates > 0)
    labels = tf.where(known, labels, 0.0)
    mass = tf.reduce_sum(labels, axis=-1)
    logs = tf.nn.log_softmax(tf.where(known, tf.cast(logits, tf.float32), NEGATIVE), axis=-1)
    # An unknown candidate's log-probability is about NEGATIVE; its weight is 0, so the product stays finite.
    cross_entropy = -tf.reduce_sum(labels * logs, axis=-1) / tf.maximum(mass, 1e-9)
    return weighted_mean(cross_entropy, mass > 0)
