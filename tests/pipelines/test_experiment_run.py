"""An experiment from its file to its report, on toy data: results, what is run again and what not, failures, kills."""

from __future__ import annotations

import json
import time
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from pipelines.experiment.layout import find_ingested, fine_tuned_folder, training_report, without_targets
from pipelines.experiment.plan import Plan
from pipelines.experiment.run import Finished, _alone, run_experiment
from pipelines.experiment.tables import IMPRESSIONS
from seminar_tf.config.experiment import ExperimentConfig
from seminar_tf.config_io import ConfigError, from_yaml
from tests.pipelines.experiment_toy import write_toy
from tests.preloaded import Preloaded
from tests.saved_state import saved_states


def execute(path: Path, *overrides: str) -> tuple[Finished, str]:
    out = StringIO()
    plan = Plan(from_yaml(ExperimentConfig, path, overrides), path.parent)
    return run_experiment(plan, Console(file=out, width=200)), out.getvalue()


def files(root: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> tuple[Path, Finished, str]:
    """Rankers with and without pretraining, one that cannot be trained, two trials, held-out items, both floors.

    Targets are logged impressions.
    """
    root = tmp_path_factory.mktemp("experiment")
    data = {"name": "toy", "config": "pipeline.yaml", "data": str(root / "tables")}
    path = write_toy(
        root,
        grouped=True,
        datasets=[data | {"hold_out": 3}],
        rankers=[
            {"name": "SEMINAR"},
            {"name": "fresh", "pretrained": False},
            # Wants a cluster, which TF_CONFIG would describe.
            {"name": "broken", "overrides": {"seminar.strategy": "parameter_server"}},
        ],
        search={"grid": [{}, {"seminar.learning_rate": 0.01}]},
        timing={"rounds": 2, "calls": 2, "candidates": 5},
    )
    return path, *execute(path)


def test_the_report_has_every_row_that_did_not_fail(ran):
    path, finished, _ = ran
    (result,) = finished.results
    shown = [table.part for table in result.tables if table.protocol == IMPRESSIONS]
    assert [table.protocol for table in result.tables] == ["full"] * 3 + ["9 others"] * 3 + [IMPRESSIONS] * len(shown)
    assert shown and {line.row for table in result.tables[6:] for line in table.lines if "auc" in line.values} == {
        "SEMINAR",
        "fresh",
        "popularity",
        "item_knn",
    }
    for table in result.tables:
        assert {line.row for line in table.lines} == {"SEMINAR", "fresh", "popularity", "item_knn"}
        assert table.lines[0].row == "SEMINAR"
    whole, held_out, others = result.tables[:3]
    assert held_out.count + others.count == whole.count > held_out.count > 0
    assert [one.protocol for one in result.slices] == ["full", "9 others"]
    tree = json.loads((path.parent / "out" / "report" / "report.json").read_text())
    assert tree["datasets"][0]["tables"][0]["lines"][0]["values"]["mrr"][0] == whole.lines[0].values["mrr"][0]
    assert set(result.timing) == {"SEMINAR", "fresh"} and all(len(taken) == 2 for taken in result.timing.values())
    assert finished.report.read_text().startswith("# toy\n")


def test_failed_rows_are_told_and_stop_nothing(ran):
    _, finished, printed = ran
    names = {f"toy / broken / trial {n}" for n in (1, 2)}
    assert set(finished.failed) == names
    assert all("TF_CONFIG" in outcome.error for outcome in finished.failed.values())
    assert "toy / broken / trial 1: failed: ClusterError" in printed
    assert "| toy / broken / trial 1 | ClusterError" in finished.report.read_text()


def test_passes_are_the_same_for_all(ran):
    spent = {one.row: one for one in ran[1].results[0].spent}
    assert (spent["SEMINAR"].psu_passes, spent["SEMINAR"].passes, spent["SEMINAR"].allowed) == (1, 1, 2)
    assert spent["fresh"].psu_passes == 0 and 1 <= spent["fresh"].kept <= spent["fresh"].passes <= 2
    assert all(one.seconds > 0 for one in spent.values())


def test_every_ranker_has_as_many_trials_and_the_best_is_taken(ran):
    _, finished, _ = ran
    trials = finished.results[0].trials
    assert [trial.ranker for trial in trials] == ["SEMINAR"] * 2 + ["fresh"] * 2 + ["broken"] * 2
    for ranker in ("SEMINAR", "fresh"):
        values = [trial.value for trial in trials if trial.ranker == ranker]
        assert [trial.best for trial in trials if trial.ranker == ranker].index(True) == int(np.argmax(values))
    assert not any(trial.best or trial.value for trial in trials if trial.ranker == "broken")


def test_a_second_run_makes_nothing(ran):
    path, finished, _ = ran
    before = files(path.parent / "out" / "models")
    # What fails once is tried again.
    again, printed = execute(path, "rankers=[{name: SEMINAR}, {name: fresh, pretrained: false}]")
    assert {outcome.status for outcome in again.outcomes.values()} == {"cached"} and not again.failed
    assert files(path.parent / "out" / "models") == before
    assert again.results[0].tables == finished.results[0].tables
    assert "cached" in printed or "toy / SEMINAR / seed 1: ." in printed


def test_only_what_is_new_is_run(ran):
    path, _, _ = ran
    fewer = ("rankers=[{name: SEMINAR}]", "timing.rounds=0")
    added, _ = execute(path, *fewer, "ablations=[{name: fewer pairs, overrides: {model.top_k: 2}}]")
    run = [name for name, outcome in added.outcomes.items() if outcome.status != "cached"]
    # What the search keeps is none of pretraining's.
    assert run == ["toy / fewer pairs / seed 1"]
    line = next(line for line in added.results[0].tables[0].lines if line.kind == "ablation")
    assert line.row == "fewer pairs" and line.difference is not None


def test_missing_tables_are_told(tmp_path):
    data = [{"name": "gone", "config": "pipeline.yaml", "data": str(tmp_path / "nowhere")}]
    path = write_toy(tmp_path, datasets=data)
    finished, _ = execute(path)
    assert "does not exist. Write the canonical tables there first" in finished.results[0].error
    assert list(finished.failed) == ["gone / data"] and "Nothing was measured" in finished.report.read_text()


def test_two_runs_do_not_share_a_root(tmp_path):
    refused = pytest.raises(ConfigError, match="another process runs an experiment there")
    with _alone(tmp_path), refused, _alone(tmp_path):
        pass
    with _alone(tmp_path):
        pass


def test_killed_in_the_middle_of_training_it_goes_on_to_the_same_result(ran, tmp_path):
    """The best SEMINAR of the run above is taken away, and trained again with a kill."""
    path, whole, _ = ran
    only = ("rankers=[{name: SEMINAR}]", "timing.rounds=0")
    plan = Plan(from_yaml(ExperimentConfig, path, only), path.parent)
    (best,) = [trial.overrides for trial in whole.results[0].trials if trial.ranker == "SEMINAR" and trial.best]
    (row,) = plan.rows(plan.datasets[0], {"SEMINAR": best})
    ingested = find_ingested(plan.datasets[0].folder, Path(row.config.data.path))
    assert ingested is not None
    folder = fine_tuned_folder(row.config, without_targets(plan.datasets[0].folder, ingested, 3), plan.models)
    unbroken = folder.rename(tmp_path / "unbroken")
    command = ["experiment", "--config", str(path), *(text for key in only for text in ("--set", key))]
    process = Preloaded("seminar_tf.cli.main", *command, output=tmp_path / "printed")
    deadline = time.monotonic() + 240
    try:
        while not saved_states(folder / "state"):
            assert process.poll() is None, (tmp_path / "printed").read_text()
            assert time.monotonic() < deadline, "no checkpoint within 240 s"
            time.sleep(0.005)
    finally:
        process.kill()
    assert not (folder / "model").exists()
    finished, _ = execute(path, *only)
    assert training_report(folder)["resumed"] and not training_report(unbroken)["resumed"]
    run = [outcome.status for outcome in finished.outcomes.values() if outcome.status != "cached"]
    assert run and set(run) == {"done"}
    ranked = sorted(file.name for file in unbroken.glob("*.npz"))
    assert ranked and sorted(file.name for file in folder.glob("*.npz")) == ranked
    for name in ranked:
        with np.load(unbroken / name) as one, np.load(folder / name) as other:
            assert sorted(one.files) == sorted(other.files)
            for key in one.files:
                np.testing.assert_array_equal(other[key], one[key], err_msg=f"{name} {key}")
    for a, b in zip(whole.results[0].tables, finished.results[0].tables, strict=True):
        before, after = ([line.values for line in table.lines if line.row == "SEMINAR"] for table in (a, b))
        np.testing.assert_equal(after, before)
