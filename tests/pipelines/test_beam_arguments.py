"""What Beam is told for each runner, read back by Beam's own parser; and that nobody packs TFX's sources."""

from __future__ import annotations

import re
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns, python_urns
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.environments import Environment
from tfx.utils.dependency_utils import make_beam_dependency_flags

from pipelines.beam_arguments import NO_IMAGE, beam_arguments, direct_workers
from seminar_tf.config import BeamConfig
from seminar_tf.config_io import ConfigError

PORTABLE: dict[str, Any] = {"runner": "portable", "job_endpoint": "jobs:8099"}
RUNNERS: dict[str, dict[str, Any]] = {
    "direct": {},
    "portable": PORTABLE | {"environment": "subprocess"},
    "flink": {"runner": "flink", "master": "flink:8081", "environment": "external", "worker_pool": "localhost:50000"},
    "spark": {"runner": "spark", "master": "spark://spark:7077", "image": "registry/worker:1"},
    "dataflow": {
        "runner": "dataflow",
        "project": "p",
        "region": "europe-west1",
        "temp_location": "gs://b/tmp",
        "image": "registry/worker:1",
    },
}


def options(arguments: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = PipelineOptions(arguments).get_all_options(drop_default=True)
    return found


@pytest.mark.parametrize("runner", RUNNERS)
def test_no_runner_packs_tfx_and_beam_knows_every_argument(runner, caplog):
    arguments = beam_arguments(BeamConfig(**RUNNERS[runner]), cores=2)
    assert make_beam_dependency_flags(list(arguments)) == arguments
    options(arguments)
    assert "Discarding" not in caplog.text


@pytest.mark.parametrize("package", ["--setup_file=./setup.py", "--extra_package=mine.tar.gz"])
def test_packages_that_the_user_ships_stand_alone(package):
    arguments = beam_arguments(BeamConfig(options=(package,)), cores=1)
    assert arguments == ["--runner=FnApiRunner", package]


def test_flink_by_its_master_and_by_a_job_server():
    found = options(beam_arguments(BeamConfig(**RUNNERS["flink"], workers=8, worker_processes=4)))
    assert found["runner"] == "FlinkRunner" and found["flink_master"] == "flink:8081" and found["parallelism"] == 8
    assert found["environment_type"] == "EXTERNAL" and found["environment_config"] == "localhost:50000"
    assert int(found["sdk_worker_parallelism"]) == 4
    # The default of Beam 2.72 is 1.20, that of 2.77 is 2.2.
    assert "--flink_version=1.20" in beam_arguments(BeamConfig(**RUNNERS["flink"]))
    by_server = BeamConfig(runner="flink", job_endpoint="jobs:8099", image="registry/worker:1")
    found = options(beam_arguments(by_server))
    assert found["runner"] == "PortableRunner" and found["job_endpoint"] == "jobs:8099"
    assert found["environment_type"] == "DOCKER" and found["environment_config"] == "registry/worker:1"


def test_spark_and_dataflow_get_their_cluster():
    found = options(beam_arguments(BeamConfig(**RUNNERS["spark"], options=("--experiment=a",))))
    assert found["runner"] == "SparkRunner" and found["spark_master_url"] == "spark://spark:7077"
    assert found["experiments"] == ["a"]
    dataflow = BeamConfig(**RUNNERS["dataflow"], workers=9, machine_type="n2-standard-4")
    found = options(beam_arguments(dataflow))
    assert found["runner"] == "DataflowRunner" and found["temp_location"] == "gs://b/tmp"
    assert (found["project"], found["region"], found["max_num_workers"]) == ("p", "europe-west1", 9)
    assert (found["sdk_container_image"], found["machine_type"]) == ("registry/worker:1", "n2-standard-4")


@pytest.mark.parametrize(
    "settings, urn, payload",
    [
        ({"image": "i:1"}, common_urns.environments.DOCKER.urn, "i:1"),
        ({"environment": "process", "worker_command": "/opt/boot"}, common_urns.environments.PROCESS.urn, "/opt/boot"),
        ({"environment": "external", "worker_pool": "w:50000"}, common_urns.environments.EXTERNAL.urn, "w:50000"),
        ({"environment": "loopback"}, python_urns.EMBEDDED_PYTHON_LOOPBACK, ""),
        ({"environment": "subprocess"}, python_urns.SUBPROCESS_SDK, "sdk_worker_main"),
    ],
)
def test_beam_makes_the_environment_that_was_asked_for(settings, urn, payload):
    made = Environment.from_options(PipelineOptions(beam_arguments(BeamConfig(**PORTABLE, **settings))))
    found_urn, found = made.to_runner_api_parameter(None)
    assert found_urn == urn and payload in str(found)
    # Docker's workers need the image for TFX's question, too; the others only an answer to it.
    assert (NO_IMAGE in beam_arguments(BeamConfig(**PORTABLE, **settings))) == ("image" not in settings)


@pytest.mark.parametrize(
    "settings, size, cores, workers",
    [
        ({}, 0, 8, 1),
        ({}, 63_999_999, 8, 1),
        ({}, 64_000_000, 8, 2),
        ({}, 64_000_000, 1, 1),
        ({}, 10**12, 8, 8),
        ({"bytes_per_worker": 1000}, 3500, 8, 3),
        ({"workers": 1}, 10**12, 8, 1),
        ({"workers": 4}, 0, 2, 4),
    ],
)
def test_processes_are_chosen_by_bytes_unless_they_are_told(settings, size, cores, workers):
    config = BeamConfig(**settings)
    assert direct_workers(config, size, cores) == workers
    found = options(beam_arguments(config, size, cores))
    assert found.get("direct_num_workers", 1) == workers
    assert found.get("direct_running_mode", "in_memory") == ("in_memory" if workers == 1 else "multi_processing")


@pytest.mark.parametrize(
    "option, message",
    [
        ("--direct_num_worker=2", "Did you mean --direct_num_workers?"),
        ("--no_such_thing", "expected options of Apache Beam"),
        ("--direct_test_splits={", "cannot read the value"),
    ],
)
def test_options_that_beam_would_drop_are_refused(option, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        beam_arguments(BeamConfig(options=(option,)))
    if "cannot" not in message:
        # A job server may have options that Beam's Python part has never heard of.
        settings = PORTABLE | {"environment": "loopback", "options": (option,)}
        assert option in beam_arguments(BeamConfig(**settings))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_pipeline_runs_with_them(workers):
    options = PipelineOptions(beam_arguments(BeamConfig(workers=workers)))
    with beam.Pipeline(options=options) as pipeline:
        assert_that(pipeline | beam.Create([1, 2]) | beam.Map(lambda x: x + 1), equal_to([2, 3]))
