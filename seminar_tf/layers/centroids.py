"""Codes as rows among the centroids of several channels and sub-vectors."""

from __future__ import annotations

import tensorflow as tf


def code_rows(codes: tf.Tensor, size: int, first: int = 0) -> tf.Tensor:
    """Where each code's centroid stands when all are laid out in a row.

    Args:
      codes: [..., n, S] uint8, of n channels of S sub-vectors each, the last two sizes static.
      size: C, centroids of a sub-vector.
      first: index of the first of these channels among all.

    Returns:
      [..., n, S] int32.
    """
    channels, subvectors = codes.shape[-2:]
    start = (first * subvectors + tf.range(channels * subvectors)) * size
    return tf.cast(codes, tf.int32) + tf.reshape(start, (channels, subvectors))


def decode(centroids: tf.Tensor, codes: tf.Tensor, first: int = 0) -> tf.Tensor:
    """The vectors that codes stand for.

    Args:
      centroids: [M, S, C, d / S] of all channels.
      codes: [..., n, S] uint8, of channels `first`, `first` + 1, ...

    Returns:
      [..., n, d].
    """
    size, width = centroids.shape[-2:]
    parts = tf.gather(tf.reshape(centroids, (-1, width)), code_rows(codes, size, first))
    return tf.reshape(parts, tf.concat([tf.shape(codes)[:-1], [codes.shape[-1] * width]], axis=0))
