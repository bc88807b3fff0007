"""Many replicas: which tf.distribute strategy a stage trains under, from its configuration and TF_CONFIG.

| `strategy` | replicas | TF_CONFIG |
| --- | --- | --- |
| `none` | one device | not read |
| `mirrored` | every GPU of this host (every logical CPU where there is none), in step | not read |
| `multi_worker` | every worker's GPUs, in step | cluster with `worker` (and `chief`), task |
| `parameter_server` | workers on their own, variables on `ps` tasks | cluster with `chief`, `worker`, `ps`, task |

Replicas in step compute the loss of the whole batch, each its share (seminar_tf/layers/replicas.py), so their number
changes nothing but the time. Under `parameter_server` it does: see `parameter_server`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

_ROLES = {"multi_worker": ("chief", "worker"), "parameter_server": ("chief", "worker", "ps")}
_NEEDED = {"multi_worker": ("worker",), "parameter_server": ("chief", "worker", "ps")}
# A variable of fewer rows is no table: every worker reads it whole in each step anyway.
TABLE_ROWS = 8192
SHARD_BYTES = 1 << 20


class ClusterError(ValueError):
    """TF_CONFIG is missing or does not describe a cluster that the strategy can use."""


@dataclass(frozen=True)
class Task:
    """This process' place in a cluster.

    Attributes:
      role: chief, worker or ps.
      index: number among the tasks of its role.
      cluster: role -> host:port of every task.
    """

    role: str = "chief"
    index: int = 0
    cluster: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def is_chief(self) -> bool:
        """Whether this task writes what only one may write: worker 0 where no task is called chief."""
        return self.role == "chief" or (self.role == "worker" and self.index == 0 and "chief" not in self.cluster)


def read_task(strategy: str) -> Task:
    """This process' task, from the environment variable TF_CONFIG.

    Args:
      strategy: as in TrainConfig.

    Raises:
      ClusterError: the strategy needs TF_CONFIG, and it is missing or wrong.
    """
    if strategy not in _NEEDED:
        return Task()
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        raise ClusterError(
            f"train.strategy {strategy} needs the environment variable TF_CONFIG, which is not set. It is JSON: "
            '{"cluster": {'
            + ", ".join(f'"{role}": ["host:port", ...]' for role in _NEEDED[strategy])
            + '}, "task": {"type": "worker", "index": 0}}, the same cluster and another task in each process.'
        )
    try:
        content = json.loads(text)
        cluster = {str(role): [str(a) for a in addresses] for role, addresses in content["cluster"].items()}
        role, index = str(content["task"]["type"]), int(content["task"]["index"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClusterError(f"TF_CONFIG is no JSON object with `cluster` and `task` ({error!r}): {text}") from error
    _check(strategy, cluster, role, index)
    return Task(role, index, cluster)


def _check(strategy: str, cluster: dict[str, list[str]], role: str, index: int) -> None:
    missing = [name for name in _NEEDED[strategy] if not cluster.get(name)]
    if missing:
        raise ClusterError(f"TF_CONFIG: train.strategy {strategy} needs tasks {', '.join(missing)} in the cluster.")
    unknown = sorted(set(cluster) - set(_ROLES[strategy]))
    if unknown:
        raise ClusterError(
            f"TF_CONFIG: train.strategy {strategy} knows the tasks {', '.join(_ROLES[strategy])}, "
            f"not {', '.join(unknown)}."
        )
    if not 0 <= index < len(cluster.get(role, [])):
        raise ClusterError(f"TF_CONFIG: this task is {role} {index}, but the cluster has {cluster.get(role, [])}.")


def make_strategy(name: str, task: Task) -> tf.distribute.Strategy:
    """The strategy to build, restore and train under. Make it before any op runs: collectives insist.

    Args:
      name: as in TrainConfig.
      task: of `read_task`.
    """
    if name == "none":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy(_resolver(task))
    return parameter_server(task)


def parameter_server(task: Task, table_rows: int = TABLE_ROWS, shard_bytes: int = SHARD_BYTES) -> Any:
    """Tables sharded over parameter servers, for those that are beyond one host.

    What is different from all other strategies: workers take steps on their own, each on its share of the batches and
    with whatever weights it finds (asynchronous). A step's loss is that of one worker's batch. Runs are not repeatable
    bit for bit, a resume from a checkpoint goes on from its weights and place but not with the same numbers, and a
    fast worker takes more steps, so that an epoch is a number of steps and not every batch once. There is no order of
    steps either: `seed` and step still decide what a step draws, but which batch meets which step is chance.

    Args:
      task: the chief's.
      table_rows: a variable of at least so many rows is a table.
      shard_bytes: a table gets a shard a server, but none smaller than this.
    """
    servers = len(task.cluster["ps"])

    def partition(shape: tf.TensorShape, dtype: tf.DType, axis: int = 0) -> list[int]:
        parts = [1] * len(shape)
        if len(shape) > 1 and shape[0] >= table_rows:
            parts[axis] = min(servers, max(1, shape.num_elements() * dtype.size // shard_bytes))
        return parts

    return tf.distribute.ParameterServerStrategy(_resolver(task), variable_partitioner=partition)


def is_server(name: str, task: Task) -> bool:
    """Whether this process only serves a chief (`parameter_server`'s workers and servers)."""
    return name == "parameter_server" and task.role in ("worker", "ps")


def serve(task: Task) -> None:
    """Serves the chief until the process is ended from outside; does not return."""
    server = tf.distribute.Server(
        tf.train.ClusterSpec(task.cluster), job_name=task.role, task_index=task.index, protocol="grpc"
    )
    server.join()


def is_replicated(strategy: tf.distribute.Strategy) -> bool:
    """Whether it is any strategy but the default one."""
    return isinstance(strategy, (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)) or (
        is_asynchronous(strategy)
    )


def is_asynchronous(strategy: tf.distribute.Strategy) -> bool:
    """Whether it is a ParameterServerStrategy."""
    return isinstance(strategy, tf.distribute.ParameterServerStrategy)


def barrier(strategy: tf.distribute.Strategy) -> None:
    """Waits until every worker of a multi-worker strategy is here; with others it does nothing."""
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        agree(strategy, {"barrier": 0.0})


def agree(strategy: tf.distribute.Strategy, values: dict[str, float]) -> dict[str, float]:
    """The chief's values, on every worker of a multi-worker strategy, so that all of them decide alike.

    Args:
      strategy: of the run.
      values: floats by name, the same names on every worker; returned as they are where there is one worker.
    """
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return values
    task = strategy.cluster_resolver
    chief = Task(task.task_type, task.task_id, task.cluster_spec().as_dict()).is_chief

    @tf.function(autograph=False)
    def chosen(row: tf.Tensor) -> tf.Tensor:
        def mine() -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            own = context.replica_id_in_sync_group % (strategy.extended._num_devices_per_worker)
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(tf.equal(own, 0), row, tf.zeros_like(row)))

        return strategy.experimental_local_results(strategy.run(mine))[0]

    row = tf.constant(list(values.values()), tf.float64)
    found = chosen(row if chief else tf.zeros_like(row)).numpy()
    return dict(zip(values, (float(value) for value in found)))


def _resolver(task: Task) -> tf.distribute.cluster_resolver.ClusterResolver:
    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(task.cluster), task_type=task.role, task_id=task.index, rpc_layer="grpc"
    )
