"""Negatives for implicit feedback, drawn in tf.data as a pure function of (seed, split, epoch, request, place).

A counter-based hash (SplitMix64's finalizer: Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
OOPSLA 2014) takes the place of a random state: a request gets the same negatives whatever batch it falls in, however
many threads cut batches, and after a resume. Evaluation draws with another split, so never training's numbers.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from seminar_tf.features import names

_GOLDEN = 0x9E3779B97F4A7C15
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_MASK = (1 << 64) - 1
SPLIT_NUMBERS = {split: n for n, split in enumerate(names.SEGMENT_SPLITS)}


def stream_key(seed: int, split: str, epoch: int) -> int:
    """64-bit key of one stream of draws: other seeds, splits or epochs give unrelated numbers."""
    key = _mix_int((seed + 1) * _GOLDEN)
    key = _mix_int(key ^ (SPLIT_NUMBERS[split] + 1) * _GOLDEN)
    return _mix_int(key ^ (epoch + 1) * _GOLDEN)


def uniforms(key: int, index: tf.Tensor, count: int) -> tf.Tensor:
    """Uniform numbers in [0, 1).

    Args:
      key: of `stream_key`.
      index: (B,) int64, number of each request in its split.
      count: numbers for each request.

    Returns:
      (B, count) float64, each a pure function of (key, index, place).
    """
    golden = tf.constant(_GOLDEN, tf.uint64)
    row = _mix(tf.bitwise.bitwise_xor(tf.constant(key, tf.uint64), _mix((tf.cast(index, tf.uint64) + 1) * golden)))
    place = (tf.cast(tf.range(count), tf.uint64) + 1) * golden
    bits = _mix(row[:, tf.newaxis] + place)
    # 53 bits are what a float64 holds exactly.
    return tf.cast(tf.cast(tf.bitwise.right_shift(bits, tf.constant(11, tf.uint64)), tf.int64), tf.float64) * 2.0**-53


class NegativeSampler:
    """Draws known items other than the positive: a share by popularity^power, the rest uniformly."""

    def __init__(self, known: np.ndarray, counts: np.ndarray, popular_share: float, power: float) -> None:
        """Args:
          known: (V,) bool, ids that may be drawn.
          counts: (V,) int64, times each id is a pair of the train segments.
          popular_share: share of draws that follow popularity, 0 to 1.
          power: exponent of the count.

        Raises:
          ValueError: fewer than two known items, so that there may be nothing but the positive to draw.
        """
        ids = np.flatnonzero(known)
        if len(ids) < 2:
            raise ValueError(f"negatives need at least 2 known items, the catalog has {len(ids)}.")
        weights = np.where(counts[ids] > 0, counts[ids].astype(np.float64) ** power, 0.0)
        if weights.sum() == 0:
            weights = np.ones(len(ids))
        self.popular_share = popular_share
        self._size = len(ids)
        self._ids = tf.constant(ids, tf.int32)
        rank = np.full(len(known), -1, np.int64)
        rank[ids] = np.arange(len(ids))
        self._rank = tf.constant(rank)
        # upper[r] is the popularity mass of ranks 0..r; the last is 1 exactly.
        upper = np.cumsum(weights / weights.sum())
        upper[-1] = 1.0
        self._upper = tf.constant(upper)
        self._lower = tf.constant(np.concatenate([[0.0], upper[:-1]]))

    def draw(self, positive: tf.Tensor, index: tf.Tensor, key: int, count: int) -> tf.Tensor:
        """Draws negatives, with replacement.

        Args:
          positive: (B,) int32 ids never drawn for their request.
          index: (B,) int64, number of each request in its split.
          key: of `stream_key`.
          count: negatives for each request.

        Returns:
          (B, count) int32 known ids, none of them the request's positive.
        """
        draws = uniforms(key, index, 2 * count)
        value, choice = draws[:, :count], draws[:, count:]
        rank = tf.gather(self._rank, positive)[:, tf.newaxis]
        popular, drawable = self._by_popularity(value, rank)
        chosen = tf.where((choice < self.popular_share) & drawable, popular, self._uniform(value, rank))
        return tf.gather(self._ids, chosen)

    def _uniform(self, value: tf.Tensor, rank: tf.Tensor) -> tf.Tensor:
        """Ranks drawn uniformly from all but `rank` (-1 excludes none)."""
        size = self._size - tf.cast(rank >= 0, tf.int64)
        drawn = tf.minimum(tf.cast(value * tf.cast(size, tf.float64), tf.int64), size - 1)
        return drawn + tf.cast((rank >= 0) & (drawn >= rank), tf.int64)

    def _by_popularity(self, value: tf.Tensor, rank: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Ranks drawn by mass from all but `rank`, and whether anything but `rank` has mass."""
        known = rank >= 0
        lower = tf.gather(self._lower, tf.maximum(rank, 0))
        mass = tf.where(known, tf.gather(self._upper, tf.maximum(rank, 0)) - lower, tf.zeros_like(lower))
        # Cut the positive's interval out of [0, 1): what lies beyond it moves up by its width.
        point = value * (1.0 - mass)
        point = tf.where(known & (point >= lower), point + mass, point)
        flat = tf.searchsorted(self._upper, tf.reshape(point, [-1]), side="right", out_type=tf.int64)
        drawn = tf.minimum(tf.reshape(flat, tf.shape(point)), self._size - 1)
        # Rounding may still land on the positive's edge; its neighbour is as good.
        drawn = tf.where(drawn == rank, (drawn + 1) % self._size, drawn)
        return drawn, tf.broadcast_to(1.0 - mass > 1e-12, tf.shape(drawn))


def add_negatives(candidates: tf.Tensor, labels: tf.Tensor, negatives: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Appends drawn negatives to the candidates of each request.

    Args:
      candidates: (B, W) int32 ids, 0 is padding.
      labels: (B, W, tasks) float32, NaN is unknown.
      negatives: (B, n) int32 ids.

    Returns:
      (B, W+n) int32 ids and (B, W+n, tasks) float32 labels: 0 for every task of a negative (nothing was done with
      it). A negative that is also a candidate of its request becomes padding.
    """
    clash = tf.reduce_any(negatives[:, :, tf.newaxis] == candidates[:, tf.newaxis, :], axis=2)
    kept = tf.where(clash, names.PADDING_ID, negatives)
    label = tf.where(clash, float("nan"), 0.0)[:, :, tf.newaxis]
    label = tf.broadcast_to(label, tf.concat([tf.shape(kept), tf.shape(labels)[2:]], axis=0))
    return tf.concat([candidates, kept], axis=1), tf.concat([labels, label], axis=1)


def _mix(bits: tf.Tensor) -> tf.Tensor:
    """SplitMix64's finalizer over uint64 tensors."""
    for shift, factor in _MIX:
        shifted = tf.bitwise.right_shift(bits, tf.constant(shift, tf.uint64))
        bits = tf.bitwise.bitwise_xor(bits, shifted) * tf.constant(factor, tf.uint64)
    return tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(31, tf.uint64)))


def _mix_int(bits: int) -> int:
    """The same over a Python integer."""
    bits &= _MASK
    for shift, factor in _MIX:
        bits = (bits ^ (bits >> shift)) * factor & _MASK
    return bits ^ (bits >> 31)
