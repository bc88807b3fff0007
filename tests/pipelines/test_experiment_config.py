"""Experiments from YAML: what is refused, and the configuration that each row gets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.experiment.layout import Transformed, fine_tuned_folder, pretrained_folder
from pipelines.experiment.making import ingestion_jobs, training_jobs
from pipelines.experiment.plan import Plan
from seminar_tf.config import EvaluationConfig, PipelineConfig
from seminar_tf.config.experiment import ExperimentConfig
from seminar_tf.config_io import ConfigError, from_yaml, override

EXPERIMENTS = sorted((Path(__file__).parents[2] / "pipelines" / "configs" / "experiments").glob("*.yaml"))
BASE = """
name: t
root: {root}
datasets: [{{name: d, config: pipeline.yaml, data: tables}}]
rankers:
  - name: SEMINAR
  - {{name: fresh, pretrained: false, overrides: {{model.top_k: 7}}}}
ablations: [{{name: no gate, overrides: {{model.use_gate: false}}}}]
"""
PIPELINE = "psu: {epochs: 2}\nseminar: {epochs: 3}\nmodel: {history_length: 30}\n"


def plan(tmp_path: Path, text: str = "", **replaced: str) -> Plan:
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    whole = BASE.format(root=tmp_path / "root")
    for old, new in replaced.items():
        assert old in whole
        whole = whole.replace(old, new)
    (tmp_path / "e.yaml").write_text(whole + text)
    return Plan(from_yaml(ExperimentConfig, tmp_path / "e.yaml"), tmp_path)


def rows(made: Plan, trial=None) -> dict:
    chosen = {row.name: trial or {} for row in made.config.rankers}
    return {(row.name, row.seed): row for row in made.rows(made.datasets[0], chosen)}


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_the_experiments_that_are_shipped_are_valid(path):
    made = Plan(from_yaml(ExperimentConfig, path), path.parent)
    assert ingestion_jobs(made) and all(rows(made))


def test_every_row_has_its_overrides_and_its_budget(tmp_path):
    made = plan(tmp_path)
    found = rows(made)
    assert list(found) == [(name, seed) for name in ("SEMINAR", "fresh", "no gate") for seed in (1, 2, 3)]
    whole, fresh, gate = (found[name, 2].config for name in ("SEMINAR", "fresh", "no gate"))
    assert whole.seed == 2 and (whole.psu.epochs, whole.seminar.epochs, whole.seminar.patience) == (2, 3, 0)
    # All five passes, with early stopping.
    assert (fresh.psu.epochs, fresh.seminar.epochs, fresh.seminar.patience) == (0, 5, 1)
    assert fresh.model.top_k == 7 and not gate.model.use_gate and whole.model.use_gate
    # A trial changes rows; an ablation is what its name says, whatever was tried.
    tried = rows(made, {"seminar.learning_rate": 0.5, "model.use_gate": True})
    assert {row.config.seminar.learning_rate for row in tried.values()} == {0.5}
    assert not tried["no gate", 1].config.model.use_gate


def test_rows_that_train_alike_share_what_is_trained(tmp_path):
    made, data = plan(tmp_path), Transformed(Path("examples"), Path("graph"))
    found = rows(made)
    by_psu = {key: pretrained_folder(row.config, data, made.models) for key, row in found.items()}
    by_row = {key: fine_tuned_folder(row.config, data, made.models) for key, row in found.items()}
    assert len(set(by_row.values())) == len(found)
    # No gate is another PSU; the number of pairs that are kept is none of pretraining's.
    assert len(set(by_psu.values())) == len(found)
    other = override(found["SEMINAR", 1].config, {"model.top_k": 3, "seminar.epochs": 1})
    assert pretrained_folder(other, data, made.models) == by_psu["SEMINAR", 1]
    jobs = training_jobs(made, {row.title: (row, data, made.asked(made.datasets[0])) for row in found.values()})
    assert len(jobs) == 18 and all(len(job.needs) == 1 for job in jobs[9:])
    # The same row under another name waits for the first: two processes never train in one folder.
    row, asked = found["SEMINAR", 1], made.asked(made.datasets[0])
    jobs = training_jobs(made, {"one": (row, data, asked), "two": (row, data, asked)})
    assert [job.needs for job in jobs] == [(), ("PSU of one",), ("PSU of one", "one")]


def test_what_is_ranked_names_its_file(tmp_path):
    (asked,) = plan(tmp_path).asked(plan(tmp_path).datasets[0])
    assert asked.history_length == 30 and asked.split == "test"
    pushed = override(asked.evaluation, {"min_ndcg_at_10": 0.5})
    others = [override(asked.evaluation, {"max_requests": 5}), EvaluationConfig(candidates="sampled")]
    files = [type(asked)("test", e, 30).file(tmp_path) for e in (asked.evaluation, pushed, *others)]
    assert files[0] == files[1] and len(set(files)) == 3


def test_data_may_be_somewhere_else(tmp_path):
    made = plan(tmp_path)
    assert made.datasets[0].config.data.path == str(Path("tables").resolve())
    moved = Plan(made.config, tmp_path, {"d": str(tmp_path / "other")})
    assert moved.datasets[0].config.data.path == str(tmp_path / "other")
    assert moved.datasets[0].folder != made.datasets[0].folder
    with pytest.raises(ConfigError, match="--data: expected a dataset of the experiment: d, found 'x'"):
        Plan(made.config, tmp_path, {"x": "y"})


@pytest.mark.parametrize(
    "text, message",
    [
        ("rankers: [{name: a, override: {}}]", "config key rankers[0].override: unknown. Did you mean 'overrides'?"),
        ("rankers: []", "config key rankers: expected at least one"),
        ("rankers: [{name: a/b}]", "config key rankers[0].name: expected letters, digits"),
        ("rankers: [{name: a}, {name: a}]", "config key rankers: expected each name"),
        ("rankers: [{name: popularity}]", "config key rankers: expected each name"),
        (
            "rankers: [{name: a, overrides: [x]}]",
            "rankers[0].overrides: expected a mapping whose keys are text",
        ),
        ("rankers: [{name: a, overrides: {modle.dim: 8}}]", "overrides of 'a' on 'd': config key modle: unknown."),
        ("rankers: [{name: a, overrides: {model.dmi: 8}}]", "config key model.dmi: unknown. Did you mean 'dim'?"),
        ("rankers: [{name: a, overrides: {model.dim: x}}]", "config key model.dim: expected int, found str 'x'"),
        ("rankers: [{name: a, overrides: {seed.x: 1}}]", "override 'seed.x': seed has no keys of its own"),
        ("rankers: [{name: a, overrides: {seminar.epochs: 9}}]", "psu.epochs 2 + seminar.epochs 9 are more than the 5"),
        ("rankers: [{name: a, overrides: {data.min_history: 2}}]", "a row cannot override data.* or features.*"),
        ("rankers: [{name: a, pretrained: false, overrides: {psu.epochs: 1}}]", "expected no psu.epochs for 'a'"),
        ("reference: x", "config key reference: expected one of SEMINAR, fresh, found 'x'"),
        ("floors: [random]", "config key floors: expected some of popularity, item_knn, found 'random'"),
        ("metric: auc", "config key metric: expected one of metrics"),
        ("metric: ndcg_at_7\nmetrics: [ndcg_at_7]", "config key metrics: expected what protocol 'full' gives"),
        ("seeds: [1, 1]", "config key seeds: expected each seed once, found '1'"),
        ("protocols: [{name: p, evaluation: {candidates: all}}]", "config key protocols[0].evaluation.candidates"),
        ("search: {grid: [{psu.epochs: 9}]}", "config key search.grid: expected no key of the budget"),
        ("search: {grid: [{}, {model.top_k: 9}]}", "a key that no ranker sets; fresh does"),
        ("search: {grid: [{}, {}]}", "config key search.grid: expected each trial once"),
        ("timing: {calls: 0}", "config key timing.calls: expected a number above 0"),
        ("datasets: [{name: d, config: no.yaml}]", "no.yaml does not exist"),
        ("datasets: [{name: d, config: pipeline.yaml}]", "data.path in its pipeline configuration"),
        ("datasets: [{name: d, config: pipeline.yaml, data: x, generate: big}]", "expected one of tiny, demo, large"),
        (
            "datasets: [{name: d, config: pipeline.yaml, data: x, tuned_on: e}]",
            "another dataset with trials of its",
        ),
        ("ablations: [{name: a, datasets: [x]}]", "datasets of row 'a': expected some of d, found 'x'"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, text, message):
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    # A later key of the same name wins in YAML.
    (tmp_path / "e.yaml").write_text(BASE.format(root=tmp_path / "root") + text)
    with pytest.raises(ConfigError) as raised:
        Plan(from_yaml(ExperimentConfig, tmp_path / "e.yaml"), tmp_path)
    assert message in str(raised.value)


def test_overrides_keep_all_else():
    config = PipelineConfig(seed=3)
    changed = override(config, {"model.channels": ["text"], "seminar.learning_rate": "1e-2"})
    assert changed.model.channels == ("text",) and changed.seminar.learning_rate == 0.01 and changed.seed == 3
    assert override(config, {}) == config


TWO = """
protocols: [{{name: all}}, {{name: some, evaluation: {{max_requests: 9}}}}]
timing: {{datasets: [d]}}
"""


def two_datasets(tmp_path: Path, **replaced: str) -> Plan:
    second = ", {name: e, config: pipeline.yaml, data: tables, protocols: [some], seeds: [7], tuned_on: d}]"
    one = "[{name: d, config: pipeline.yaml, data: tables}]"
    more = {one: one[:-1] + second, **replaced}
    return plan(tmp_path, TWO.replace("{{", "{").replace("}}", "}"), **more)


def test_a_dataset_may_have_protocols_and_seeds_of_its_own(tmp_path):
    made = two_datasets(tmp_path)
    asked = [[one.evaluation.max_requests for one in made.asked(dataset)] for dataset in made.datasets]
    assert asked == [[0, 9], [9]]
    seeds = [{row.seed for row in made.rows(dataset, {"SEMINAR": {}})} for dataset in made.datasets]
    assert seeds == [{1, 2, 3}, {7}]
    assert [made.asked_of_trials(dataset).split for dataset in made.datasets] == ["eval", "eval"]
    with pytest.raises(ConfigError, match=r"protocols of dataset 'd'.*some of all, some"):
        plan(tmp_path, TWO.replace("{{", "{").replace("}}", "}"), **{"data: tables": "data: tables, protocols: [x]"})


def test_an_experiment_may_run_on_some_of_its_datasets(tmp_path):
    config = two_datasets(tmp_path).config
    alone = config.only(["d"])
    assert [dataset.name for dataset in alone.datasets] == ["d"] and alone.timing == config.timing
    rows = (*config.rankers, *config.ablations)
    other = replace(config, rankers=(*config.rankers, replace(rows[0], name="x", datasets=("e",))))
    assert [row.name for row in other.only(["d"]).rankers] == ["SEMINAR", "fresh"]
    several = replace(config, search=replace(config.search, grid=({}, {"psu.epochs": 2})))
    with pytest.raises(ConfigError, match=r"--only.*d too: e is tuned on it\. --set search\.grid=\[\{\}\]"):
        several.only(["e"])
    # Of a single trial nothing is chosen.
    single = replace(config, search=replace(config.search, grid=({},)))
    assert [dataset.tuned_on for dataset in single.only(["e"]).datasets] == [""]
    with pytest.raises(ConfigError, match=r"--only.*some of d, e"):
        config.only(["f"])
