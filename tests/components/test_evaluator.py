"""The stock Evaluator with our module: metrics against an oracle, slices, thresholds, baselines, sampling."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seminar_tf.config import BeamConfig, EvaluationConfig, PipelineConfig
from seminar_tf.data.dataset import DatasetSpec
from seminar_tf.evaluation import metrics
from seminar_tf.evaluation.candidates import PopularNegatives, draw_negatives
from seminar_tf.evaluation.impressions import Impressions
from seminar_tf.evaluation.ranks import Ranks
from seminar_tf.evaluation.requests import Request
from tests.components.evaluation_fixtures import ITEMS, LIKE_FACTOR, OOV, TASKS, Toy, export, make_toy, write_examples

import tensorflow_model_analysis as tfma  # isort: skip
from google.protobuf import json_format  # isort: skip
from tfx.components.evaluator.executor import Executor  # isort: skip
from tfx.types import standard_artifacts  # isort: skip

from components.evaluator.eval_config import eval_config  # isort: skip
from components.evaluator.impression_metrics import ImpressionCombiner  # isort: skip
from components.evaluator.ranking_metrics import RankingCombiner  # isort: skip
from components.evaluator.results import read_metrics  # isort: skip
from components.evaluator.sampling import SmallestHashes, user_hash  # isort: skip
from components.evaluator.slices import bucket  # isort: skip
from pipelines.beam_arguments import beam_arguments  # isort: skip

ROWS = 1 + ITEMS + OOV


def evaluate(
    tmp_path: Path, evaluation: EvaluationConfig, model: Path, baseline: Path | None = None, labelled: bool = True
) -> tuple[dict[str, Any], bool]:
    """Runs the stock executor. Returns (what read_metrics gives, whether the model was blessed)."""
    config = eval_config(
        PipelineConfig(evaluation=evaluation), DatasetSpec(spans=(1,), has_requests=labelled, tasks=TASKS)
    )
    examples = standard_artifacts.Examples()
    examples.uri, examples.split_names = str(tmp_path / "examples"), '["train", "eval", "test"]'
    inputs: dict[str, list[Any]] = {"examples": [examples], "model": [standard_artifacts.Model()]}
    inputs["model"][0].uri = str(model)
    if baseline:
        inputs["baseline_model"] = [standard_artifacts.Model()]
        inputs["baseline_model"][0].uri = str(baseline)
    outputs: dict[str, list[Any]] = {
        "evaluation": [standard_artifacts.ModelEvaluation()],
        "blessing": [standard_artifacts.ModelBlessing()],
    }
    for name, artifacts in outputs.items():
        artifacts[0].uri = str(tmp_path / f"{name}-{model.name}")
    context = Executor.Context(
        beam_pipeline_args=beam_arguments(BeamConfig()), tmp_dir=str(tmp_path / "tmp"), unique_id="1"
    )
    properties = {
        "eval_config": json_format.MessageToJson(config),
        "example_splits": json.dumps(["train", "eval", "test"]),
        "module_path": "components.evaluator.module",
    }
    Executor(context).Do(inputs, outputs, properties)
    blessing = Path(outputs["blessing"][0].uri)
    assert (blessing / "BLESSED").exists() != (blessing / "NOT_BLESSED").exists()
    return read_metrics(outputs["evaluation"][0].uri), (blessing / "BLESSED").exists()


def oracle(toy: Toy, table: np.ndarray, users: list[bytes]) -> Ranks:
    """Ranks of the users' last items among the catalog."""
    catalog = np.arange(1, ITEMS + 1)
    true = np.array([toy.whole[user][-1] for user in users])
    higher = np.array([np.sum(table[catalog] > table[t]) for t in true])
    ties = np.array([np.sum(table[catalog] == table[t]) - 1 for t in true])
    return Ranks(higher, ties)


def logged(toy: Toy, table: np.ndarray, users: list[bytes]) -> dict[str, float]:
    """NumPy's metrics of what the users were shown, in float32 as the model scores."""
    rows = [(user, *candidate) for user in users for candidate in toy.shown[user]]
    owner, items, *labels = (np.array(column) for column in zip(*rows))
    logits = table[items].astype(np.float32)
    scores = np.stack([1 / (1 + np.exp(-logits)), 1 / (1 + np.exp(-np.float32(LIKE_FACTOR) * logits))], axis=1)
    return Impressions(owner, TASKS, np.stack(labels, axis=1), scores.astype(np.float32)).metrics("click")


def assert_close(found: dict[str, float], expected: dict[str, float], error: float = 1e-9) -> None:
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=error, nan_ok=True), name


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Toy, Path]:
    path = tmp_path_factory.mktemp("evaluator")
    toy = make_toy(seed=3)
    write_examples(toy, path / "examples")
    return toy, path


def test_full_ranking_slices_labels_and_blessing(toy: tuple[Toy, Path]) -> None:
    data, path = toy
    table = np.random.default_rng(0).integers(-2, 3, ROWS).astype(np.float64)
    users = list(data.whole)
    ranks = oracle(data, table, users)
    values = metrics.per_request(ranks, (1, 5, 10))
    reach = float(values["ndcg_at_10"].mean())

    evaluation = EvaluationConfig(cutoffs=(1, 5, 10), min_ndcg_at_10=reach - 1e-6)
    model = export(path / "full", table, data.counts, evaluation)
    found, blessed = evaluate(path, evaluation, model)
    # The gate is on all requests together: some slices lie below it.
    assert blessed and min(v["ndcg_at_10"] for v in found["slices"].values()) < reach - 1e-6
    assert_close(found["overall"], {name: float(v.mean()) for name, v in values.items()} | {"requests": len(users)})
    # TensorFlow's sigmoid may differ from NumPy's in the last bit of a float32, not in what is tied.
    shown = logged(data, table, users)
    assert shown["one_class_users"] + shown["like_one_class_users"] > 0 and shown["auc"] != shown["gauc"]
    assert_close(found["overall"], shown, 2e-7)
    assert found["baseline"] == {} and found["change"] == {}

    low, high = found["intervals"]["ndcg_at_10"]
    estimate = metrics.summarize(values, np.arange(len(users)))["ndcg_at_10"]
    assert high - low == pytest.approx(estimate.high - estimate.low, rel=0.25)

    for feature, of_user in {
        "history_length": lambda u: bucket(len(data.whole[u]) - 1),
        "item_popularity": lambda u: bucket(int(data.counts[data.whole[u][-1]])),
        "item": lambda u: "warm" if data.counts[data.whole[u][-1]] else "cold",
        "request_kind": lambda u: "browse" if data.queries[u][-1] == 1 else "search",
    }.items():
        groups = np.array([of_user(u) for u in users])
        for group in set(groups):
            expected = {name: float(v[groups == group].mean()) for name, v in values.items()}
            expected["requests"] = float((groups == group).sum())
            assert_close(found["slices"][f"{feature}:{group}"], expected)
    for kind, own in (("search", lambda query: query != 1), ("browse", lambda query: query == 1)):
        some = [u for u in users if own(data.queries[u][-1])]
        assert_close(found["slices"][f"request_kind:{kind}"], logged(data, table, some), 2e-7)
    # Evaluation is readable by TFMA's own loader as well.
    result = tfma.load_eval_result(str(path / f"evaluation-{model.name}"))
    assert result.get_metrics_for_slice((), output_name="rank")["mrr"]["doubleValue"] == found["overall"]["mrr"]


def test_fault_7_constant_model_gets_the_random_expectation_and_no_blessing(toy: tuple[Toy, Path]) -> None:
    data, path = toy
    random = float(np.sum(1 / np.log2(np.arange(2, 12))) / ITEMS)
    evaluation = EvaluationConfig(min_ndcg_at_10=random + 1e-6)
    model = export(path / "constant", np.zeros(ROWS), data.counts, evaluation)
    found, blessed = evaluate(path, evaluation, model, labelled=False)
    assert found["overall"]["ndcg_at_10"] == pytest.approx(random)
    assert found["overall"]["mrr"] == pytest.approx(np.mean(1 / np.arange(1, ITEMS + 1)))
    assert "auc" not in found["overall"]
    assert not blessed


def test_drop_against_a_baseline_of_another_vocabulary_is_not_blessed(toy: tuple[Toy, Path]) -> None:
    data, path = toy
    rng = np.random.default_rng(5)
    popular = np.bincount([items[-1] for items in data.whole.values()], minlength=ROWS).astype(np.float64)
    weak = rng.permutation(popular[1 : ITEMS + 1])
    candidate_table = np.concatenate([[0.0], weak, [0.0] * OOV])
    evaluation = EvaluationConfig(max_ndcg_drop=0.02)
    model = export(path / "candidate", candidate_table, data.counts, evaluation)
    # The baseline knew the same items in another order: read by ids alone it would rank other items.
    order = rng.permutation(ITEMS)
    terms = [f"item-{n + 1}" for n in order]
    table = np.concatenate([[0.0], popular[1 + order], [0.0] * OOV])
    baseline = export(path / "baseline", table, data.counts, evaluation, vocabulary=terms)

    found, blessed = evaluate(path, evaluation, model, baseline)
    expected = {
        name: float(metrics.per_request(oracle(data, scores, list(data.whole)), (10,))["ndcg_at_10"].mean())
        for name, scores in (("overall", candidate_table), ("baseline", popular))
    }
    for name, value in expected.items():
        assert found[name]["ndcg_at_10"] == pytest.approx(value)
    drop = expected["baseline"] - expected["overall"]
    assert found["change"]["ndcg_at_10"] == pytest.approx(-drop)
    assert drop > 0.02 and not blessed


def test_sampled_candidates_of_some_users_and_no_drop_is_blessed(toy: tuple[Toy, Path]) -> None:
    data, path = toy
    table = np.random.default_rng(1).integers(-2, 3, ROWS).astype(np.float64)
    evaluation = EvaluationConfig(candidates="sampled", negatives=6, max_requests=15)
    model = export(path / "sampled", table, data.counts, evaluation, seed=4)
    found, blessed = evaluate(path, evaluation, model, baseline=model, labelled=False)
    assert blessed and found["baseline"] == found["overall"] and not any(found["change"].values())
    users = sorted(data.whole, key=lambda user: user_hash(user, "4/evaluation/test"))[:15]
    higher, ties = [], []
    for user in users:
        items = data.whole[user]
        empty = np.empty(0, np.int32)
        request = Request(user, len(items) - 1, empty, empty, empty, empty, 1, 0, empty, empty)
        drawn = draw_negatives(request, items[-1], np.arange(1, ITEMS + 1), 6, 4, "test", empty)
        higher.append(np.sum(table[drawn] > table[items[-1]]))
        ties.append(np.sum(table[drawn] == table[items[-1]]))
    values = metrics.per_request(Ranks(np.array(higher), np.array(ties)), (5, 10, 50))
    assert_close(found["overall"], {name: float(v.mean()) for name, v in values.items()} | {"requests": 15})


@pytest.mark.parametrize("seed", range(3))
def test_combiner_equals_numpy_however_it_is_merged(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 2500
    ranks = Ranks(rng.integers(0, 80, n), rng.integers(0, 5, n))
    buckets = rng.integers(0, 50, n)
    combiner = RankingCombiner((1, 10), "m", "rank")
    parts = [combiner.create_accumulator() for _ in range(4)]
    for row in range(n):
        element = {
            "predictions": {"m": {"rank": np.array([ranks.higher[row], ranks.ties[row]])}},
            "features": {"user_bucket": buckets[row : row + 1]},
        }
        combiner.add_input(parts[row % 3], element)
    combiner.add_input(parts[3], {"predictions": {"m": {"rank": np.array([])}}, "features": {}})
    output = {key.name: value for key, value in combiner.extract_output(combiner.merge_accumulators(parts)).items()}
    expected = metrics.summarize(metrics.per_request(ranks, (1, 10)), buckets)
    for name, estimate in expected.items():
        assert output[name] == pytest.approx(estimate.mean)
        error = (estimate.high - estimate.mean) / metrics.Z_95
        assert output[f"{name}_standard_error"] == pytest.approx(error, rel=0.05)
    assert output["requests"] == n
    empty = {key.name: value for key, value in combiner.extract_output(combiner.create_accumulator()).items()}
    assert empty.pop("requests") == 0 and all(math.isnan(value) for value in empty.values())


@pytest.mark.parametrize("seed", range(3))
def test_impression_combiner_equals_numpy_however_it_is_merged(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 2500
    scores = (rng.integers(0, 11, (n, 2)) / 10).astype(np.float32)
    labels = rng.choice(np.array([0, 1, np.nan], np.float32), (n, 2))
    # A row whose task the model does not have counts for no metric of it.
    scores[rng.uniform(size=n) < 0.1, 1] = np.nan
    users = rng.integers(0, 2**63, 400).astype(np.uint64)[rng.integers(0, 400, n)]
    combiner = ImpressionCombiner(TASKS, "click", "m", "impression")
    parts = [combiner.create_accumulator() for _ in range(4)]
    for row in range(n):
        element = {
            "predictions": {"m": {"impression": scores[row]}},
            "labels": {"impression": labels[row]},
            "features": {"user": users[row : row + 1]},
        }
        combiner.add_input(parts[row % 3], element)
    whole = combiner.merge_accumulators([combiner.compact(parts[0]), combiner.merge_accumulators(parts[1:])])
    output = {key.name: value for key, value in combiner.extract_output(whole).items()}
    known = np.where(np.isnan(scores), np.float32(np.nan), labels)
    expected = Impressions(users, TASKS, known, scores).metrics("click")
    assert output == pytest.approx(expected, rel=1e-12)
    assert 0 < output["one_class_users"] < 400 and output["like_impressions"] < output["impressions"]
    empty = {key.name: value for key, value in combiner.extract_output(combiner.create_accumulator()).items()}
    assert empty["impressions"] == empty["like_one_class_users"] == 0 and math.isnan(empty["gauc"])


def calibrated(toy: Toy) -> np.ndarray:
    """Logits of the share of each item's impressions that were clicked, so that a constant times it is worse."""
    shown = [candidate for user in toy.whole for candidate in toy.shown[user] if not math.isnan(candidate[1])]
    items, clicks = np.array([c[0] for c in shown]), np.array([c[1] for c in shown])
    rate = (np.bincount(items, clicks, ROWS) + 0.3) / (np.bincount(items, minlength=ROWS) + 1)
    return np.log(rate / (1 - rate))


@pytest.mark.parametrize(("change", "most_error", "blessed"), [(0.9, 1.0, True), (2.5, 1.0, False), (1.0, 0.01, False)])
def test_a_model_that_ranks_alike_is_blessed_only_while_its_probabilities_hold(
    toy: tuple[Toy, Path], tmp_path: Path, change: float, most_error: float, blessed: bool
) -> None:
    """The same order, so the same NDCG; logits moved by a constant: only log loss and calibration tell."""
    data, path = toy
    table = calibrated(data)
    evaluation = EvaluationConfig(max_log_loss_rise=0.05, max_expected_error=most_error)
    baseline = export(tmp_path / "before", table, data.counts, evaluation)
    model = export(tmp_path / "after", table + np.log(change), data.counts, evaluation)
    (tmp_path / "examples").symlink_to(path / "examples")
    found, said = evaluate(tmp_path, evaluation, model, baseline)
    assert found["change"]["ndcg_at_10"] == 0.0
    rise = found["overall"]["log_loss"] / found["baseline"]["log_loss"] - 1
    users = list(data.whole)
    for name, scores in (("overall", table + np.log(change)), ("baseline", table)):
        assert_close(found[name], {"log_loss": logged(data, scores, users)["log_loss"]}, 1e-6)
    fits = rise <= 0.05 and found["overall"]["expected_error"] <= most_error
    assert said == blessed == fits


def test_baseline_without_a_task_has_none_of_its_metrics(toy: tuple[Toy, Path], tmp_path: Path) -> None:
    data, path = toy
    table = np.random.default_rng(2).normal(size=ROWS)
    evaluation = EvaluationConfig(candidates="popular", negatives=8)
    baseline = export(tmp_path / "click", table, data.counts, evaluation, tasks=("click",))
    model = export(tmp_path / "both", table, data.counts, evaluation)
    (tmp_path / "examples").symlink_to(path / "examples")
    found, said = evaluate(tmp_path, evaluation, model, baseline)
    assert said and found["overall"]["like_impressions"] > 0 == found["baseline"]["like_impressions"]
    assert math.isnan(found["baseline"]["like_auc"]) and found["baseline"]["auc"] == found["overall"]["auc"]
    ranks = []
    negatives = PopularNegatives(np.arange(1, ITEMS + 1, dtype=np.int32), data.counts)
    for user, items in data.whole.items():
        none = np.empty(0, np.int32)
        request = Request(user, len(items) - 1, none, none, none, none, 1, 0, none, none)
        drawn = negatives.draw(request, items[-1], 8, 1, "test", none)
        ranks.append((np.sum(table[drawn] > table[items[-1]]), np.sum(table[drawn] == table[items[-1]])))
    values = metrics.per_request(Ranks(*np.array(ranks).T), (5, 10, 50))
    assert_close(found["overall"], {name: float(v.mean()) for name, v in values.items()})


@pytest.mark.parametrize("seed", range(5))
def test_chosen_users_do_not_depend_on_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    draws = [(user_hash(f"{n}".encode(), "s"), f"{n}".encode(), int(rng.integers(1, 5))) for n in range(100)]
    combine = SmallestHashes(20)
    rng.shuffle(draws)  # type: ignore[arg-type]
    parts = [combine.create_accumulator() for _ in range(3)]
    for n, draw in enumerate(draws):
        parts[n % 3] = combine.add_input(parts[n % 3], draw)
    chosen = combine.extract_output(combine.merge_accumulators(parts))
    total, expected = 0, set()
    for _, user, count in sorted(draws):
        if total >= 20:
            break
        expected.add(user)
        total += count
    assert chosen == expected
