"""Positions and time gaps of the windows that PSU predicts from, and of the newest pairs that SEMINAR looks at."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from seminar_tf.layers.masking import lengths


@dataclass(frozen=True)
class Windows:
    """The last m prefixes of each history: window w holds out the pair w places before the newest.

    Attributes:
      held_out: [B, m] int32 position of the held-out pair; 0 where not valid.
      valid: [B, m] bool, False where the prefix would be empty.
      visible: [B, m, L] bool, pairs before the held-out one.
      gap_ms: [B, m, L] int64, time of the held-out pair minus the pair's.
      position: [B, m, L] int32, 0 for the newest visible pair.
    """

    held_out: tf.Tensor
    valid: tf.Tensor
    visible: tf.Tensor
    gap_ms: tf.Tensor
    position: tf.Tensor


def last_windows(mask: tf.Tensor, timestamps: tf.Tensor, count: int) -> Windows:
    """Cuts the last `count` shifted windows.

    Args:
      mask: [B, L] bool, right-padded.
      timestamps: [B, L] int64 ms.
      count: m, windows a history (at most L of them are valid).
    """
    held_out = lengths(mask)[:, tf.newaxis] - 1 - tf.range(count)[tf.newaxis]
    valid = held_out >= 1
    held_out = tf.maximum(held_out, 0)
    places = tf.range(tf.shape(mask)[1])
    position = held_out[..., tf.newaxis] - 1 - places
    moment = tf.gather(timestamps, held_out, batch_dims=1)
    return Windows(
        held_out=held_out,
        valid=valid,
        visible=(position >= 0) & valid[..., tf.newaxis],
        gap_ms=moment[..., tf.newaxis] - timestamps[:, tf.newaxis],
        position=position,
    )


def ages(mask: tf.Tensor, timestamps: tf.Tensor, moment: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Time gap and position of every pair at the moment of a request.

    Args:
      mask: [B, L] bool, right-padded.
      timestamps: [B, L] int64 ms.
      moment: [B] int64 ms.

    Returns:
      gap_ms: [B, L] int64.
      position: [B, L] int32, 0 for the newest pair; negative for padding.
    """
    position = lengths(mask)[:, tf.newaxis] - 1 - tf.range(tf.shape(mask)[1])[tf.newaxis]
    return moment[:, tf.newaxis] - timestamps, position
