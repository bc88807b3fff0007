"""MovieLens as canonical tables, for the benchmarks that are run on it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def seminar_tf(*arguments: str) -> None:
    """Runs the command line of this environment."""
    subprocess.run([str(Path(sys.executable).parent / "seminar-tf"), *arguments], check=True)


def prepare_movielens(source: Path, work: Path) -> Path:
    """Writes a published folder as canonical tables in `<work>/data`, unless they are there. Returns that folder."""
    dataset = work / "data"
    if not dataset.exists():
        seminar_tf("prepare", "movielens", "--src", str(source), "--out", str(dataset))
    return dataset


def prepare_demo(work: Path) -> Path:
    """Generates the demo's dataset in `<work>/data`, unless it is there. Returns that folder."""
    dataset = work / "data"
    if not dataset.exists():
        seminar_tf("generate", "--preset", "demo", "--out", str(dataset))
    return dataset
