"""Where Beam components (ingestion, statistics, Transform, evaluation) run."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, fields

from seminar_tf.config_io import ConfigError, check, positive

BEAM_RUNNERS = ("direct", "portable", "flink", "spark", "dataflow")
BEAM_ENVIRONMENTS = ("docker", "process", "external", "loopback", "subprocess")

_CLUSTERS = ("portable", "flink", "spark")
# Which runners read a key. Setting it for another one is a mistake: nothing would come of it.
_READ_BY = {
    "workers": ("direct", "portable", "flink", "dataflow"),
    "bytes_per_worker": ("direct",),
    "job_endpoint": _CLUSTERS,
    "master": ("flink", "spark"),
    "flink_version": ("flink",),
    "environment": _CLUSTERS,
    "worker_command": _CLUSTERS,
    "worker_pool": _CLUSTERS,
    "worker_processes": _CLUSTERS,
    "image": (*_CLUSTERS, "dataflow"),
    "project": ("dataflow",),
    "region": ("dataflow",),
    "temp_location": ("dataflow",),
    "machine_type": ("dataflow",),
}
_ENVIRONMENT_KEYS = {"docker": "image", "process": "worker_command", "external": "worker_pool"}
_ADDRESS = re.compile(r"[\w.\-]+:\d+|\[[0-9a-fA-F:]+\]:\d+")
_DASK = (
    "direct, portable, flink, spark or dataflow. Beam's DaskRunner loses sinks: a pipeline with two of them reports "
    "success and writes one, and ingestion has one a split"
)
# Options that a key of this section stands for.
_KEYS_OF_OPTIONS = {
    "runner": "runner",
    "direct_num_workers": "workers",
    "direct_running_mode": "workers",
    "parallelism": "workers",
    "num_workers": "workers",
    "max_num_workers": "workers",
    "job_endpoint": "job_endpoint",
    "flink_master": "master",
    "flink_version": "flink_version",
    "spark_master_url": "master",
    "environment_type": "environment",
    "environment_config": "environment",
    "environment_option": "environment",
    "environment_options": "environment",
    "sdk_worker_parallelism": "worker_processes",
    "sdk_container_image": "image",
    "worker_harness_container_image": "image",
    "project": "project",
    "region": "region",
    "temp_location": "temp_location",
    "machine_type": "machine_type",
    "worker_machine_type": "machine_type",
}


@dataclass(frozen=True)
class BeamConfig:
    """The runner of every Beam component and how it is reached (docs/scale.md).

    Attributes:
      runner: `direct` (this machine), `portable` (any job service), `flink`, `spark` or `dataflow`.
      workers: how many work at once: processes with `direct` and Beam's own local job service, parallelism with
        `flink`, most machines with `dataflow`. 0 chooses with `direct` by the dataset's bytes, elsewhere leaves it to
        the runner.
      bytes_per_worker: with `direct` and `workers` 0, bytes of canonical tables for each process; a dataset of less
        than two processes' worth runs in this process.
      job_endpoint: host:port of a job service; required with `portable`, with `flink` and `spark` this or `master`.
      master: with `flink` host:port of the job manager's REST API, with `spark` spark://host:port; Beam then starts
        the job server itself (Java, and its jar from Maven).
      flink_version: major.minor version of the Flink cluster. The default is known to all our Beam releases.
      environment: what user code runs in: `docker` (a container of `image` on each worker machine), `process`
        (`worker_command`), `external` (a worker pool at `worker_pool`), `loopback` (the submitting process) or
        `subprocess` (processes of this interpreter; Beam's own local job service only).
      image: container image with this project and its packages.
      worker_command: executable that starts a worker, Beam's `boot`, on each worker machine.
      worker_pool: host:port, as seen from a worker machine.
      worker_processes: worker processes on each worker machine; 0 leaves it to the runner.
      project, region, temp_location: Google Cloud's; `temp_location` is a gs:// folder.
      machine_type: of Dataflow's workers; "" leaves it to the service.
      options: further Beam options, `--name=value` each.
    """

    runner: str = "direct"
    workers: int = 0
    bytes_per_worker: int = 32_000_000
    job_endpoint: str = ""
    master: str = ""
    flink_version: str = "1.20"
    environment: str = "docker"
    image: str = ""
    worker_command: str = ""
    worker_pool: str = ""
    worker_processes: int = 1
    project: str = ""
    region: str = ""
    temp_location: str = ""
    machine_type: str = ""
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_runner()
        check(self.workers >= 0, "beam.workers", self.workers, "0 or more")
        check(self.worker_processes >= 0, "beam.worker_processes", self.worker_processes, "0 or more")
        positive("beam.bytes_per_worker", self.bytes_per_worker)
        for field in fields(self):
            value, readers = getattr(self, field.name), _READ_BY.get(field.name, BEAM_RUNNERS)
            if self.runner not in readers and value != field.default:
                wanted = f"nothing, as beam.runner is {self.runner}: it is for {' or '.join(readers)}"
                raise ConfigError(f"config key beam.{field.name}: expected {wanted}, found {value!r}.")
        if self.runner in _CLUSTERS:
            self._check_cluster()
        if self.runner == "dataflow":
            self._check_dataflow()
        for option in self.options:
            _check_option(option)

    def _check_runner(self) -> None:
        check("dask" not in self.runner.lower(), "beam.runner", self.runner, _DASK)
        if self.runner not in BEAM_RUNNERS:
            close = difflib.get_close_matches(self.runner.lower().removesuffix("runner"), BEAM_RUNNERS, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            check(False, "beam.runner", self.runner, f"one of {', '.join(BEAM_RUNNERS)}{hint}")

    def _check_cluster(self) -> None:
        if self.runner == "portable":
            check(bool(self.job_endpoint), "beam.job_endpoint", self.job_endpoint, "host:port of a job service")
        else:
            one = bool(self.job_endpoint) != bool(self.master)
            found = f"{self.job_endpoint!r} and beam.master {self.master!r}"
            if not one:
                raise ConfigError(
                    f"config key beam.job_endpoint: expected host:port of a {self.runner} job server, or else "
                    f"beam.master and Beam starts one, found {found}."
                )
        for key in ("job_endpoint", "worker_pool"):
            value = getattr(self, key)
            check(not value or bool(_ADDRESS.fullmatch(value)), f"beam.{key}", value, "host:port")
        known = self.environment in BEAM_ENVIRONMENTS
        check(known, "beam.environment", self.environment, f"one of {', '.join(BEAM_ENVIRONMENTS)}")
        local = self.environment != "subprocess" or self.runner == "portable"
        wanted = f"docker, process, external or loopback: beam.runner {self.runner} cannot start a subprocess of Python"
        check(local, "beam.environment", self.environment, wanted)
        for environment, key in _ENVIRONMENT_KEYS.items():
            value = getattr(self, key)
            used = environment == self.environment
            what = "a value" if used else "nothing"
            check(bool(value) == used, f"beam.{key}", value, f"{what}, as beam.environment is {self.environment}")

    def _check_dataflow(self) -> None:
        for key in ("project", "region", "image"):
            check(bool(getattr(self, key)), f"beam.{key}", getattr(self, key), "a value, as beam.runner is dataflow")
        bucket = self.temp_location.startswith("gs://")
        check(bucket, "beam.temp_location", self.temp_location, "a gs:// folder, as beam.runner is dataflow")


def _check_option(option: str) -> None:
    found = re.fullmatch(r"--([A-Za-z_][\w\-]*)(=.*)?", option, re.DOTALL)
    if found is None:
        raise ConfigError(f"config key beam.options: expected --name=value or --name, found {option!r}.")
    name = found.group(1).replace("-", "_")
    if name in _KEYS_OF_OPTIONS:
        raise ConfigError(
            f"config key beam.options: expected options that have no key, found {option!r}; "
            f"set beam.{_KEYS_OF_OPTIONS[name]} instead."
        )
