"""The `beam` section: what each runner needs, and what it is told where it does not get it."""

from __future__ import annotations

import re

import pytest

from seminar_tf.config import BEAM_RUNNERS, BeamConfig, PipelineConfig
from seminar_tf.config_io import ConfigError, from_dict

ENDPOINT = {"job_endpoint": "localhost:8099"}
CLOUD = {"runner": "dataflow", "project": "p", "region": "r", "temp_location": "gs://b/t", "image": "i"}


def read(**beam: object) -> BeamConfig:
    return from_dict(PipelineConfig, {"beam": beam}).beam


@pytest.mark.parametrize(
    "beam",
    [
        {},
        {"workers": 4, "options": ["--experiments=a", "--no_direct_runner_use_stacked_bundle"]},
        {"runner": "portable", **ENDPOINT, "environment": "subprocess", "workers": 2},
        {"runner": "portable", "job_endpoint": "[::1]:8099", "environment": "loopback"},
        {"runner": "flink", **ENDPOINT, "image": "registry/worker:1"},
        {"runner": "flink", "master": "flink:8081", "environment": "external", "worker_pool": "localhost:50000"},
        {"runner": "spark", "master": "spark://s:7077", "environment": "process", "worker_command": "/opt/boot"},
        {**CLOUD, "workers": 20, "machine_type": "n2-standard-4"},
    ],
)
def test_every_runner_can_be_asked_for(beam):
    assert read(**beam).runner == beam.get("runner", "direct")


@pytest.mark.parametrize(
    "beam, message",
    [
        ({"runner": "flnk"}, "beam.runner: expected one of direct, portable, flink, spark, dataflow (did you mean fl"),
        ({"runner": "DataflowRunner"}, "did you mean dataflow?"),
        ({"runner": "prism"}, "beam.runner: expected one of"),
        ({"runnner": "flink"}, "beam.runnner: unknown. Did you mean 'runner'?"),
        ({"workers": -1}, "beam.workers: expected 0 or more"),
        ({"workers": "two"}, "beam.workers: expected int"),
        ({"bytes_per_worker": 0}, "beam.bytes_per_worker: expected a number above 0"),
        ({"worker_processes": 2}, "beam.worker_processes: expected nothing, as beam.runner is direct"),
        ({"project": "p"}, "beam.project: expected nothing, as beam.runner is direct: it is for dataflow"),
        ({**CLOUD, **ENDPOINT}, "beam.job_endpoint: expected nothing, as beam.runner is dataflow"),
        ({"runner": "portable"}, "beam.job_endpoint: expected host:port of a job service"),
        ({"runner": "portable", "job_endpoint": "8099", "environment": "loopback"}, "beam.job_endpoint: expected host"),
        ({"runner": "portable", **ENDPOINT}, "beam.image: expected a value, as beam.environment is docker"),
        ({"runner": "portable", **ENDPOINT, "environment": "loopback", "image": "i"}, "beam.image: expected nothing"),
        ({"runner": "portable", **ENDPOINT, "environment": "vm"}, "beam.environment: expected one of docker"),
        ({"runner": "flink", "environment": "loopback"}, "beam.job_endpoint: expected host:port of a flink job server"),
        ({"runner": "spark", **ENDPOINT, "master": "m"}, "or else beam.master"),
        ({"runner": "spark", **ENDPOINT, "workers": 2}, "beam.workers: expected nothing, as beam.runner is spark"),
        ({"runner": "flink", **ENDPOINT, "environment": "subprocess"}, "beam.runner flink cannot start a subprocess"),
        ({"runner": "flink", **ENDPOINT, "environment": "external", "worker_pool": "x"}, "beam.worker_pool: expected"),
        ({**CLOUD, "temp_location": "/tmp"}, "beam.temp_location: expected a gs:// folder"),
        ({**CLOUD, "region": ""}, "beam.region: expected a value, as beam.runner is dataflow"),
        ({"options": ["-x"]}, "beam.options: expected --name=value"),
        ({"options": ["--runner=DaskRunner"]}, "set beam.runner instead"),
        ({"options": ["--direct-num-workers=2"]}, "set beam.workers instead"),
        ({**CLOUD, "options": ["--num_workers=2"]}, "set beam.workers instead"),
    ],
)  # fmt: skip
def test_a_section_that_cannot_run_is_told_by_key(beam, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        read(**beam)


@pytest.mark.parametrize("name", ["dask", "DaskRunner", "apache_beam.runners.dask.dask_runner.DaskRunner"])
def test_dask_is_refused_with_the_reason(name):
    with pytest.raises(ConfigError, match=r"beam\.runner: expected direct.*DaskRunner loses sinks"):
        read(runner=name)


def test_the_old_key_is_told_its_new_name():
    with pytest.raises(ConfigError, match=r"beam_args: unknown\. Did you mean 'beam'\?"):
        from_dict(PipelineConfig, {"beam_args": ["--runner=FnApiRunner"]})


def test_runners_are_listed_in_the_documentation_of_the_key():
    assert all(f"`{runner}`" in BeamConfig.__doc__ for runner in BEAM_RUNNERS)
