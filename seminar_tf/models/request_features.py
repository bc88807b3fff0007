"""Plain features of a request and its candidates: the calendar, and earlier meetings with the same item."""

from __future__ import annotations

import math

import tensorflow as tf

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_WEEK_MS = 7 * _DAY_MS


def calendar(moment_ms: tf.Tensor) -> tf.Tensor:
    """Hour of the day and day of the week (UTC) on circles.

    Args:
      moment_ms: [B] int64, ms since 1970.

    Returns:
      [B, 4] float32: sine and cosine of the time of day, then of the time of the week.
    """
    columns = []
    for period in (_DAY_MS, _WEEK_MS):
        # The remainder is taken in int64: a float32 timestamp would be hours off.
        angle = tf.cast(tf.math.floormod(moment_ms, period), tf.float32) * (2.0 * math.pi / period)
        columns += [tf.sin(angle), tf.cos(angle)]
    return tf.stack(columns, axis=-1)


def same_item(history: tf.Tensor, candidates: tf.Tensor, gap_ms: tf.Tensor) -> tf.Tensor:
    """x_u2i: how often, and how lately, the user met this very item.

    Args:
      history: [B, L] int32 item ids, 0 is padding.
      candidates: [B, N] int32 item ids, 0 is padding.
      gap_ms: [B, L] int64, request time minus pair time, ms.

    Returns:
      [B, N, 2] float32: log(1 + times), and 1 / (1 + log(1 + hours since the last time)), 0 if never.
    """
    same = tf.equal(candidates[:, :, tf.newaxis], history[:, tf.newaxis]) & (history > 0)[:, tf.newaxis]
    times = tf.reduce_sum(tf.cast(same, tf.float32), axis=-1)
    hours = tf.cast(tf.maximum(gap_ms, 0), tf.float32) / _HOUR_MS
    lateness = 1.0 / (1.0 + tf.math.log1p(hours))
    last = tf.reduce_max(tf.where(same, lateness[:, tf.newaxis], 0.0), axis=-1)
    return tf.stack([tf.math.log1p(times), last], axis=-1)
