"""Datasets that the generator's tests share, written once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from seminar_tf.data.generator import GeneratorConfig, Summary, generate, preset


@dataclass(frozen=True)
class Written:
    """A generated dataset, read back."""

    config: GeneratorConfig
    path: Path
    summary: Summary
    events: pd.DataFrame
    requests: pd.DataFrame
    items: pd.DataFrame
    users: pd.DataFrame


def write(config: GeneratorConfig, path: Path) -> Written:
    summary = generate(config, path)
    tables = {
        name: pq.read_table(path / "span-1" / name).to_pandas() for name in ("events", "requests", "items", "users")
    }
    return Written(config, path, summary, **tables)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write(preset("tiny"), tmp_path_factory.mktemp("generator") / "tiny")


@pytest.fixture(scope="session", params=[1, 2])
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A quarter of the demo preset's users, for statistics that need many events."""
    config = preset("demo", users=150, seed=request.param)
    return write(config, tmp_path_factory.mktemp("generator") / "demo")
