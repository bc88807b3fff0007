"""The `beam` section of the configuration as the arguments that TFX hands to every Beam component.

TFX packs its sources (4 s and 52 MB of temporary files that nobody removes) for every Beam component, unless an
argument says that the workers have TFX already. All of ours do: they are this process, processes of its interpreter, or
an image that holds the project (a worker that had to install the package has been seen to hang, tensorflow/tfx#3435).
"""

from __future__ import annotations

import difflib
import os

from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions

from seminar_tf.config import BeamConfig
from seminar_tf.config_io import ConfigError

# TFX takes any image as a worker that has its packages; whoever starts workers otherwise never looks at it.
NO_IMAGE = "--sdk_container_image=none-needed"
# Known to Beam's local job service alone, which runs the command by a shell: `python` is the first on its PATH.
_SUBPROCESS = "beam:env:harness_subprocess_python:v1"
_SUBPROCESS_COMMAND = "python -m apache_beam.runners.worker.sdk_worker_main"


def beam_arguments(config: BeamConfig, input_bytes: int = 0, cores: int = 0) -> list[str]:
    """The pipeline's Beam arguments.

    Args:
      config: where Beam components run.
      input_bytes: size of the canonical tables, by which the number of local processes is chosen.
      cores: processor cores that there are; 0 asks the system for those that this process may use.

    Returns:
      Arguments for TFX's `beam_pipeline_args`.

    Raises:
      ConfigError: `beam.options` holds an option that neither Beam nor, with `direct` and `dataflow`, anything else
        would read.
    """
    made = {
        "direct": lambda: _direct(direct_workers(config, input_bytes, cores or len(os.sched_getaffinity(0)))),
        "portable": lambda: _portable(config),
        "flink": lambda: _flink(config),
        "spark": lambda: _spark(config),
        "dataflow": lambda: _dataflow(config),
    }[config.runner]()
    if config.runner in ("direct", "dataflow"):
        _check_known(config.options)
    if not config.image and not _ships(config.options):
        made.append(NO_IMAGE)
    return [*made, *config.options]


def direct_workers(config: BeamConfig, input_bytes: int, cores: int) -> int:
    """How many processes the direct runner uses.

    More than one pays when each has `bytes_per_worker` of tables to work on: below, starting it takes longer than what
    it does (docs/scale.md has the measurement).

    Args:
      config: `workers` of it, where that is not 0.
      input_bytes: size of the canonical tables.
      cores: never more processes than this.

    Returns:
      At least 1, which is this process alone.
    """
    return config.workers or max(1, min(cores, input_bytes // config.bytes_per_worker))


def _direct(workers: int) -> list[str]:
    # Not DirectRunner: it first looks for Prism, a binary that it downloads where there is a network.
    if workers == 1:
        return ["--runner=FnApiRunner"]
    return ["--runner=FnApiRunner", "--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"]


def _portable(config: BeamConfig) -> list[str]:
    made = ["--runner=PortableRunner", f"--job_endpoint={config.job_endpoint}", *_environment(config)]
    # Beam's local job service reads this; a cluster's job server knows its workers itself.
    return [*made, f"--direct_num_workers={config.workers}"] if config.workers else made


def _flink(config: BeamConfig) -> list[str]:
    made = _submitted(config, "FlinkRunner", "flink_master")
    if config.master:
        # Beam's default differs from release to release.
        made.append(f"--flink_version={config.flink_version}")
    if config.workers:
        made.append(f"--parallelism={config.workers}")
    return [*made, *_environment(config)]


def _spark(config: BeamConfig) -> list[str]:
    made = _submitted(config, "SparkRunner", "spark_master_url")
    return [*made, *_environment(config)]


def _submitted(config: BeamConfig, runner: str, option: str) -> list[str]:
    """To a job server that runs already, or by one that Beam starts."""
    if config.job_endpoint:
        return ["--runner=PortableRunner", f"--job_endpoint={config.job_endpoint}"]
    return [f"--runner={runner}", f"--{option}={config.master}"]


def _environment(config: BeamConfig) -> list[str]:
    found = {
        # The second for TFX, which asks for it, and never for Beam's own.
        "docker": ["DOCKER", f"--environment_config={config.image}", f"--sdk_container_image={config.image}"],
        "process": ["PROCESS", f"--environment_option=process_command={config.worker_command}"],
        "external": ["EXTERNAL", f"--environment_config={config.worker_pool}"],
        "loopback": ["LOOPBACK"],
        "subprocess": [_SUBPROCESS, f"--environment_config={_SUBPROCESS_COMMAND}"],
    }[config.environment]
    kind, *rest = found
    return [f"--environment_type={kind}", *rest, f"--sdk_worker_parallelism={config.worker_processes}"]


def _dataflow(config: BeamConfig) -> list[str]:
    made = [
        "--runner=DataflowRunner",
        f"--project={config.project}",
        f"--region={config.region}",
        f"--temp_location={config.temp_location}",
        f"--sdk_container_image={config.image}",
    ]
    if config.workers:
        made.append(f"--max_num_workers={config.workers}")
    if config.machine_type:
        made.append(f"--machine_type={config.machine_type}")
    return made


def _ships(options: tuple[str, ...]) -> bool:
    """Whether the user's own options bring packages to the workers."""
    setup = PipelineOptions(list(options)).view_as(SetupOptions)
    return any((setup.extra_packages, setup.setup_file, setup.requirements_file))


def _check_known(options: tuple[str, ...]) -> None:
    """Beam drops options that it does not know with a line in the log. A cluster's job server may know more."""
    known = sorted(PipelineOptions([]).get_all_options()) if options else []
    for option in options:
        name = option.removeprefix("--").partition("=")[0].replace("-", "_")
        try:
            # --experiment=... sets `experiments`: known by its effect.
            effect = PipelineOptions([option]).get_all_options(drop_default=True)
        except SystemExit:
            raise ConfigError(f"config key beam.options: Apache Beam cannot read the value of {option!r}.") from None
        if name not in known and not effect:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean --{close[0]}?" if close else ""
            raise ConfigError(f"config key beam.options: expected options of Apache Beam, found {option!r}.{hint}")
