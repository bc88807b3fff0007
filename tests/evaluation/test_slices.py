"""Slices of many targets equal those of each, and every reported row obeys the invariants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from seminar_tf.config import EvaluationConfig
from seminar_tf.evaluation.metrics import InvariantError, summarize
from seminar_tf.evaluation.slices import SLICE_FEATURES, slice_columns, slice_means, slice_values
from seminar_tf.training.ranking import TargetMetrics, ranking_metrics, target_metrics
from tests.evaluation.test_protocol import KNOWN, TableModel, make_request


def _requests(seed: int) -> tuple[list, np.ndarray]:
    rng = np.random.default_rng(seed)
    counts = np.append(0, rng.integers(0, 4, KNOWN) ** 6)
    requests = []
    for n in range(60):
        made = make_request(
            f"u{n}", [1] * int(rng.integers(0, 120)), rng.integers(1, KNOWN + 1, 3).tolist(), [1.0, 0.0, 1.0]
        )
        requests.append(replace(made, request_query=int(rng.integers(1, 3))))
    return requests, counts


@pytest.mark.parametrize("seed", range(3))
def test_columns_equal_one_by_one(seed: int) -> None:
    requests, counts = _requests(seed)
    columns = slice_columns(requests, counts)
    assert tuple(columns) == SLICE_FEATURES
    row = 0
    for request in requests:
        for item in request.target_item.tolist():
            expected = slice_values(request, int(counts[item]))
            assert {name: column[row] for name, column in columns.items()} == expected
            assert expected["item"] == ("warm" if counts[item] else "cold")
            assert expected["request_kind"] == ("browse" if request.request_query == 1 else "search")
            row += 1
    assert all(len(column) == row for column in columns.values())
    assert all(len(column) == 0 for column in slice_columns([], counts).values())


@pytest.mark.parametrize("candidates", ["full", "popular"])
def test_means_of_slices_are_those_of_their_targets(candidates: str) -> None:
    requests, counts = _requests(4)
    model = TableModel(np.random.default_rng(0).integers(0, 4, KNOWN + 1) / 4, history_length=4)
    catalog = np.arange(1, KNOWN + 1, dtype=np.int32)
    config = EvaluationConfig(candidates=candidates, negatives=8, cutoffs=(1, 5, 10))
    found = target_metrics(model, requests, catalog, config, 1, "test", counts)
    assert found is not None and len(found.users) == 120
    means = found.slice_means()
    assert {"request_kind:browse", "request_kind:search", "item:cold", "item:warm"} <= set(means)
    for name, row in means.items():
        feature, value = name.split(":")
        taken = found.slices[feature] == value
        assert row["targets"] == taken.sum() > 0
        assert row["mrr"] == pytest.approx(found.values["mrr"][taken].mean())
    for feature in SLICE_FEATURES:
        rows = [row for name, row in means.items() if name.startswith(f"{feature}:")]
        total = sum(row["targets"] * row["ndcg_at_10"] for row in rows)
        assert total / 120 == pytest.approx(found.means()["ndcg_at_10"])
    assert ranking_metrics(model, requests, catalog, config, 1, "test", counts) == found.means()


def test_fault_8_an_impossible_row_is_refused_wherever_it_is_reported() -> None:
    values = {"ndcg_at_5": np.array([0.1, 0.9]), "hit_at_5": np.array([0.4, 0.8]), "mrr": np.array([0.3, 0.7])}
    columns = {"item": np.array(["cold", "warm"])}
    with pytest.raises(InvariantError, match=r"ndcg_at_5 is 0.9.* \(slice item:warm\): no ranking gives that"):
        slice_means(values, columns)
    broken = {"ndcg_at_5": np.full(2, 0.9), "hit_at_5": np.full(2, 0.8)}
    with pytest.raises(InvariantError, match=r"\(means\)"):
        TargetMetrics(np.array([b"a", b"b"]), np.array([1, 2]), broken).means()
    with pytest.raises(InvariantError, match=r"\(means\)"):
        summarize(broken, np.arange(2))
