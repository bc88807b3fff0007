"""Processes that begin with TensorFlow and TFX imported: a fresh interpreter takes 5 to 15 seconds for that.

Python's fork server imports them once (tests/preload.py) and forks for each process. It runs no op, so TensorFlow has
no threads yet that a fork would lose. Otherwise they are processes as any other, in a group of their own.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.preload"])


class Preloaded:
    """`python -m MODULE ARGUMENTS` in the project's folder.

    Attributes:
      pid: of the process, and of its group.
    """

    def __init__(self, module: str, *arguments: str, output: Path | None = None, **environment: str):
        """Starts the process.

        Args:
          module: run as `__main__`.
          *arguments: its command line.
          output: file for what it prints; None drops that, and leaves its errors to the test's.
          **environment: variables beside this process's own.
        """
        variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", **environment}
        printed = None if output is None else str(output)
        self._process = _FORKS.Process(target=_run, args=(module, arguments, printed, variables))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Waits for the end; returns the exit status, negative for a signal.

        Raises:
          TimeoutError: it did not end within `timeout` seconds; it runs on.
        """
        self._process.join(timeout)
        status = self._process.exitcode
        if status is None:
            raise TimeoutError(f"process {self.pid} runs longer than {timeout:g} s")
        return status

    def kill(self) -> None:
        """SIGKILL for it and all that it started; nothing where it has ended."""
        # Its group is there as soon as it runs its own code.
        while self.poll() is None and os.getpgid(self.pid) != self.pid:
            time.sleep(0.01)
        if self.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
        self._process.join()


def _run(module: str, arguments: tuple[str, ...], printed: str | None, environment: dict[str, str]) -> None:
    os.setsid()
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    target = os.open(printed or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(target, 1)
    if printed is not None:
        os.dup2(target, 2)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
