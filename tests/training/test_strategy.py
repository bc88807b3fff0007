"""One and many replicas train alike; TF_CONFIG that cannot be used is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from seminar_tf.training.shares import share
from seminar_tf.training.strategy import ClusterError, Task, is_server, make_strategy, read_task
from tests.training.cluster import free_ports, start_task


def _run(folder: Path, stage: str, strategy: str) -> dict[str, np.ndarray]:
    """What came of a training; for `multi_worker`, of worker 0, with worker 1 beside it."""
    outs = [folder / f"{stage}-{strategy}-{n}.npz" for n in range(2 if strategy == "multi_worker" else 1)]
    cluster = {"worker": free_ports(2)} if strategy == "multi_worker" else None
    processes = [
        start_task("strategy_run", stage, strategy, str(out), cluster=cluster, role="worker", index=n)
        for n, out in enumerate(outs)
    ]
    try:
        assert [process.wait(300) for process in processes] == [0] * len(outs)
    finally:
        for process in processes:
            process.kill()
    results = []
    for out in outs:
        with np.load(out) as arrays:
            results.append(dict(arrays))
    for other in results[1:]:
        assert str(other["history"]) == str(results[0]["history"]) and other["best"] == results[0]["best"]
        for name in results[0]:
            np.testing.assert_array_equal(other[name], results[0][name])
    return results[0]


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict[str, dict[str, np.ndarray]]:
    """Both stages on one replica."""
    folder = tmp_path_factory.mktemp("alone")
    return {stage: _run(folder, stage, "none") for stage in ("psu", "seminar")}


# What replicas exchange differs by stage, how they do by strategy: each once.
@pytest.mark.parametrize("stage, strategy", [("psu", "multi_worker"), ("seminar", "mirrored")])
def test_two_replicas_train_as_one_does(stage: str, strategy: str, alone, tmp_path) -> None:
    """In-batch negatives, log q, dropout, clipping, a short last batch, early stopping: nothing sees the split."""
    one, two = alone[stage], _run(tmp_path, stage, strategy)
    assert int(one["replicas"]) == 1 and int(two["replicas"]) == 2
    assert int(one["best"]) == int(two["best"]) == 1
    for losses, others in zip(json.loads(str(one["history"])), json.loads(str(two["history"]))):
        assert losses.keys() == others.keys()
        np.testing.assert_allclose(list(others.values()), list(losses.values()), rtol=1e-5)
    weights = [name for name in one if name.startswith("w")]
    assert weights
    for name in weights:
        np.testing.assert_allclose(two[name], one[name], atol=1e-5, err_msg=name)
    # Only the chief logs, and nobody leaves a state behind.
    assert not list(tmp_path.glob("state-*/*"))
    assert len(list(tmp_path.glob("logs-*/events*"))) == 1


@pytest.mark.parametrize("replicas, workers", [(2, 1), (4, 2), (3, 3)])
def test_shares_are_consecutive_rows_filled_up_with_zeros(replicas: int, workers: int) -> None:
    rows = np.arange(1, 11, dtype=np.int32)
    batches = tf.data.Dataset.from_tensor_slices({"x": rows}).batch(6)  # 6 and 4 rows
    parts = [list(share(batches, replicas, worker, workers)) for worker in range(workers)]
    local = replicas // workers
    for step, batch in enumerate((rows[:6], rows[6:])):
        found = [part["x"].numpy() for worker in parts for part in worker[step * local : (step + 1) * local]]
        assert len({len(part) for part in found}) == 1
        filled = np.concatenate(found)
        np.testing.assert_array_equal(filled[: len(batch)], batch)
        assert not filled[len(batch) :].any() and len(filled) - len(batch) < replicas


@pytest.mark.parametrize(
    "config, message",
    [
        (None, "needs the environment variable TF_CONFIG"),
        ("{", "no JSON object"),
        ('{"cluster": {"worker": ["a:1"]}}', "no JSON object with `cluster` and `task`"),
        ({"cluster": {"chief": ["a:1"]}, "task": {"type": "chief", "index": 0}}, "needs tasks worker"),
        ({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}, "this task is worker 1"),
        ({"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}, "not ps"),
    ],
)
def test_a_wrong_tf_config_is_refused(config, message: str, monkeypatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", config if isinstance(config, str) else json.dumps(config))
    with pytest.raises(ClusterError, match=message):
        read_task("multi_worker")


def test_tasks_know_their_part(monkeypatch) -> None:
    cluster = {"chief": ["a:1"], "worker": ["b:1"], "ps": ["c:1"]}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": "worker", "index": 0}}))
    task = read_task("parameter_server")
    assert is_server("parameter_server", task) and not is_server("multi_worker", task) and not task.is_chief
    assert Task("worker", 0, {"worker": ["a:1"]}).is_chief and not Task("worker", 1, {"worker": ["a:1"]}).is_chief
    assert read_task("none") == Task() and Task().is_chief
    assert make_strategy("none", Task()) is tf.distribute.get_strategy()
