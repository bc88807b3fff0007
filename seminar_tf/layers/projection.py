"""A matrix applied to vectors in a tensor of any rank."""

from __future__ import annotations

import tensorflow as tf


def project(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """x @ kernel as one product of two matrices.

    `tf.matmul` of a tensor with a matrix is a batched product, whose gradient first makes a copy of the kernel's
    gradient for every row of the batch and then adds them up.

    Args:
      x: [..., a].
      kernel: [a, b], cast to the type of `x`.

    Returns:
      [..., b].
    """
    rows, columns = kernel.shape
    flat = tf.reshape(x, (-1, rows)) @ tf.cast(kernel, x.dtype)
    return tf.reshape(flat, tf.concat([tf.shape(x)[:-1], [columns]], axis=0))
