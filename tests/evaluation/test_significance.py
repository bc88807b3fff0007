"""Intervals over seeds and paired bootstraps over users, against loops and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from seminar_tf.evaluation import significance
from seminar_tf.evaluation.significance import mean_interval, paired_bootstrap, user_means


@pytest.mark.parametrize("values, t", [((0.1, 0.2, 0.6), 4.30265), ((1.0, 2.0, 4.0, 8.0, 5.0), 2.77645)])
def test_mean_interval_is_students(values: tuple[float, ...], t: float) -> None:
    mean, half = mean_interval(values)
    spread = math.sqrt(sum((x - sum(values) / len(values)) ** 2 for x in values) / (len(values) - 1))
    assert mean == pytest.approx(sum(values) / len(values))
    assert half == pytest.approx(t * spread / math.sqrt(len(values)), rel=1e-5)


def test_mean_interval_holds_the_truth_95_times_of_100() -> None:
    rng = np.random.default_rng(0)
    inside = [abs(mean - 3.0) <= half for mean, half in (mean_interval(rng.normal(3, 2, 3)) for _ in range(4000))]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.012)  # 3.5 standard errors


@pytest.mark.parametrize("values", [(), (0.1, float("nan"), 0.2)])
def test_no_value_and_values_that_are_none_are_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="one finite value a seed"):
        mean_interval(values)


@pytest.mark.parametrize("seeds", [1, 2])
def test_fault_10_fewer_than_three_seeds_have_no_interval(seeds: int) -> None:
    mean, half = mean_interval([0.3] * seeds)
    assert mean == pytest.approx(0.3) and math.isnan(half)
    assert not math.isnan(mean_interval([0.3, 0.31, 0.32])[1])


def test_fault_10_rankers_are_compared_user_by_user() -> None:
    """A small gain of every user counts, though users differ by far more than it; the same gain unpaired would not."""
    rng = np.random.default_rng(1)
    level = rng.uniform(0, 1, 300)
    a, b = level + 0.01 + rng.normal(0, 0.02, 300), level
    found = paired_bootstrap(a, b)
    assert found.low > 0 and found.p_value < 0.001 and found.users == 300
    shuffled = paired_bootstrap(a, rng.permutation(b))
    assert shuffled.mean == pytest.approx(found.mean) and shuffled.low < 0 < shuffled.high
    assert shuffled.p_value > 0.05


def test_fault_10_requests_of_one_user_are_no_independent_draws() -> None:
    """Every request twenty times over: with users drawn again the interval stays as it was."""
    rng = np.random.default_rng(2)
    users, values = np.arange(50), rng.normal(0.1, 1, 50)
    again = np.repeat(users, 20)
    names, means = user_means(np.repeat(values, 20), again)
    np.testing.assert_array_equal(names, users)
    np.testing.assert_allclose(means, values)
    zeros = np.zeros(50)
    one, many = paired_bootstrap(values, zeros), paired_bootstrap(means, zeros)
    assert (many.low, many.high) == pytest.approx((one.low, one.high))


@pytest.mark.parametrize("seed", [0, 1])
def test_user_means_equal_a_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    users, values = rng.choice([b"b", b"a", b"c"], 40), rng.normal(size=40)
    names, means = user_means(values, users)
    assert names.tolist() == [b"a", b"b", b"c"]
    for name, mean in zip(names, means):
        assert mean == pytest.approx(sum(v for v, u in zip(values, users) if u == name) / (users == name).sum())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_bootstrap_of_many_users_is_the_normal_law(seed: int) -> None:
    rng = np.random.default_rng(seed)
    difference = rng.normal(0.03, 0.5, 900)
    b = rng.uniform(size=900)
    found = paired_bootstrap(b + difference, b, samples=20_000, seed=seed)
    mean, error = difference.mean(), difference.std() / math.sqrt(900)
    assert found.mean == pytest.approx(mean)
    assert found.low == pytest.approx(mean - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(mean + 1.96 * error, abs=0.1 * error)
    assert found.p_value == pytest.approx(math.erfc(abs(mean) / error / math.sqrt(2)), abs=0.02)


def test_bootstrap_of_two_users_is_the_binomial_law() -> None:
    """Means of two draws from {0, 1}: 0, 1/2, 1 with chances 1/4, 1/2, 1/4; half of them lie 1/2 away from 1/2."""
    found = paired_bootstrap(np.array([0.0, 1.0]), np.zeros(2), samples=40_000)
    assert (found.mean, found.low, found.high) == (0.5, 0.0, 1.0)
    assert found.p_value == pytest.approx(0.5, abs=0.01)


def test_bootstrap_equals_a_loop_in_one_part_or_in_many(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    a, b = rng.uniform(size=7), rng.uniform(size=7)
    whole = paired_bootstrap(a, b, samples=101, seed=4)
    draws = np.random.default_rng(4).integers(0, 7, (101, 7))
    means = [sum(a[u] - b[u] for u in row) / 7 for row in draws]
    far = sum(abs(m - whole.mean) >= abs(whole.mean) for m in means)
    assert whole.p_value == pytest.approx((far + 1) / 102)
    assert whole.low == pytest.approx(np.percentile(means, 2.5))
    monkeypatch.setattr(significance, "_CHUNK", 70)
    assert paired_bootstrap(a, b, samples=101, seed=4) == whole


def test_alike_rankers_differ_by_nothing() -> None:
    values = np.random.default_rng(0).uniform(size=20)
    found = paired_bootstrap(values, values)
    assert (found.mean, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    "a, b, message",
    [
        (np.zeros(3), np.zeros(4), "the same two or more users twice"),
        (np.zeros(1), np.zeros(1), "the same two or more users twice"),
        (np.zeros((2, 2)), np.zeros((2, 2)), "the same two or more users twice"),
        (np.array([0.0, np.nan]), np.zeros(2), "not finite"),
    ],
)
def test_users_that_do_not_match_are_refused(a: np.ndarray, b: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_bootstrap(a, b)


def test_users_of_more_weight_count_more() -> None:
    """Whole weights are as many copies of a user that are drawn together."""
    rng = np.random.default_rng(4)
    a, b, weights = rng.normal(0.2, 1, 40), rng.normal(0, 1, 40), rng.integers(1, 6, 40)
    found = paired_bootstrap(a, b, weights=weights)
    assert found.mean == pytest.approx(np.average(a - b, weights=weights)) and found.users == 40
    drawn = rng.integers(0, 40, (20_000, 40))
    means = (weights * (a - b))[drawn].sum(axis=1) / weights[drawn].sum(axis=1)
    np.testing.assert_allclose((found.low, found.high), np.percentile(means, (2.5, 97.5)), atol=0.02)
    alike = paired_bootstrap(a, b, weights=np.full(40, 3))
    assert (alike.mean, alike.low, alike.high) == pytest.approx(
        [getattr(paired_bootstrap(a, b), name) for name in ("mean", "low", "high")]
    )


@pytest.mark.parametrize("weights", [np.ones(3), np.zeros(4), np.array([1, 1, 1, np.nan])])
def test_weights_that_are_none_are_refused(weights: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected 4 weights above 0"):
        paired_bootstrap(np.ones(4), np.zeros(4), weights=weights)
