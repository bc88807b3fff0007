"""Must-show 4: SIGKILL in the middle of each component, run again: the metrics of an unbroken run."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.commands import TINY, report, run_forked
from tests.e2e.conftest import FinishedRun
from tests.preloaded import Preloaded
from tests.saved_state import saved_states

# In the order in which they run. The Resolver is not among them: it has no executor to be killed in.
COMPONENTS = (
    "BehaviorExampleGen",
    "ImportSchemaGen",
    "StatisticsGen",
    "Transform",
    "ExampleValidator",
    "PSU",
    "SEMINAR",
    "Quantizer",
    "RecallEvaluator",
    "Evaluator",
    "Pusher",
)
# At work for more than half a second: they are killed later than they begin.
LONG = ("BehaviorExampleGen", "Transform", "StatisticsGen", "Quantizer", "RecallEvaluator", "Evaluator")
# Over within a tenth of a second: the kill may come when the component has just ended.
BRIEF = ("ImportSchemaGen", "ExampleValidator", "Pusher")
# ML Metadata's numbers (metadata_store.proto): Execution.State, and Artifact.State.LIVE.
RUNNING, COMPLETE, CACHED, LIVE = 2, 3, 5, 2


def newest_state(root: Path, component: str) -> int:
    """State of a component's newest execution, as ML Metadata has it."""
    # Opened for writing: what a kill left half-done is rolled back by whoever opens the file next.
    with sqlite3.connect(root / "metadata.sqlite", timeout=5) as connection:
        # TFX keeps a context of its own for each node, named <pipeline>.<component>.
        rows = connection.execute(
            """SELECT e.last_known_state FROM Execution e
               JOIN Association a ON a.execution_id = e.id JOIN Context c ON c.id = a.context_id
               WHERE c.name = ? ORDER BY e.id DESC LIMIT 1""",
            (f"tiny.{component}",),
        ).fetchall()
    assert rows, f"{component} has no execution"
    return int(rows[0][0])


def begun(root: Path, component: str) -> Callable[[], bool]:
    """A test for: the component's executor has a folder that was not there when this function was called."""
    folder = root / "artifacts" / component / ".system" / "executor_execution"

    def now() -> set[str]:
        return {child.name for child in folder.iterdir()} if folder.exists() else set()

    before = now()
    return lambda: bool(now() - before)


def in_the_middle(root: Path, component: str) -> Callable[[], bool]:
    """A test for: the component is at work, a Trainer far enough to have saved its state."""
    if component in ("PSU", "SEMINAR"):
        known = saved_states(root / "state")
        started = begun(root, component)
        return lambda: started() and bool(saved_states(root / "state") - known)
    return begun(root, component)


def kill_at(root: Path, dataset: Path, component: str, delay: float) -> bool:
    """Starts the pipeline and kills it while `component` is at work.

    Returns:
      Whether the kill came before the pipeline's own end.
    """
    reached = in_the_middle(root, component)
    printed = root.with_name(f"until-{component}.txt")
    command = ("run", "--config", str(TINY), "--data", str(dataset), "--root", str(root))
    process = Preloaded("seminar_tf.cli.main", *command, output=printed)
    deadline = time.monotonic() + 300
    try:
        while not reached():
            assert process.poll() is None, f"the run ended before {component} began:\n{printed.read_text()}"
            assert time.monotonic() < deadline, f"{component} did not begin within 300 s"
            time.sleep(0.005)
        time.sleep(delay)
        alive = process.poll() is None
    finally:
        process.kill()
    return alive


@pytest.mark.e2e
@pytest.mark.timeout(1200)
def test_killed_in_every_component_then_finished_gives_the_unbroken_metrics(
    finished: FinishedRun, tmp_path: Path
) -> None:
    root = tmp_path / "killed"
    for component in COMPONENTS:
        delay = 0.5 if component in LONG else 0.0
        assert kill_at(root, finished.dataset, component, delay), f"the run was over before the kill of {component}"
        state = newest_state(root, component)
        assert state == RUNNING or (component in BRIEF and state == COMPLETE), (component, state)

    command = ("run", "--config", str(TINY), "--data", str(finished.dataset), "--root", str(root))
    run_forked(tmp_path / "to-the-end.txt", *command)

    expected, actual = finished.report, report(root)
    assert actual["metrics"] == expected["metrics"]
    assert actual["slices"] == expected["slices"]
    for stage in ("PSU", "SEMINAR"):
        training = json.loads((Path(actual["tensorboard"][stage]) / "training.json").read_text())
        assert training["resumed"], f"{stage} trained anew"
    assert_nothing_half_written_was_read(root)


def assert_nothing_half_written_was_read(root: Path) -> None:
    """Every artifact that any execution took as input came from an execution that ended well."""
    with sqlite3.connect(f"file:{root / 'metadata.sqlite'}?mode=ro", uri=True) as connection:
        # Event.type: 3 is INPUT, 4 is OUTPUT.
        rows = connection.execute(
            """SELECT a.uri, a.state, producer.last_known_state
               FROM Event consumed JOIN Artifact a ON a.id = consumed.artifact_id
               JOIN Event produced ON produced.artifact_id = a.id AND produced.type = 4
               JOIN Execution producer ON producer.id = produced.execution_id
               WHERE consumed.type = 3"""
        ).fetchall()
    assert rows
    broken = [row for row in rows if row[1] != LIVE or row[2] not in (COMPLETE, CACHED)]
    assert not broken
    versions = list((root / "serving" / "ranker").iterdir())
    assert versions
    for version in versions:
        if version.name.isdigit():
            assert (version / "saved_model.pb").exists()
            assert (version / "variables" / "variables.index").exists()
