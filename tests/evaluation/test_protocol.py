"""Full and sampled ranking against scores known by item, and the independence of the sampled negatives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from seminar_tf.config import EvaluationConfig
from seminar_tf.evaluation import protocol
from seminar_tf.evaluation.ranks import ScoreError
from seminar_tf.evaluation.requests import Request

KNOWN = 37


class TableModel:
    """Scores a candidate by a fixed table, plus the number of history pairs it was given."""

    def __init__(self, table: Sequence[float], history_length: int = 4) -> None:
        self.table = np.asarray(table, np.float32)
        self.history_length = history_length
        self.widths: set[int] = set()

    def score(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        self.widths.add(batch["candidate_item_id"].shape[1])
        assert batch["history_item_id"].shape[1] == self.history_length
        return self.table[batch["candidate_item_id"]] + (batch["history_item_id"] > 0).sum(1, keepdims=True)


def make_request(user: str, history: list[int], targets: list[int], labels: list[float]) -> Request:
    n = len(history)
    return Request(
        user=user.encode(),
        position=n,
        item=np.array(history, np.int32),
        query=np.ones(n, np.int32),
        timestamp=np.arange(n, dtype=np.int64),
        user_attributes=np.array([1], np.int32),
        request_query=1,
        request_timestamp=99,
        target_item=np.array(targets, np.int32),
        target_label=np.array(labels, np.float32),
    )


@pytest.mark.parametrize("exclude_history", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_full_ranking_equals_brute_force(seed: int, exclude_history: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "CANDIDATES_PER_CALL", 8)
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 5, KNOWN + 4) / 8
    requests = [
        make_request(f"u{n}", rng.integers(1, KNOWN + 1, n).tolist(), [int(rng.integers(1, KNOWN + 4)), 3], [1.0, 0.0])
        for n in range(40)
    ]
    model = TableModel(table)
    catalog = np.arange(1, KNOWN + 1, dtype=np.int32)
    config = EvaluationConfig(exclude_history=exclude_history)
    outcomes = list(protocol.rank(model, requests, catalog, config, seed, "test"))
    assert len(outcomes) == 40
    assert model.widths == {8}
    for request, outcome in zip(requests, outcomes):
        true = int(request.target_item[0])
        others = [i for i in range(1, KNOWN + 1) if i != true and not (exclude_history and i in request.item)]
        assert outcome.higher.tolist() == [sum(table[i] > table[true] for i in others), -1]
        assert outcome.ties.tolist() == [sum(table[i] == table[true] for i in others), -1]
        np.testing.assert_allclose(outcome.score, table[request.target_item] + min(4, len(request.item)))


@pytest.mark.parametrize("seed", range(3))
def test_sampled_ranking_equals_brute_force_over_the_drawn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 5, KNOWN + 1) / 8
    requests = [make_request(f"u{n}", [1, 2], [n % KNOWN + 1, 5], [1.0, float(n % 2)]) for n in range(50)]
    config = EvaluationConfig(candidates="sampled", negatives=9)
    catalog = np.arange(1, KNOWN + 1, dtype=np.int32)
    for request, outcome in zip(requests, protocol.rank(TableModel(table), requests, catalog, config, seed, "test")):
        for n, true in enumerate(request.target_item):
            if request.target_label[n] <= 0.5:
                assert outcome.higher[n] == outcome.ties[n] == -1
                continue
            drawn = protocol.draw_negatives(request, int(true), catalog, 9, seed, "test", np.empty(0, np.int32))
            assert len(set(drawn.tolist())) == 9 and true not in drawn
            assert outcome.higher[n] == sum(table[drawn] > table[true])
            assert outcome.ties[n] == sum(table[drawn] == table[true])


def test_fault_9_negatives_are_drawn_apart_for_each_split_and_seed() -> None:
    catalog = np.arange(1, 1001, dtype=np.int32)
    request = make_request("u", [1], [7], [1.0])

    def draw(seed: int, split: str) -> set[int]:
        return set(protocol.draw_negatives(request, 7, catalog, 50, seed, split, np.empty(0, np.int32)).tolist())

    assert draw(1, "test") == draw(1, "test")
    assert draw(1, "test") != draw(2, "test")
    assert draw(1, "test") != draw(1, "eval")


def test_negatives_are_uniform_and_leave_out_what_is_barred() -> None:
    catalog = np.arange(1, 21, dtype=np.int32)
    counts = np.zeros(21, int)
    for n in range(2000):
        request = make_request(f"u{n}", [2, 3], [7], [1.0])
        counts[protocol.draw_negatives(request, 7, catalog, 5, 0, "test", request.item)] += 1
    assert counts[[0, 2, 3, 7]].tolist() == [0, 0, 0, 0]
    expected = 2000 * 5 / 17
    assert np.abs(counts[counts > 0] - expected).max() < 5 * np.sqrt(expected)
    few = protocol.draw_negatives(make_request("u", [], [7], [1.0]), 7, catalog, 99, 0, "test", np.empty(0, np.int32))
    assert sorted(few.tolist()) == [i for i in range(1, 21) if i != 7]


def test_fault_7_constant_model_is_worth_a_random_order() -> None:
    requests = [make_request(f"u{n}", [1], [n + 1], [1.0]) for n in range(KNOWN)]
    catalog = np.arange(1, KNOWN + 1, dtype=np.int32)
    model = TableModel(np.full(KNOWN + 1, 0.5))
    for outcome in protocol.rank(model, requests, catalog, EvaluationConfig(), 0, "test"):
        assert (outcome.higher[0], outcome.ties[0]) == (0, KNOWN - 1)


def test_nan_score_names_user_and_position() -> None:
    table = np.zeros(KNOWN + 1)
    table[9] = np.nan
    requests = [make_request("ann", [1, 2, 3], [5], [1.0])]
    catalog = np.arange(1, KNOWN + 1, dtype=np.int32)
    with pytest.raises(ScoreError, match="request of user ann at position 3: the model gave NaN for 1 "):
        list(protocol.rank(TableModel(table), requests, catalog, EvaluationConfig(), 0, "test"))
