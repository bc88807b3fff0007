"""Ranks and metrics against a brute-force oracle that tries every order of the tied candidates."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from seminar_tf.evaluation import metrics
from seminar_tf.evaluation.ranks import Ranks, ScoreError, count_ranks

CUTOFFS = (1, 2, 3, 5, 10)


def by_permutation(scores: list[float], true_index: int, metric: str, k: int) -> float:
    """Mean of the metric over every way to sort the candidates by score, best first."""
    values = []
    for order in itertools.permutations(range(len(scores))):
        if any(scores[a] < scores[b] for a, b in itertools.pairwise(order)):
            continue
        position = order.index(true_index) + 1
        if metric == "mrr":
            values.append(1 / position)
        elif metric == "hit":
            values.append(float(position <= k))
        else:
            values.append(1 / math.log2(position + 1) if position <= k else 0.0)
    return float(np.mean(values))


@pytest.mark.parametrize("seed", range(8))
def test_metrics_equal_brute_force_over_tie_orders(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 3, size=(4, 6)).astype(np.float32)
    true_index = rng.integers(0, 6, size=4)
    got = metrics.per_request(count_ranks(scores, true_index), CUTOFFS)
    for row in range(4):
        s, t = scores[row].tolist(), int(true_index[row])
        for k in CUTOFFS:
            assert got[metrics.ndcg_name(k)][row] == pytest.approx(by_permutation(s, t, "ndcg", k))
            assert got[metrics.hit_name(k)][row] == pytest.approx(by_permutation(s, t, "hit", k))
        assert got["mrr"][row] == pytest.approx(by_permutation(s, t, "mrr", 0))


@pytest.mark.parametrize("n", [1, 7, 100, 5000])
def test_fault_7_constant_scores_give_random_expectation(n: int) -> None:
    got = metrics.per_request(count_ranks(np.full((3, n), 0.25), np.array([0, n // 2, n - 1])), CUTOFFS)
    positions = np.arange(1, n + 1)
    for k in CUTOFFS:
        np.testing.assert_allclose(got[metrics.hit_name(k)], min(k, n) / n)
        expected = np.where(positions <= k, 1 / np.log2(positions + 1), 0).mean()
        np.testing.assert_allclose(got[metrics.ndcg_name(k)], expected)
    np.testing.assert_allclose(got["mrr"], np.mean(1 / positions))


@pytest.mark.parametrize("higher", [0, 5, 300, 10**7])
@pytest.mark.parametrize("ties", [0, 1, 250, 1000])
def test_mrr_keeps_its_digits(higher: int, ties: int) -> None:
    expected = math.fsum(1 / p for p in range(higher + 1, higher + ties + 2)) / (ties + 1)
    got = metrics.mrr(Ranks(np.array([higher]), np.array([ties])))[0]
    assert got == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("seed", range(3))
def test_columns_that_are_no_candidates_change_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, true_index = rng.integers(0, 4, (5, 9)).astype(float), rng.integers(0, 9, 5)
    padded = np.concatenate([scores, np.full((5, 4), 99.0)], axis=1)
    padded[:, -1] = np.nan
    mask = np.concatenate([np.ones((5, 9), bool), np.zeros((5, 4), bool)], axis=1)
    plain, masked = count_ranks(scores, true_index), count_ranks(padded, true_index, mask)
    np.testing.assert_array_equal(plain.higher, masked.higher)
    np.testing.assert_array_equal(plain.ties, masked.ties)


def test_nan_names_the_request() -> None:
    scores = np.zeros((3, 4))
    scores[1, 2] = np.nan
    with pytest.raises(ScoreError, match=r"request user-b: the model gave NaN for 1 of its candidates; 1 of 3"):
        count_ranks(scores, np.zeros(3, int), names=["user-a", "user-b", "user-c"])
    with pytest.raises(ScoreError, match="true item"):
        count_ranks(scores, np.array([0, 2, 0]))


@pytest.mark.parametrize("seed", range(5))
def test_fault_8_invariants_hold_for_any_ranks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ranks = Ranks(rng.integers(0, 60, 500), rng.integers(0, 20, 500) * rng.integers(0, 2, 500))
    values = metrics.per_request(ranks, (1, 5, 10, 50))
    np.testing.assert_allclose(values["ndcg_at_1"], values["hit_at_1"])
    metrics.check_invariants({name: v.mean() for name, v in values.items()})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"ndcg_at_5": 0.40, "hit_at_5": 0.35}, "ndcg_at_5 is 0.400000, above hit_at_5"),
        ({"ndcg_at_1": 0.10, "hit_at_1": 0.12}, "hit_at_1 is 0.120000, above ndcg_at_1"),
        ({"ndcg_at_1": 0.12, "hit_at_1": 0.12, "mrr": 0.11}, "above mrr"),
        ({"ndcg_at_5": 0.3, "hit_at_5": 0.6, "mrr": 0.11}, "hit_at_5 is 0.600000, above 5 times mrr"),
        ({"ndcg_at_5": 0.3, "hit_at_5": 1.2, "mrr": 0.9}, "hit_at_5 is between 1.200000 and 1.200000, expected 0 to 1"),
        ({"ndcg_at_5": 0.3, "ndcg_at_10": 0.2, "hit_at_5": 0.5, "hit_at_10": 0.5}, "above ndcg_at_10"),
        ({"ndcg_at_5": 0.1, "ndcg_at_10": 0.2, "hit_at_5": 0.5, "hit_at_10": 0.4}, "above hit_at_10"),
    ],
)
def test_fault_8_impossible_rows_are_refused(row: dict, message: str) -> None:
    with pytest.raises(metrics.InvariantError, match=message):
        metrics.check_invariants({name: np.asarray(v) for name, v in row.items()})


@pytest.mark.parametrize("seed", range(4))
def test_auc_and_log_loss_equal_pairwise_oracle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.array([0, 1, *rng.integers(0, 2, 30)])
    scores = rng.integers(1, 9, 32) / 10
    pairs = [
        (a > b) + 0.5 * (a == b)
        for a, la in zip(scores, labels)
        for b, lb in zip(scores, labels)
        if la == 1 and lb == 0
    ]
    assert metrics.auc(labels, scores) == pytest.approx(np.mean(pairs))
    oracle = -np.mean([math.log(s if label else 1 - s) for s, label in zip(scores, labels)])
    assert metrics.log_loss(labels, scores) == pytest.approx(oracle)
    assert math.isnan(metrics.auc(np.ones(3), np.zeros(3)))


def test_interval_counts_users_not_requests() -> None:
    rng = np.random.default_rng(0)
    by_user = rng.random(50)
    once = metrics.summarize({"x": by_user}, np.arange(50))["x"]
    ten_times = metrics.summarize({"x": np.repeat(by_user, 10)}, np.repeat(np.arange(50), 10))["x"]
    assert once.mean == pytest.approx(by_user.mean())
    assert once.high - once.mean == pytest.approx(metrics.Z_95 * by_user.std(ddof=1) / np.sqrt(50))
    assert (ten_times.low, ten_times.high) == pytest.approx((once.low, once.high))
    assert (ten_times.requests, ten_times.users) == (500, 50)


def test_interval_covers_the_truth_in_95_of_100() -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(400):
        users = rng.integers(0, 60, 300)
        x = rng.normal(size=60)[users] + rng.normal(size=300)
        estimate = metrics.summarize({"x": x}, users)["x"]
        inside += estimate.low <= 0 <= estimate.high
    assert 0.91 <= inside / 400 <= 0.98
