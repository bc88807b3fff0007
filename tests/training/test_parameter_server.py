"""Parameter servers on this machine: tables are sharded, workers train them, a checkpoint is whole again."""

from __future__ import annotations

import json

import pytest

from tests.models import toy
from tests.training.cluster import free_ports, start_task


@pytest.mark.parametrize("stage", ["seminar", "psu"])
def test_workers_train_sharded_tables(stage: str, tmp_path) -> None:
    ports = free_ports(5)
    cluster = {"chief": ports[:1], "worker": ports[1:3], "ps": ports[3:]}
    out = tmp_path / "report.json"
    roles = [(role, n) for role in ("worker", "ps") for n in range(2)]
    *served, chief = [
        start_task("server_run", stage, str(out), cluster=cluster, role=role, index=n)
        for role, n in (*roles, ("chief", 0))
    ]
    try:
        assert chief.wait(300) == 0
    finally:
        for process in (chief, *served):
            process.kill()
    report = json.loads(out.read_text())
    assert [shape[0] for shape in report["shapes"]] == [toy.SIZES.items // 2] * 2
    # A shard on each server; which one comes first depends on how many variables were placed before.
    assert sorted(shard.split("/device")[0] for shard in report["shards"]) == [
        f"/job:ps/replica:0/task:{n}" for n in range(2)
    ]
    assert report["steps"] == 4 * 3 and report["resumed"] == 4
    assert report["finite"] and report["losses"][-1] < report["losses"][0]
