"""A full disk and killed processes: an error that says what to do, nothing published, and a re-run that is the same.

`/dev/full` answers every write with the kernel's own ENOSPC, for any user and without a file system of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from components.behavior_example_gen import failures, state, writing
from components.behavior_example_gen.failures import IngestError
from tests.components.ingest_tables import EVENTS, ITEMS, event, write
from tests.components.road_helpers import content, ingest

NAMED = SimpleNamespace(uuid4=lambda: SimpleNamespace(hex="full"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "set"
    write(path, 1, "items", [{"item_id": name} for name in "abcde"], ITEMS)
    rows = [event(f"u{n % 7}", n, "abcde"[n % 5], None if n % 3 else "q") for n in range(90)]
    write(path, 1, "events", [*rows, event("u1", 3, "unknown")], EVENTS)
    return path


@pytest.fixture(scope="module")
def unbroken(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    out = tmp_path_factory.mktemp("unbroken")
    ingest(dataset, out)
    return content(out)


@pytest.mark.parametrize("where", ["examples", "state"])
def test_a_full_disk_is_told_and_leaves_nothing(
    where: str, dataset: Path, unbroken: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, kept = tmp_path / "out", tmp_path / "state"
    out.mkdir()
    with monkeypatch.context() as patched:
        if where == "examples":
            patched.setattr(writing, "uuid", NAMED)
            for number in range(3):
                (out / f"Split-test.staged-{number:05d}-full").symlink_to("/dev/full")
        else:
            patched.setattr(state, "uuid", NAMED)
            begin = state.begin

            def begin_full(folder: str) -> str:
                staged = begin(folder)
                for number in range(3):
                    Path(staged, f"events-{number:05d}.arrow.full").symlink_to("/dev/full")
                return staged

            patched.setattr(state, "begin", begin_full)
        with pytest.raises(IngestError, match=r"no space is left on the disk.*run again: the result will be the same"):
            ingest(dataset, out, state=kept)
    assert content(out) == {} and not list(out.iterdir())
    assert not list(kept.iterdir())
    ingest(dataset, out, state=kept)
    assert content(out) == unbroken
    assert len(list(kept.iterdir())) == 1


def test_other_errors_pass_and_leave_nothing(tmp_path: Path) -> None:
    output = tmp_path / "Split-train"
    output.mkdir()
    (tmp_path / "Split-train.staged-1").write_text("half")
    with pytest.raises(ValueError, match="something else"), failures.whole_or_nothing([str(output)], str(tmp_path)):
        raise ValueError("something else")
    assert not list(tmp_path.iterdir())


def test_a_killed_run_publishes_nothing_and_a_re_run_is_the_same(dataset: Path, unbroken: dict, tmp_path: Path) -> None:
    kept = tmp_path / "state"
    command = [sys.executable, "-m", "tests.components.killed_ingest", str(dataset), str(tmp_path / "cut"), str(kept)]
    ended = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, timeout=800)
    assert ended.returncode == -9, ended.stderr.decode()[-2000:]
    assert list((tmp_path / "cut").glob("Split-catalog/*.gz")) and not (tmp_path / "cut" / "summary.json").exists()
    assert [child.name.startswith(".staged-") for child in kept.iterdir()] == [True]
    plan = ingest(dataset, tmp_path / "again", state=kept)
    assert plan.previous is None and content(tmp_path / "again") == unbroken
    assert [child.name.startswith("span-1-") for child in kept.iterdir()] == [True]


def _die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _two_workers(deadly: bool) -> beam.Pipeline:
    options = PipelineOptions(["--direct_running_mode=multi_processing", "--direct_num_workers=2"])
    made = beam.Pipeline(runner="FnApiRunner", options=options)
    if deadly:
        _ = made | "Deadly" >> beam.Create([1]) | "Die" >> beam.Map(_die)
    return made


@pytest.mark.timeout(300)
def test_a_killed_worker_is_told_and_leaves_nothing(dataset: Path, unbroken: dict, tmp_path: Path) -> None:
    out, kept = tmp_path / "out", tmp_path / "state"
    with pytest.raises(IngestError, match=r"a Beam worker process died.*beam\.workers.*Nothing was published"):
        ingest(dataset, out, state=kept, make=lambda: _two_workers(deadly=True))
    assert content(out) == {} and not list(kept.iterdir())
    ingest(dataset, out, state=kept, make=lambda: _two_workers(deadly=False))
    assert content(out) == unbroken
