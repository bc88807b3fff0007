"""Batches of a global batch size, given to the replicas of a strategy.

Autosharding is not used: it deals out files or elements, and what a replica got would depend on how many there are.
Here each worker makes the same global batches (they are a pure function of seed and epoch) and takes its rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from seminar_tf.training.strategy import is_asynchronous

Batch = dict[str, tf.Tensor]


def distribute(strategy: tf.distribute.Strategy, make: Callable[[], tf.data.Dataset]) -> Any:
    """What `fit` and `evaluate` take under a strategy; steps_per_epoch must be given beside it.

    Args:
      strategy: of the run.
      make: makes the dataset of global batches, dicts of [B, ...] tensors.

    Returns:
      With one replica, the dataset. With replicas in step, each has ceil(B / R) consecutive rows of every batch;
      zeros fill the last ones up. With parameter servers, each worker has every W-th batch, over and over.
    """
    if is_asynchronous(strategy):
        return tf.keras.utils.experimental.DatasetCreator(lambda _: _every_wth(make(), strategy))
    if strategy.num_replicas_in_sync == 1:
        return make()

    def shares(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return share(make(), strategy.num_replicas_in_sync, context.input_pipeline_id, context.num_input_pipelines)

    return strategy.distribute_datasets_from_function(shares)


def share(dataset: tf.data.Dataset, replicas: int, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
    """The rows of one worker's replicas, an element a replica and batch.

    Args:
      dataset: global batches.
      replicas: R, of all workers.
      worker, workers: which of how many.
    """
    local = replicas // workers

    @tf.autograph.experimental.do_not_convert
    def cut(batch: Batch) -> tf.data.Dataset:
        size = tf.shape(tf.nest.flatten(batch)[0])[0]
        rows = (size + replicas - 1) // replicas
        begin = worker * local * rows

        def own(values: tf.Tensor) -> tf.Tensor:
            filled = tf.pad(values, [[0, rows * replicas - size]] + [[0, 0]] * (len(values.shape) - 1))
            parts = filled[begin : begin + local * rows]
            return tf.reshape(parts, tf.concat([[local, rows], tf.shape(values)[1:]], axis=0))

        return tf.data.Dataset.from_tensor_slices(tf.nest.map_structure(own, batch))

    return dataset.flat_map(cut).prefetch(local)


def _every_wth(dataset: tf.data.Dataset, strategy: Any) -> tf.data.Dataset:
    """This worker's batches; runs on the worker, which is why its number is a tensor."""
    workers = strategy._num_workers  # its cluster_resolver is None
    worker = tf.cast(tf.distribute.coordinator.experimental_get_current_worker_index(), tf.int64)
    own = dataset.repeat().enumerate().filter(lambda n, _: tf.equal(n % workers, worker))
    return own.map(lambda _, batch: batch)
