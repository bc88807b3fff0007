"""One generated dataset and one unbroken run of the whole pipeline, shared by the end-to-end tests of all processes."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import TINY, report_file, run


@dataclass(frozen=True)
class FinishedRun:
    """Where a finished run lies, what it printed, and its report as it stood then."""

    dataset: Path
    root: Path
    printed: str
    report: dict[str, Any]

    @property
    def components(self) -> dict[str, dict[str, Any]]:
        """The report's components by name."""
        return {component["name"]: component for component in self.report["components"]}


def _once(folder: Path, make: Callable[[Path], None]) -> Path:
    """`folder` as `make` fills it, made by whichever test process comes first; the others wait for it."""
    with open(folder.with_name(folder.name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            staged = folder.with_name(folder.name + ".part")
            shutil.rmtree(staged, ignore_errors=True)
            make(staged)
            staged.rename(folder)
    return folder


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all test processes of this session see."""
    base = tmp_path_factory.getbasetemp()
    # pytest-xdist gives each of its processes a folder in the session's own.
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session")
def dataset(shared: Path) -> Path:
    """The generator's tiny preset, in canonical tables."""

    def make(path: Path) -> None:
        run("generate", "--preset", "tiny", "--out", str(path))

    return _once(shared / "tiny", make)


@pytest.fixture(scope="session")
def finished(dataset: Path, shared: Path) -> FinishedRun:
    """An unbroken run of pipelines/configs/tiny.yaml."""
    # Artifacts' paths are absolute: the run is made where it stays, and vouched for by what it printed.
    root = shared / "finished"

    def make(folder: Path) -> None:
        printed = run("run", "--config", str(TINY), "--data", str(dataset), "--root", str(root))
        folder.mkdir()
        (folder / "printed.txt").write_text(printed)
        shutil.copy(report_file(root), folder / "report.json")

    kept = _once(shared / "finished-report", make)
    return FinishedRun(
        dataset, root, (kept / "printed.txt").read_text(), json.loads((kept / "report.json").read_text())
    )
