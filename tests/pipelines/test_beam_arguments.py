"""Local runners ship nothing; what others need is left to TFX and the user."""

from __future__ import annotations

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from tfx.utils.dependency_utils import make_beam_dependency_flags

from pipelines.beam_arguments import THIS_PROCESS, beam_arguments


@pytest.mark.parametrize(
    "given", [[], ["--runner=FnApiRunner"], ["--runner=DirectRunner", "--direct_running_mode=multi_processing"]]
)
def test_local_runners_ship_nothing(given):
    arguments = beam_arguments(given)
    assert arguments == [*given, THIS_PROCESS]
    assert make_beam_dependency_flags(arguments) == arguments, "TFX would pack its sources"


@pytest.mark.parametrize(
    "given",
    [
        ["--runner=PortableRunner", "--job_endpoint=localhost:1"],
        ["--runner=DataflowRunner"],
        ["--runner=FnApiRunner", "--setup_file=./setup.py"],
        ["--runner=FnApiRunner", "--sdk_container_image=mine"],
        ["--runner=FnApiRunner", "--extra_package=mine.tar.gz"],
    ],
)
def test_other_runners_and_the_users_own_packages_stand(given):
    assert beam_arguments(given) == given


@pytest.mark.parametrize("mode", [[], ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]])
def test_a_pipeline_runs_with_them(mode):
    options = PipelineOptions(beam_arguments(["--runner=DirectRunner", *mode]))
    with beam.Pipeline(options=options) as pipeline:
        assert_that(pipeline | beam.Create([1, 2]) | beam.Map(lambda x: x + 1), equal_to([2, 3]))
