"""Many rankers on the same users: Holm's correction, averages over seeds, and the sentences that say what is real."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from seminar_tf.evaluation.comparisons import Comparison, UserValues, compare_rankers, seed_average
from seminar_tf.evaluation.significance import PairedDifference, holm, paired_bootstrap


def _holm_by_hand(p_values: list[float]) -> list[float]:
    """Adjusted p: the least alpha at which step-down rejection, one test after another, still rejects it."""
    ordered = sorted(range(len(p_values)), key=lambda n: p_values[n])
    result, floor = [0.0] * len(p_values), 0.0
    for step, n in enumerate(ordered):
        floor = max(floor, min(1.0, p_values[n] * (len(p_values) - step)))
        result[n] = floor
    return result


@pytest.mark.parametrize("seed", range(4))
def test_holm_equals_the_step_down_by_hand(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = np.round(rng.uniform(size=9) ** 3, 2).tolist()
    np.testing.assert_allclose(holm(p), _holm_by_hand(p))
    order = rng.permutation(9)
    np.testing.assert_allclose(holm(np.array(p)[order]), np.array(_holm_by_hand(p))[order])


def test_holm_of_a_known_example_and_of_no_p_values() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([]).shape == (0,)
    with pytest.raises(ValueError, match=r"p-values in \[0, 1\]"):
        holm([0.1, float("nan")])


def _rankers(seed: int, users: int = 200, seeds: int = 3) -> dict[str, list[UserValues]]:
    """`good` is better than the others by 0.02 for every user; `plain` and `other` are alike but for noise."""
    rng = np.random.default_rng(seed)
    level, ids = rng.uniform(0.2, 0.8, users), np.array([f"u{n:03d}".encode() for n in range(users)])
    found: dict[str, list[UserValues]] = {}
    for name, gain in (("plain", 0.0), ("good", 0.02), ("other", 0.0)):
        found[name] = []
        for _ in range(seeds):
            order = rng.permutation(users)
            found[name].append(UserValues(ids[order], (level + gain + rng.normal(0, 0.05, users))[order]))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_all_pairs_equal_single_bootstraps_of_seed_averages(seed: int) -> None:
    rankers = _rankers(seed)
    found = compare_rankers(rankers, "ndcg_at_10", samples=2000, seed=seed)
    assert [(c.a, c.b) for c in found] == list(itertools.combinations(rankers, 2))
    means = {name: seed_average(values).values for name, values in rankers.items()}
    for c in found:
        alone = paired_bootstrap(means[c.a], means[c.b], 2000, seed)
        assert (c.difference.mean, c.difference.low, c.difference.high, c.difference.p_value) == pytest.approx(
            (alone.mean, alone.low, alone.high, alone.p_value)
        )
        assert c.p_holm >= c.difference.p_value
    np.testing.assert_allclose([c.p_holm for c in found], holm([c.difference.p_value for c in found]))


def test_real_differences_are_said_and_others_are_not() -> None:
    found = {(c.a, c.b): c for c in compare_rankers(_rankers(5), "ndcg_at_10", against="good")}
    assert list(found) == [("good", "plain"), ("good", "other")]
    assert all(c.real and c.sentence.startswith(f"good beats {c.b} in ndcg_at_10 by 0.0") for c in found.values())
    alike = compare_rankers({n: v for n, v in _rankers(5).items() if n != "good"}, "mrr")[0]
    assert not alike.real and alike.sentence.startswith("No real difference in mrr between plain and other: ")


def test_the_better_one_comes_first_and_an_interval_around_0_is_no_difference() -> None:
    lost = Comparison("a", "b", "mrr", PairedDifference(-0.02, -0.03, -0.01, 0.001, 50), 0.002, 0.05)
    assert lost.sentence == "b beats a in mrr by 0.0200 [0.0100, 0.0300], p_Holm = 0.002, 50 users."
    wide = Comparison("a", "b", "mrr", PairedDifference(0.02, -0.001, 0.04, 0.03, 50), 0.03, 0.05)
    assert not wide.real


def test_rankers_that_are_alike_are_seldom_called_different() -> None:
    """Ten alike rankers, 45 pairs: without correction most families have a `difference`, with it 1 of 20."""
    rng = np.random.default_rng(0)
    ids = np.arange(60)
    families, plain = 0, 0
    for _ in range(60):
        rankers = {str(n): [UserValues(ids, rng.normal(size=60))] for n in range(10)}
        found = compare_rankers(rankers, "x", samples=1500)
        families += any(c.real for c in found)
        plain += any(c.difference.p_value <= 0.05 for c in found)
    assert families <= 8 < 30 < plain


@pytest.mark.parametrize("seed", [0, 1])
def test_seed_average_is_the_mean_by_user_in_any_order(seed: int) -> None:
    rankers = _rankers(seed)["good"]
    found = seed_average(rankers)
    for user, value in list(zip(found.users, found.values))[:5]:
        each = [float(s.values[s.users.tolist().index(user)]) for s in rankers]
        assert value == pytest.approx(sum(each) / len(each))


def test_users_that_differ_are_refused() -> None:
    one, other = UserValues(np.arange(3), np.zeros(3)), UserValues(np.arange(1, 4), np.zeros(3))
    with pytest.raises(ValueError, match="seed number 1 has 3 users that are not the 3 of the first"):
        seed_average([one, other])
    with pytest.raises(ValueError, match="a user is there twice"):
        seed_average([UserValues(np.array([1, 1]), np.zeros(2))])
    with pytest.raises(ValueError, match="one seed or more"):
        seed_average([])
    with pytest.raises(ValueError, match="b has 3 users that are not the 3 of a"):
        compare_rankers({"a": [one], "b": [other]}, "x")
    with pytest.raises(ValueError, match="two rankers or more"):
        compare_rankers({"a": [one]}, "x")
    with pytest.raises(ValueError, match="against is 'c'"):
        compare_rankers({"a": [one], "b": [one]}, "x", against="c")
    with pytest.raises(ValueError, match="finite values"):
        compare_rankers({"a": [one], "b": [UserValues(np.arange(3), np.full(3, np.nan))]}, "x")
    with pytest.raises(ValueError, match="ask for more samples"):
        compare_rankers({"a": [one], "b": [one]}, "x", samples=10)
