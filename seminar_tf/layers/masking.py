"""Softmax and means in which masked entries have no part at all (known faults 5 and 6)."""

from __future__ import annotations

import tensorflow as tf

from seminar_tf.layers import replicas

# Stands for -inf before a softmax: exp of it is exactly 0, and unlike -inf it gives no NaN in a row without any
# valid entry, nor in the gradient of tf.where.
NEGATIVE = -1e9


def masked_softmax(logits: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Softmax over the last axis of the entries that `mask` lets through.

    Args:
      logits: [..., n] floats.
      mask: bool, broadcastable to `logits`; False entries get weight 0.

    Returns:
      [..., n] weights that sum to 1, or to 0 where no entry is valid. The softmax is taken in float32.
    """
    scores = tf.where(mask, tf.cast(logits, tf.float32), NEGATIVE)
    weights = tf.nn.softmax(scores, axis=-1)
    return tf.cast(tf.where(mask, weights, 0.0), logits.dtype)


def masked_mean(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Mean over the axis before the last one.

    Args:
      values: [..., n, d].
      mask: [..., n] bool.

    Returns:
      [..., d]; zeros where no entry is valid.
    """
    weights = tf.cast(mask, values.dtype)[..., tf.newaxis]
    return tf.reduce_sum(values * weights, axis=-2) / tf.maximum(tf.reduce_sum(weights, axis=-2), 1.0)


def weighted_mean(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Mean of the valid entries of a whole tensor, 0 where there are none.

    Where several replicas take a step together, this replica's share of the mean over all of them: the shares add up
    to the mean, and so do their gradients.

    Args:
      values: any shape, finite where `mask` is True.
      mask: bool of the same shape.

    Returns:
      A float32 scalar.
    """
    kept = tf.where(mask, tf.cast(values, tf.float32), 0.0)
    return tf.reduce_sum(kept) / tf.maximum(replicas.total(tf.reduce_sum(tf.cast(mask, tf.float32))), 1.0)


def lengths(mask: tf.Tensor) -> tf.Tensor:
    """Number of valid entries of right-padded rows: [B, L] bool -> [B] int32."""
    return tf.reduce_sum(tf.cast(mask, tf.int32), axis=-1)
