"""Runs one job that stays, until it is killed: `python -m tests.pipelines.experiment_parent FILE LOGS`."""

import sys
from pathlib import Path

from pipelines.experiment.jobs import Job, Runner

if __name__ == "__main__":
    path = Path(sys.argv[1])
    target = "tests.pipelines.experiment_targets:sleep"
    Runner(1, Path(sys.argv[2])).run([Job("stays", target, (path,), (path.with_name("never"),))])
