"""Beam's own local job service with its workers, in processes of their own: the other end of runner `portable`.

  python -m pipelines.job_service --port 8099

runs until it is interrupted (or, with --until-eof, until its standard input ends, as it does when whoever started it
dies). A pipeline reaches it by `beam: {runner: portable, job_endpoint: "localhost:8099", environment: subprocess}`.
Clusters have job services of their own (docs/scale.md); this one is to try that road on one machine.

Nothing here imports Beam or TensorFlow: this process only watches over the others.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import FrameType, TracebackType

_MODULE = "pipelines.job_service_main"
_ROOT = Path(__file__).resolve().parents[1]
_GRACE_SECONDS = 5.0


class JobServiceError(RuntimeError):
    """The job service did not start; the message says why and where its log is."""


class JobService:
    """Context manager around a running job service.

    The service and the workers that it starts share a process group of their own, which is ended with the context:
    asked first, then killed.

    Attributes:
      endpoint: host:port for `beam.job_endpoint`.
      pid: process id of the service, and id of its group.
    """

    def __init__(self, log: str | Path, port: int = 0, patience: float = 600.0) -> None:
        """Args:
        log: file that the service and its workers write their log to.
        port: where it listens; 0 takes a free one.
        patience: seconds to wait for it to listen.
        """
        self.endpoint = ""
        self.pid = 0
        self._log = Path(log)
        self._port = port
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> JobService:
        self._scratch = tempfile.TemporaryDirectory(prefix="seminar-job-service-")
        port_file = Path(self._scratch.name) / "port"
        command = [sys.executable, "-m", _MODULE, "--port", str(self._port), "--port_file", str(port_file)]
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment(), start_new_session=True
            )
        self.pid = self._process.pid
        try:
            self.endpoint = f"localhost:{self._wait_for(port_file)}"
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the service and its workers, whatever they are doing; no more than some seconds."""
        if self._process is not None:
            _signal_group(self.pid, signal.SIGTERM)
            until = time.monotonic() + _GRACE_SECONDS
            while time.monotonic() < until and (self._process.poll() is None or _signal_group(self.pid, 0)):
                time.sleep(0.1)
            _signal_group(self.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    @property
    def running(self) -> bool:
        """Whether the service is there."""
        return self._process is not None and self._process.poll() is None

    def _wait_for(self, port_file: Path) -> int:
        until = time.monotonic() + self._patience
        while time.monotonic() < until:
            # Renamed into place, so that it is whole when it is there.
            if port_file.exists():
                return int(port_file.read_text())
            if not self.running:
                raise JobServiceError(f"Beam's job service ended at once (port {self._port} taken?). Log: {self._log}")
            time.sleep(0.1)
        raise JobServiceError(f"Beam's job service does not listen after {self._patience:.0f} s. Log: {self._log}")


def _environment() -> dict[str, str]:
    """For the service, and so for its workers: this interpreter as `python`, this project, Keras 2 (seminar_tf)."""
    environment = dict(os.environ)
    for name, first in (("PATH", str(Path(sys.executable).parent)), ("PYTHONPATH", str(_ROOT))):
        environment[name] = os.pathsep.join(part for part in (first, environment.get(name)) if part)
    environment["TF_USE_LEGACY_KERAS"] = "1"
    environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return environment


def _signal_group(group: int, number: int) -> bool:
    """Whether any process of the group was there to get the signal."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def main(arguments: list[str] | None = None) -> None:
    """Runs a job service in the foreground and prints its endpoint on a line of its own."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.job_service", description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=8099, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--log", default="job-service.log", help="log of service and workers (default: %(default)s)")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input does")
    options = parser.parse_args(arguments)
    done = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        done.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    with JobService(options.log, options.port) as service:
        sys.stdout.write(f"{service.endpoint}\n")
        sys.stdout.flush()
        if options.until_eof:
            threading.Thread(target=_until_eof, args=(done,), daemon=True).start()
        while not done.wait(1.0):
            if not service.running:
                sys.exit(f"Beam's job service has ended by itself. Log: {options.log}")


def _until_eof(done: threading.Event) -> None:
    # Not sys.stdin: its lock would be held at exit.
    while os.read(0, 4096):
        pass
    done.set()


if __name__ == "__main__":
    main()
