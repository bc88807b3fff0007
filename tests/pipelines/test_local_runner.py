"""The local runner: order, cache, rows, and the name of the component that failed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from tfx import v1 as tfx

from pipelines.local_runner import ComponentError, LocalRunner, NodeResult
from pipelines.progress import ComponentProgress
from pipelines.rows import RowCounter
from tests.pipelines.small_components import Numbers, Picky


def pipeline(root: Path, most: int, enable_cache: bool = True) -> tfx.dsl.Pipeline:
    numbers = Numbers(count=7)
    picky = Picky(examples=numbers.outputs["examples"], most=most)
    return tfx.dsl.Pipeline(
        pipeline_name="small",
        pipeline_root=str(root / "artifacts"),
        components=[numbers, picky],
        enable_cache=enable_cache,
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(root / "metadata.sqlite")
        ),
    )


def run(root: Path, most: int = 10, enable_cache: bool = True) -> tuple[list[NodeResult], str]:
    printed = io.StringIO()
    with ComponentProgress(Console(file=printed, width=120)) as progress:
        runner = LocalRunner(progress.on_start, progress.on_end)
        runner.run(pipeline(root, most, enable_cache))
    return runner.results, printed.getvalue()


def test_runs_in_order_and_counts_rows(tmp_path: Path) -> None:
    results, printed = run(tmp_path)
    assert [r.name for r in results] == ["Numbers", "Picky"]
    assert not any(r.cached for r in results)
    rows = RowCounter()
    assert [rows.count(result) for result in results] == [(None, 7), (7, None)]
    lines = printed.splitlines()
    assert "Numbers" in lines[1]
    assert lines[1].split()[-1] == "7"
    assert "Picky" in lines[2]


def test_second_run_is_cached_and_still_knows_its_rows_unless_forced(tmp_path: Path) -> None:
    run(tmp_path)
    results, printed = run(tmp_path)
    assert all(r.cached for r in results)
    rows = RowCounter()
    assert [rows.count(result) for result in results] == [(None, 7), (7, None)]
    assert printed.count("cached") == 2
    forced, _ = run(tmp_path, enable_cache=False)
    assert not any(r.cached for r in forced)


def test_a_failure_names_its_component_and_leaves_what_was_done(tmp_path: Path) -> None:
    with pytest.raises(ComponentError, match=r"component Picky failed: .*7 lines are more than 3") as caught:
        run(tmp_path, most=3)
    assert caught.value.component == "Picky"
    results, _ = run(tmp_path, most=7)
    assert [r.cached for r in results] == [True, False]


def test_until_ends_the_run_after_that_component(tmp_path: Path) -> None:
    runner = LocalRunner(until="Numbers")
    runner.run(pipeline(tmp_path, most=3))
    assert [r.name for r in runner.results] == ["Numbers"]
    with pytest.raises(ValueError, match="until is 'Letters', expected one of Numbers, Picky"):
        LocalRunner(until="Letters").run(pipeline(tmp_path, most=3))
