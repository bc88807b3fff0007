"""Jobs without TensorFlow for tests/pipelines/test_experiment_jobs.py."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def write(path: Path, text: str = "") -> None:
    """Writes a file, and the cores that its process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    path.write_text(f"{text}{cores}")


def fail(message: str) -> None:
    """Fails."""
    raise ValueError(message)


def vanish() -> None:
    """Dies without a word."""
    os.kill(os.getpid(), signal.SIGKILL)


def nothing() -> None:
    """Ends well and writes nothing."""


def sleep(path: Path) -> None:
    """Says who it is, and stays."""
    path.write_text(str(os.getpid()))
    time.sleep(600)
