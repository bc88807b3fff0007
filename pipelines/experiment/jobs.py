"""Runs jobs that need each other in processes of one core each; one that fails costs what needs it, and no more.

A job is a function named by text, so that the process that plans loads nothing of what the jobs load. Its results are
files: a job whose files are all there is not started.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
_PRELOADED = "pipelines.experiment.preload"


@dataclass(frozen=True)
class Job:
    """Something to make.

    Attributes:
      name: unique; also names its log.
      target: `module:function`.
      arguments: of the function; they are pickled.
      outputs: files or folders that are there when it is done.
      needs: names of jobs that come before.
    """

    name: str
    target: str
    arguments: tuple[Any, ...]
    outputs: tuple[Path, ...]
    needs: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        """Whether everything is there."""
        return all(path.exists() for path in self.outputs)


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
      status: `cached` (nothing to do), `done`, or `failed`.
      seconds: that its process ran.
      cpu_seconds: of them that it had a core; 0 where it did not come to its end.
      error: one line; "" unless it failed.
      log: of its process, where there was one.
    """

    status: str
    seconds: float = 0.0
    error: str = ""
    cpu_seconds: float = 0.0
    log: Path | None = None


@dataclass
class _Running:
    job: Job
    process: Any
    answer: connection.Connection
    core: int
    started: float
    log: Path


class Runner:
    """Runs batches of jobs.

    Attributes:
      outcomes: of every job so far, by name.
      processes: at once.
    """

    def __init__(
        self,
        jobs: int,
        logs: Path,
        on_start: Callable[[Job], None] = lambda job: None,
        on_end: Callable[[Job, Outcome], None] = lambda job, outcome: None,
    ) -> None:
        """Args:
        jobs: processes at once; 0 takes one a core.
        logs: folder for what the processes print.
        on_start: called when a job's process starts.
        on_end: called when a job is over, cached ones among them.
        """
        cores = (
            sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
        )
        self._cores = [cores[n % len(cores)] for n in range(jobs or len(cores))]
        self.processes = len(self._cores)
        self._logs, self._on_start, self._on_end = logs, on_start, on_end
        self.outcomes: dict[str, Outcome] = {}

    def run(self, jobs: Sequence[Job]) -> bool:
        """Runs jobs; returns whether all of them are done.

        Args:
          jobs: each after those of them that it needs; needs may also be jobs of earlier calls.

        Raises:
          ValueError: two jobs of one name, or a need that is no job.
        """
        self._check(jobs)
        waiting = list(jobs)
        free, running = list(self._cores), []  # type: list[int], list[_Running]
        try:
            while waiting or running:
                waiting = self._settle(waiting)
                for job in [job for job in waiting if all(need in self.outcomes for need in job.needs)][: len(free)]:
                    running.append(self._start(job, free.pop(0)))
                    waiting.remove(job)
                if running:
                    for over in self._wait(running):
                        running.remove(over)
                        free.append(over.core)
        finally:
            for left in running:
                left.process.kill()
                left.process.join()
        return all(self.outcomes[job.name].status != "failed" for job in jobs)

    def _check(self, jobs: Sequence[Job]) -> None:
        seen = set(self.outcomes)
        for job in jobs:
            if job.name in seen:
                raise ValueError(f"two jobs are named {job.name!r}.")
            unknown = [need for need in job.needs if need not in seen]
            if unknown:
                raise ValueError(f"job {job.name!r} needs {unknown}, which come after it or are no jobs.")
            seen.add(job.name)

    def _settle(self, waiting: list[Job]) -> list[Job]:
        """Takes out what needs no process: jobs that are done, and those that need a failed one."""
        left = []
        for job in waiting:
            failed = [n for n in job.needs if n in self.outcomes and self.outcomes[n].status == "failed"]
            if job.done:
                self._end(job, Outcome("cached"))
            elif failed:
                self._end(job, Outcome("failed", error=f"not run: {failed[0]} failed"))
            else:
                left.append(job)
        return left

    def _end(self, job: Job, outcome: Outcome) -> None:
        self.outcomes[job.name] = outcome
        self._on_end(job, outcome)

    def _start(self, job: Job, core: int) -> _Running:
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{''.join(c if c.isalnum() or c in '-.' else '_' for c in job.name)}.log"
        if _CONTEXT.get_start_method() == "forkserver":
            _CONTEXT.set_forkserver_preload([_PRELOADED])
        here, there = _CONTEXT.Pipe(duplex=False)
        arguments = (job.target, job.arguments, core, str(log), there)
        process = _CONTEXT.Process(target=_work, args=arguments)  # type: ignore[attr-defined]
        process.start()
        # The child's own end: what is read here ends with the child.
        there.close()
        self._on_start(job)
        return _Running(job, process, here, core, time.monotonic(), log)

    def _wait(self, running: Sequence[_Running]) -> list[_Running]:
        """Waits until a process is over. Returns those that are, their jobs ended."""
        ready = connection.wait([one.process.sentinel for one in running], timeout=1.0)
        over = [one for one in running if one.process.sentinel in ready]
        for one in over:
            one.process.join()
            error, cpu_seconds = "", 0.0
            # A process that was killed closes the pipe without a word.
            with contextlib.suppress(EOFError):
                error, cpu_seconds = one.answer.recv() if one.answer.poll() else (error, cpu_seconds)
            one.answer.close()
            status = one.process.exitcode
            if not error and status:
                error = f"its process was killed by {_signal_name(-status)}" if status < 0 else f"exit status {status}"
            missing = [str(path) for path in one.job.outputs if not path.exists()]
            if not error and missing:
                error = f"it ended well, but did not write {missing[0]}"
            seconds = time.monotonic() - one.started
            self._end(one.job, Outcome("failed" if error else "done", seconds, error, cpu_seconds, one.log))
        return over


def _signal_name(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return name + (" (out of memory?)" if name == "SIGKILL" else "")


def _work(target: str, arguments: tuple[Any, ...], core: int, log: str, answer: connection.Connection) -> None:
    """A job's process: pinned, with its output in a log; it does not outlive the one that started it."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for descriptor in (1, 2):
        os.dup2(out, descriptor)
    _log_to_stderr()
    module, _, function = target.partition(":")
    failure = ""
    try:
        getattr(importlib.import_module(module), function)(*arguments)
    # Whatever a job raises is its own failure: it is told in one line here and whole in the log.
    except Exception as error:
        traceback.print_exc()
        failure = f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"
    answer.send((failure, time.process_time()))
    sys.stdout.flush()
    sys.stderr.flush()


def _log_to_stderr() -> None:
    import logging

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True)
    logging.getLogger("absl").setLevel(logging.WARNING)


def _end_with_parent() -> None:
    """Ends this process when its parent has ended: a run that starts again must find nobody at work on its files."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
