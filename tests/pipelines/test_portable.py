"""Ingestion and Transform through Beam's job API, with the service and its workers in other processes.

That is the road on which Flink and Spark get their jobs: the pipeline as a portable proto, staged and submitted to a
job service over gRPC, user code in worker processes that only share a file system with who submitted it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

import seminar_tf  # noqa: F401

# isort: split
from pipelines.beam_arguments import beam_arguments
from pipelines.job_service import JobService, JobServiceError
from pipelines.local_runner import LocalRunner
from pipelines.output_hash import output_hashes
from pipelines.pipeline import create_pipeline
from seminar_tf.config import BeamConfig, DataConfig, PipelineConfig
from seminar_tf.data.generator import generate, preset

ROOT = Path(__file__).resolve().parents[2]
SPLITS = {"train", "eval", "test", "catalog", "queries"}


class Only(LocalRunner):
    """Runs some components of the pipeline: none of what lies between that these do not read."""

    def __init__(self, *names: str):
        super().__init__()
        self._names = names

    def run_with_ir(self, pipeline: Any, run_options: Any = None, **kwargs: Any) -> None:
        kept = [node for node in pipeline.nodes if node.pipeline_node.node_info.id in self._names]
        del pipeline.nodes[:]
        pipeline.nodes.extend(kept)
        super().run_with_ir(pipeline, run_options, **kwargs)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A starting job service: its endpoint is the line that it prints. It ends with this process, however that ends."""
    command = [sys.executable, "-m", "pipelines.job_service", "--port", "0", "--log", "log", "--until-eof"]
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH")) if part)
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path, env=environment, text=True
    ) as guard:
        assert guard.stdin is not None
        groups: list[int] = []
        try:
            yield guard
            groups = children(guard.pid)
        finally:
            guard.stdin.close()
            guard.wait(60)
    assert guard.returncode == 0 and len(groups) == 1
    # What the guard ended is gone with all that it had started.
    assert not living(groups[0])


def living(group: int) -> list[str]:
    """Processes of a group that are at work: where nobody takes up orphans, dead ones stay in the table."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, pgrp = stat.read_text().rpartition(")")[2].split()[:3]
            if int(pgrp) == group and state not in "ZX":
                found.append(stat.read_text())
    return found


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def run(root: Path, data: Path, where: BeamConfig) -> dict[str, dict[str, str]]:
    config = PipelineConfig(root=str(root), data=DataConfig(path=str(data), partitions=2, now_ms=2**42), beam=where)
    runner = Only("BehaviorExampleGen", "ImportSchemaGen", "Transform")
    runner.run(create_pipeline(config))
    ingested, _, transformed = (result.outputs for result in runner.results)
    found = {
        "ingested": ingested["examples"],
        "transformed": transformed["transformed_examples"],
        "vocabularies": transformed["transform_graph"],
    }
    return {name: output_hashes(artifacts[0].uri) for name, artifacts in found.items()}


def test_a_job_service_of_other_processes_writes_what_the_direct_run_writes(
    service: subprocess.Popen[str], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    generate(preset("tiny"), data)
    direct = run(tmp_path / "direct", data, BeamConfig())
    assert service.stdout is not None
    endpoint = service.stdout.readline().strip()
    where = BeamConfig(runner="portable", job_endpoint=endpoint, environment="subprocess")
    portable = run(tmp_path / "portable", data, where)
    assert portable == direct
    assert set(direct["ingested"]) == set(direct["transformed"]) == SPLITS
    records = {name: int(found.split()[0]) for name, found in direct["transformed"].items()}
    assert records["train"] == records["eval"] == records["test"] == 60 and records["catalog"] == 200
    assert len(direct["vocabularies"]) == 4
    # The service's own word that it ran both jobs.
    assert (tmp_path / "log").read_text().count("Completed job") == 2


def _die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.timeout(300)
def test_a_job_whose_worker_is_killed_fails(service: subprocess.Popen[str]) -> None:
    assert service.stdout is not None
    endpoint = service.stdout.readline().strip()
    options = beam_arguments(BeamConfig(runner="portable", job_endpoint=endpoint, environment="subprocess"))
    pipeline = beam.Pipeline(options=PipelineOptions(options))
    _ = pipeline | beam.Create([1]) | beam.Map(_die)
    with pytest.raises(RuntimeError, match="a Beam worker process died before its work was done"):
        pipeline.run().wait_until_finish()


def test_a_service_that_does_not_start_is_told_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.job_service._MODULE", "no_such_module")
    before = time.monotonic()
    with pytest.raises(JobServiceError, match=r"ended at once.*log"), JobService(tmp_path / "log"):
        pass
    assert time.monotonic() - before < 60 and "no_such_module" in (tmp_path / "log").read_text()


def test_a_service_that_will_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "stubborn.py"
    module.write_text(
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "subprocess.Popen(['sleep', '600'])\n"
        "path = sys.argv[sys.argv.index('--port_file') + 1]\n"
        "open(path + '.tmp', 'w').write('4711')\n"
        "os.rename(path + '.tmp', path)\n"
        "time.sleep(600)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("pipelines.job_service._MODULE", "stubborn")
    monkeypatch.setattr("pipelines.job_service._GRACE_SECONDS", 0.5)
    with JobService(tmp_path / "log") as service:
        assert service.endpoint == "localhost:4711" and service.running
        group = service.pid
    assert not living(group)
