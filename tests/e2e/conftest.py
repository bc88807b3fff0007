"""One generated dataset and one unbroken run of the whole pipeline, shared by the end-to-end tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import TINY, report, run


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


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generator's tiny preset, in canonical tables."""
    path = tmp_path_factory.mktemp("dataset") / "tiny"
    run("generate", "--preset", "tiny", "--out", str(path))
    return path


@pytest.fixture(scope="session")
def finished(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """An unbroken run of pipelines/configs/tiny.yaml."""
    root = tmp_path_factory.mktemp("finished")
    printed = run("run", "--config", str(TINY), "--data", str(dataset), "--root", str(root))
    return FinishedRun(dataset, root, printed, report(root))
