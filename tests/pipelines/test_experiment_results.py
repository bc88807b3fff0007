"""Tables of an experiment against NumPy, and what the report says of them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from pipelines.experiment.elapsed import RunTime
from pipelines.experiment.jobs import Outcome
from pipelines.experiment.layout import Ranks
from pipelines.experiment.records import DatasetResult, Spent, Trial
from pipelines.experiment.report import write_report
from pipelines.experiment.results import ALL, Line, Table, number
from pipelines.experiment.tables import IMPRESSION_METRICS, IMPRESSIONS, PSR, SliceTable, ranking_table
from seminar_tf.config import EvaluationConfig
from seminar_tf.config.experiment import ExperimentConfig
from seminar_tf.config.experiment_parts import ExperimentDataset, ExperimentRow, Protocol, SearchBudget

METRICS = ("ndcg_at_10", "mrr")
USERS = 60


def ranks(mean: float, seed: int) -> Ranks:
    """Two targets of each user, metrics around a mean."""
    rng = np.random.default_rng(seed)
    users = np.repeat([b"%03d" % n for n in range(USERS)], 2)
    values = {name: mean + rng.normal(0, 0.05, 2 * USERS) for name in METRICS}
    return Ranks(users, np.arange(2 * USERS, dtype=np.int32), values)


def rows() -> tuple[dict, dict]:
    found = {
        "A": {seed: ranks(0.5, seed) for seed in (1, 2, 3)},
        "B": {seed: ranks(0.4, 10 + seed) for seed in (2, 3)},
        "same": {seed: ranks(0.5, 20 + seed) for seed in (1, 2, 3)},
        "popularity": {None: ranks(0.1, 30)},
        "better": {1: ranks(0.7, 40)},
    }
    kinds = {"A": "ranker", "B": "ranker", "same": "ranker", "popularity": "floor", "better": "ablation"}
    return found, kinds


def made(keep=None) -> Table:
    found, kinds = rows()
    return ranking_table("full", ALL, found, kinds, "A", "ndcg_at_10", METRICS, keep)


def test_means_intervals_and_differences_are_those_of_numpy():
    found, _ = rows()
    lines = {line.row: line for line in made().lines}
    means = np.array([found["A"][seed].values["mrr"].mean() for seed in (1, 2, 3)])
    half = stats.t.ppf(0.975, 2) * means.std(ddof=1) / np.sqrt(3)
    assert lines["A"].values["mrr"] == (pytest.approx(means.mean()), pytest.approx(half))
    assert lines["A"].seeds == 3 and lines["A"].difference is None
    # Two seeds have a mean and no interval; only they are compared.
    assert lines["B"].seeds == 2 and lines["B"].values["mrr"][1] is None
    b, a = (np.mean([found[row][seed].values["ndcg_at_10"] for seed in (2, 3)], axis=0) for row in "BA")
    d = lines["B"].difference
    assert d.mean == pytest.approx((b - a).mean()) and d.low < d.mean < d.high < 0 and d.real
    by_user = (b - a).reshape(USERS, 2).mean(axis=1)
    assert (d.high - d.low) / 2 == pytest.approx(1.96 * by_user.std() / np.sqrt(USERS), rel=0.1)
    assert (d.users, d.seeds) == (USERS, 2)
    assert lines["popularity"].seeds == 0 and lines["popularity"].difference.real
    assert not lines["same"].difference.real
    assert [line.row for line in made().lines][:2] == ["A", "better"]


def test_the_sentence_says_which_differences_are_real():
    text = made().sentence
    assert text.startswith("NDCG@10: A is above B by .")
    assert "; A is below better by ." in text and "no difference from same could be shown" in text
    assert "Holm's correction over 4 comparisons" in text


def test_parts_of_the_targets_are_compared_alone():
    keep = np.arange(2 * USERS) % 4 == 0
    part = made(keep)
    assert (part.count, part.users) == (30, 30)
    line = next(line for line in part.lines if line.row == "B")
    found, _ = rows()
    expected = np.mean([found["B"][seed].values["mrr"][keep].mean() for seed in (2, 3)])
    assert line.values["mrr"][0] == pytest.approx(expected)


def test_rows_with_other_targets_are_refused():
    found, kinds = rows()
    other = found["B"][2]
    found["B"][2] = Ranks(other.users, other.items[::-1], other.values)
    with pytest.raises(ValueError, match="'B' ranked other targets"):
        ranking_table("full", ALL, found, kinds, "A", "mrr", METRICS)


def test_numbers_have_no_leading_zero():
    assert [number(x) for x in (0.5, -0.01234, 1.25, 0.0)] == [".5000", "-.0123", "1.2500", ".0000"]


@pytest.fixture
def experiment() -> tuple[ExperimentConfig, list[DatasetResult]]:
    config = ExperimentConfig(
        name="a trial",
        datasets=(ExperimentDataset("small", "x.yaml"), ExperimentDataset("gone", "x.yaml")),
        rankers=tuple(ExperimentRow(name) for name in ("A", "B", "same")),
        ablations=(ExperimentRow("better"),),
        protocols=(Protocol("full", EvaluationConfig()),),
        search=SearchBudget(({}, {"seminar.learning_rate": 0.01})),
        metrics=METRICS,
    )
    spent = [
        Spent("A", "ranker", 1, True, 4, 1, 3, 3, 10.4, 20.6),
        Spent("B", "ranker", 1, False, 4, status="failed", error="ValueError: a | b"),
    ]
    trials = [Trial("A", {}, 0.31, False), Trial("A", {"seminar.learning_rate": 0.01}, 0.32, True)]
    reached = {"full": {"the ideal ranker": {"ndcg_at_10": 0.9, "mrr": 0.8}}}
    small = DatasetResult(
        "small",
        facts=["a fact"],
        tables=[made()],
        trials=trials,
        spent=spent,
        timing={"A": [3.0, 1.0, 2.0], "B": [5.0, 5.0, 5.0]},
        reached=reached,
    )
    return config, [small, DatasetResult("gone", error="no tables")]


def test_the_report_has_everything(experiment, tmp_path):
    config, results = experiment
    path = write_report(
        config, results, {"small / B / seed 1": Outcome("failed", 1.0, "ValueError: a | b")}, [], tmp_path
    )
    text = path.read_text()
    lines = text.splitlines()
    assert "| small / B / seed 1 | ValueError: a \\| b |  |" in lines
    assert "| *the ideal ranker* | | .9000 | .8000 | | | |" in lines
    (row,) = [line for line in lines if line.startswith("| A | 3 |")]
    assert row.count("±") == 2
    (row,) = [line for line in lines if line.startswith("| B | 2 |")]
    assert "**-.0969" in row and "±" not in row
    assert made().sentence in lines
    assert "| A | 2.00 | 1.00 | 3.00 |" in lines
    assert "| A | 1 | 4 | 1 | 3 | 3 | 10 | 21 |" in lines
    assert "| A | .3100 | **.3200** |" in lines and "| ranker | as configured | seminar.learning_rate 0.01 |" in lines
    assert "Nothing was measured: no tables" in lines
    tree = json.loads((tmp_path / "report.json").read_text())
    assert tree["reference"] == "A" and tree["datasets"][0]["tables"][0]["lines"][0]["row"] == "A"
    assert tree["failed"] == {"small / B / seed 1": "ValueError: a | b"}
    for name in tree["datasets"][0]["plots"]:
        assert f"]({name})" in text and (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    kinds = [name.rpartition("-")[2] for name in tree["datasets"][0]["plots"]]
    assert kinds == ["bars.png", "time.png", "ablations.png"]


def test_equal_results_give_equal_files(experiment, tmp_path):
    config, results = experiment
    for name in ("one", "two"):
        write_report(config, results, {}, [], tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(files) == 5
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


def test_the_report_tells_impressions_slices_and_time(experiment, tmp_path):
    config, results = experiment
    cut = {"item:cold": 0.1, "item:warm": 0.25}
    sliced = SliceTable("full", "mrr", {"item:cold": 24, "item:warm": 96}, {"A": cut})
    floor = Line("popularity", "floor", 0, {"gauc": (0.7, None), "auc": (0.6, None)})
    shown = Table(IMPRESSIONS, PSR, "gauc", IMPRESSION_METRICS, "impressions", 360, 60, [floor], "What is real.")
    whole = replace(shown, part=ALL)
    tables = [*results[0].tables, whole, shown]
    reached = {"logged impressions": {"the truth": {"auc": 0.9, "log_loss": 0.4}}}
    results = [replace(results[0], tables=tables, slices=[sliced], reached=reached), results[1]]
    took = [
        RunTime("2030-01-01T00:00:00+00:00", 2, 5, 600.0, 1000.0),
        RunTime("2030-01-02T00:00:00+00:00", 2, 1, 60.0, 20.0),
    ]
    text = write_report(config, results, {}, took, tmp_path).read_text()
    lines = text.splitlines()
    assert (
        "Took 11 minutes in 2 runs, each going on where the one before ended: 6 jobs, 2 at once, 17 minutes of CPU."
        in lines
    )
    assert "| | item:cold | item:warm |" in lines and "| A | .1000 | .2500 |" in lines
    assert "### logged impressions: personalised search (PSR)" in lines and "360 impressions of 60 users." in lines
    assert "| *the truth* | | | .9000 | .4000 | | | |" in lines
    assert "| popularity | | .7000 | .6000 | | | | |" in lines and "What is real." in lines
