"""How long an experiment took, over all runs that had a part in it: killed ones too."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from components.json_file import write_json
from pipelines.experiment.jobs import Outcome
from pipelines.experiment.layout import read_json


@dataclass(frozen=True)
class RunTime:
    """One run, up to the last job that it made.

    Attributes:
      began: ISO 8601, UTC.
      processes: at once.
      jobs: made; those that were there already are not counted.
      wall_seconds: from the start to the end of the last job.
      cpu_seconds: of the jobs.
    """

    began: str
    processes: int
    jobs: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0


class Elapsed:
    """Keeps a file of run times up to date: after each job, so that a run that is killed is counted.

    Attributes:
      runs: those that made a job, oldest first.
    """

    def __init__(self, path: Path, processes: int) -> None:
        """Args:
        path: JSON file.
        processes: of this run at once.
        """
        self._path, self._start = path, time.monotonic()
        before = [RunTime(**entry) for entry in read_json(path)["runs"]] if path.exists() else []
        self._before = before
        self._own = RunTime(datetime.now(timezone.utc).isoformat(timespec="seconds"), processes)

    @property
    def runs(self) -> list[RunTime]:
        """Runs that made something."""
        return [*self._before, *([self._own] if self._own.jobs else [])]

    def add(self, outcome: Outcome) -> None:
        """Counts a job that is over."""
        if outcome.status == "cached" or not outcome.seconds:
            return
        self._own = replace(
            self._own,
            jobs=self._own.jobs + 1,
            wall_seconds=round(time.monotonic() - self._start, 1),
            cpu_seconds=round(self._own.cpu_seconds + outcome.cpu_seconds, 1),
        )
        write_json(self._path, {"runs": [asdict(one) for one in self.runs]})


def in_words(runs: Sequence[RunTime]) -> str:
    """What all runs took, as the report says it."""
    if not runs:
        return "How long it took is not known: every result was there already."
    wall, cpu = sum(one.wall_seconds for one in runs), sum(one.cpu_seconds for one in runs)
    jobs, most = sum(one.jobs for one in runs), max(one.processes for one in runs)
    times = "in one run" if len(runs) == 1 else f"in {len(runs)} runs, each going on where the one before ended"
    return f"Took {wall / 60:.0f} minutes {times}: {jobs} jobs, {most} at once, {cpu / 60:.0f} minutes of CPU."
