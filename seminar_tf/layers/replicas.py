"""Sums and rows over all replicas of a step, so that a loss does not depend on how its batch is split.

A replica holds equal many consecutive rows of the global batch (training/shares.py). Outside a replica, and with one
replica, every function here gives its argument back and costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def count() -> int:
    """R, replicas that take this step together; 1 outside a replica (building, evaluation, export)."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def total(value: tf.Tensor) -> tf.Tensor:
    """Sum of a tensor of any shape over all replicas; carries no gradient (it is for counts)."""
    if count() == 1:
        return value
    return _sum(tf.stop_gradient(value))


def gather(*values: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Rows of all replicas, in the order of the global batch.

    Args:
      *values: [n, ...] tensors, n the same on every replica.

    Returns:
      [R n, ...] each, with a gradient.
    """
    if count() == 1:
        return values
    # Collectives know neither bool nor bfloat16, and forget the static shape.
    return tuple(
        tf.ensure_shape(tf.cast(_all_gather(tf.cast(v, _sent_dtype(v.dtype))), v.dtype), [None, *v.shape[1:]])
        for v in values
    )


@tf.custom_gradient
def _all_gather(value: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """all_gather; TensorFlow's own gradient of it gathers the sizes again, and cannot take several tensors."""

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        return own_rows(_sum(tf.convert_to_tensor(upstream)))

    return tf.distribute.get_replica_context().all_gather(_placed(value), axis=0), gradient


def _sum(value: tf.Tensor) -> tf.Tensor:
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, _placed(value))


def _placed(value: tf.Tensor) -> tf.Tensor:
    """The value on this replica's device, by name: a collective of several workers asks its input where it is."""
    context = tf.distribute.get_replica_context()
    # The devices of this worker; replicas are numbered worker by worker, and a worker has equal many.
    local = context.strategy.extended.worker_devices
    with tf.device(local[int(tf.get_static_value(_index())) % len(local)]):
        return tf.identity(value)


def own_rows(value: tf.Tensor) -> tf.Tensor:
    """This replica's n rows of [R n, ...]."""
    if count() == 1:
        return value
    rows = tf.shape(value)[0] // count()
    return value[_index() * rows : (_index() + 1) * rows]


def own_first(value: tf.Tensor) -> tf.Tensor:
    """[R n, ...] turned round so that this replica's n rows come first."""
    if count() == 1:
        return value
    return tf.roll(value, -_index() * (tf.shape(value)[0] // count()), axis=0)


def divide(ids: tf.Tensor, work: Callable[[tf.Tensor], tuple[tf.Tensor, ...]]) -> tuple[tf.Tensor, ...]:
    """Lets every replica do a part of some work, and gives all of its results to each.

    Args:
      ids: [n], the same on every replica.
      work: [m] ids -> tensors [m, ...], row by row; it must take id 0, which fills the parts up.

    Returns:
      work(ids), [n, ...] each, with a gradient.
    """
    if count() == 1:
        return work(ids)
    size = tf.shape(ids)[0]
    part = (size + count() - 1) // count()
    filled = tf.pad(ids, [[0, part * count() - size]])
    return tuple(value[:size] for value in gather(*work(filled[_index() * part : (_index() + 1) * part])))


def _index() -> tf.Tensor:
    return tf.convert_to_tensor(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int32)


def _sent_dtype(dtype: tf.DType) -> tf.DType:
    if dtype == tf.bool:
        return tf.int32
    return tf.float32 if dtype in (tf.bfloat16, tf.float16) else dtype
