"""Negatives in proportion to popularity: their law, what is left out, and that nothing else moves them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from seminar_tf.config import EvaluationConfig
from seminar_tf.evaluation import candidates, protocol
from seminar_tf.evaluation.candidates import CandidateError, PopularNegatives, UniformNegatives, negatives_of
from tests.evaluation.test_protocol import TableModel, make_request

NONE = np.empty(0, np.int32)


def _successive(weights: dict[int, float], count: int) -> dict[int, float]:
    """Chance of each item to be among `count` drawn one after the other, by every order."""
    chance = dict.fromkeys(weights, 0.0)
    for order in itertools.permutations(weights, count):
        left, p = sum(weights.values()), 1.0
        for item in order:
            p *= weights[item] / left
            left -= weights[item]
        for item in order:
            chance[item] += p
    return chance


@pytest.mark.parametrize("race", [False, True])
@pytest.mark.parametrize("counts", [[0, 5, 1, 2, 0, 9, 3, 4], [0, 1, 1, 1, 1, 200, 1, 1]])
def test_draws_follow_successive_sampling(counts: list[int], race: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if race:
        monkeypatch.setattr(candidates, "_LEAST_MASS", 2.0)  # the exponential race alone
    catalog = np.arange(1, 8, dtype=np.int32)
    negatives = PopularNegatives(catalog, np.array(counts))
    expected = _successive({i: float(c) for i, c in enumerate(counts) if c and i not in (2, 6)}, 2)
    found, draws = np.zeros(8), 3000
    for n in range(draws):
        drawn = negatives.draw(make_request(f"u{n}", [6], [2], [1.0]), 2, 2, 0, "test", np.array([6]))
        assert len(set(drawn.tolist())) == 2
        found[drawn] += 1 / draws
    for item in range(8):
        p = expected.get(item, 0.0)
        assert found[item] == pytest.approx(p, abs=5 * np.sqrt(p * (1 - p) / draws) + 1e-9), item


@pytest.mark.parametrize("seed", range(3))
def test_what_is_barred_is_never_drawn_and_all_others_come_when_asked(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = np.append(0, rng.integers(0, 4, 40) ** 6)
    catalog = np.arange(1, 41, dtype=np.int32)
    history = rng.integers(1, 50, 9)
    # An item outside the catalog is a target all the same.
    for target in (int(history[0]), 45, 7):
        request = make_request("u", history.tolist(), [target], [1.0])
        drawn = PopularNegatives(catalog, counts).draw(request, target, 99, seed, "test", history)
        assert drawn.dtype == np.int32
        assert sorted(drawn) == sorted(set(catalog[counts[1:] > 0]) - set(history.tolist()) - {target})


def test_fault_9_popular_negatives_are_drawn_apart_for_each_split_and_seed() -> None:
    counts = np.append(0, np.random.default_rng(0).zipf(1.5, 3000))
    catalog = np.arange(1, 3001, dtype=np.int32)
    popular, uniform = PopularNegatives(catalog, counts), UniformNegatives(catalog)

    def draw(seed: int, split: str, who: candidates.Negatives = popular, user: str = "u") -> list[int]:
        return who.draw(make_request(user, [1], [7], [1.0]), 7, 50, seed, split, NONE).tolist()

    assert draw(1, "test") == draw(1, "test")
    assert len({tuple(draw(seed, split)) for seed in (1, 2) for split in ("eval", "test")}) == 4
    assert set(draw(1, "test")) != set(draw(1, "test", uniform))
    assert draw(1, "test") != draw(1, "test", user="v")


def test_a_few_items_with_nearly_all_mass_do_not_stop_the_draw() -> None:
    counts = np.ones(100_001, np.int64)
    counts[1:4] = 10**12
    negatives = PopularNegatives(np.arange(1, 100_001, dtype=np.int32), counts)
    drawn = negatives.draw(make_request("u", [], [9], [1.0]), 9, 99, 0, "test", NONE)
    assert len(set(drawn.tolist())) == 99 and {1, 2, 3} <= set(drawn.tolist()) and 9 not in drawn


@pytest.mark.parametrize("seed", range(2))
def test_ranks_equal_brute_force_over_the_drawn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table, counts = rng.integers(0, 5, 38) / 8, np.append(0, rng.integers(0, 30, 37))
    catalog = np.arange(1, 38, dtype=np.int32)
    requests = [make_request(f"u{n}", [1, 2], [n % 37 + 1, 5], [1.0, 0.0]) for n in range(40)]
    config = EvaluationConfig(candidates="popular", negatives=9, exclude_history=True)
    outcomes = protocol.rank(TableModel(table), requests, catalog, config, seed, "test", counts)
    for request, outcome in zip(requests, outcomes):
        true = int(request.target_item[0])
        drawn = negatives_of(config, catalog, counts).draw(request, true, 9, seed, "test", request.item)
        assert not set(drawn.tolist()) & {1, 2, true} and len(drawn) == 9
        assert outcome.higher.tolist() == [np.sum(table[drawn] > table[true]), -1]
        assert outcome.ties.tolist() == [np.sum(table[drawn] == table[true]), -1]


def test_counts_that_are_missing_or_useless_are_told() -> None:
    config, catalog = EvaluationConfig(candidates="popular"), np.arange(1, 5, dtype=np.int32)
    with pytest.raises(CandidateError, match="no item_count was given"):
        list(protocol.rank(TableModel([0.0] * 5), [make_request("u", [], [1], [1.0])], catalog, config, 0, "test"))
    with pytest.raises(CandidateError, match="nothing but 0"):
        negatives_of(config, catalog, np.zeros(5))
    with pytest.raises(CandidateError, match="negative one"):
        negatives_of(config, catalog, np.array([0, 1, -1, 2, 3]))
    with pytest.raises(CandidateError, match="up to 4, but item_count has 4 rows"):
        negatives_of(config, catalog, np.ones(4))
