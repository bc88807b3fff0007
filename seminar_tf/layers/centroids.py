"""Vectors and inner products from the codes of product quantization (spec section 6)."""

from __future__ import annotations

import tensorflow as tf


def code_rows(codes: tf.Tensor, size: int) -> tf.Tensor:
    """Where each code's centroid stands when those of all channels and sub-vectors are laid out in a row.

    Args:
      codes: [..., n, S] uint8, of n channels of S sub-vectors each, the last two sizes static.
      size: C, centroids of a sub-vector.

    Returns:
      [..., n, S] int32.
    """
    channels, subvectors = codes.shape[-2:]
    start = tf.range(channels * subvectors) * size
    return tf.cast(codes, tf.int32) + tf.reshape(start, (channels, subvectors))


def decode(centroids: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
    """The vectors that codes stand for.

    Args:
      centroids: [n, S, C, d / S].
      codes: [..., n, S] uint8.

    Returns:
      [..., n, d].
    """
    size, width = centroids.shape[-2:]
    parts = tf.gather(tf.reshape(centroids, (-1, width)), code_rows(codes, size))
    return tf.reshape(parts, tf.concat([tf.shape(codes)[:-1], [codes.shape[-1] * width]], axis=0))


def inner_products(targets: tf.Tensor, centroids: tf.Tensor) -> tf.Tensor:
    """Of each target's sub-vectors with all centroids: [B, N, d] and [n, S, C, d / S] -> [B, N, n, S, C]."""
    shape, subvectors = tf.shape(targets), centroids.shape[1]
    parts = tf.reshape(targets, (shape[0], shape[1], subvectors, centroids.shape[3]))
    return tf.einsum("bnse,msce->bnmsc", parts, tf.convert_to_tensor(centroids))


def looked_up(table: tf.Tensor, codes: tf.Tensor, gamma: tf.Tensor) -> tf.Tensor:
    """Scores of coded pairs: sum_m gamma_m sum_s table[m, s, code].

    Args:
      table: [B, N, n, S, C] `inner_products`.
      codes: [B, L, n, S] uint8.
      gamma: [B, L, n] weights of the channels.

    Returns:
      [B, N, L] float32.
    """
    shape, size = tf.shape(codes), table.shape[-1]
    channels, subvectors = table.shape[2], table.shape[3]
    rows = tf.reshape(code_rows(codes, size), (shape[0], shape[1] * channels * subvectors))
    flat = tf.reshape(table, (shape[0], tf.shape(table)[1], channels * subvectors * size))
    found = (shape[0], tf.shape(table)[1], shape[1], channels, subvectors)
    picked = tf.reshape(tf.gather(flat, rows, axis=2, batch_dims=1), found)
    return tf.reduce_sum(tf.reduce_sum(picked, axis=4) * tf.cast(gamma, tf.float32)[:, tf.newaxis], axis=3)


def looked_up_by_column(table: tf.Tensor, columns: tf.Tensor, gamma: tf.Tensor) -> tf.Tensor:
    """`looked_up` as XLA likes it: codes lie by column, so that a look-up reads them in a row, and sums are fused in.

    Args:
      table: [B, N, n, S, C].
      columns: [B, n, S, L] uint8.
      gamma: [B, n, L].

    Returns:
      [B, N, L] float32.
    """
    channels = []
    for m in range(table.shape[2]):
        total = 0.0
        for s in range(table.shape[3]):
            total += tf.gather(table[:, :, m, s], tf.cast(columns[:, m, s], tf.int32), axis=2, batch_dims=1)
        channels.append(tf.cast(gamma[:, m], tf.float32)[:, tf.newaxis] * total)
    return tf.add_n(channels)
