"""Metrics of logged impressions against loops over pairs, and the scoring of requests' targets."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from seminar_tf.evaluation import impressions
from seminar_tf.evaluation.impressions import impression_metrics, score_impressions, score_targets, user_auc
from seminar_tf.evaluation.protocol import assemble
from seminar_tf.evaluation.ranks import ScoreError
from seminar_tf.evaluation.requests import Request, SegmentError
from tests.evaluation.test_protocol import make_request


def _pairwise(labels: np.ndarray, scores: np.ndarray) -> float:
    pairs = [
        (p > n) + 0.5 * (p == n)
        for p, y in zip(scores.tolist(), labels.tolist())
        for n, z in zip(scores.tolist(), labels.tolist())
        if y > 0.5 >= z
    ]
    return sum(pairs) / len(pairs) if pairs else math.nan


def _draw(seed: int, rows: int = 150) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels with unknown ones, probabilities with ties, users some of whom have one class."""
    rng = np.random.default_rng(seed)
    scores = (rng.integers(1, 9, rows) / 10).astype(np.float32)
    labels = (rng.uniform(size=rows) < scores).astype(np.float32)
    labels[rng.uniform(size=rows) < 0.1] = np.nan
    return labels, scores, np.array([f"u{n}".encode() for n in rng.integers(0, 40, rows)])


@pytest.mark.parametrize("seed", range(5))
def test_metrics_equal_loops(seed: int) -> None:
    labels, scores, users = _draw(seed)
    found = impression_metrics(labels, scores, users)
    known = ~np.isnan(labels)
    y, p, u = labels[known], scores[known].astype(np.float64), users[known]
    weighted, weight, left_out = 0.0, 0, 0
    for user in set(u.tolist()):
        own = _pairwise(y[u == user], p[u == user])
        if math.isnan(own):
            left_out += 1
        else:
            weighted += own * int((u == user).sum())
            weight += int((u == user).sum())
    assert left_out > 0
    assert found["gauc"] == pytest.approx(weighted / weight)
    assert found["one_class_users"] == left_out
    assert found["auc"] == pytest.approx(_pairwise(y, p))
    assert found["log_loss"] == pytest.approx(-np.mean([math.log(q if t else 1 - q) for q, t in zip(p, y)]))
    assert found["predicted_to_observed"] == pytest.approx(p.mean() / y.mean())
    assert found["mean_label"] == pytest.approx(y.mean()) and found["mean_prediction"] == pytest.approx(p.mean())
    assert found["impressions"] == known.sum() and tuple(found) == impressions.METRICS


@pytest.mark.parametrize("seed", range(3))
def test_order_of_rows_changes_nothing(seed: int) -> None:
    labels, scores, users = _draw(seed)
    order = np.random.default_rng(seed).permutation(len(users))
    one, other = (
        impression_metrics(labels, scores, users),
        impression_metrics(labels[order], scores[order], users[order]),
    )
    assert one == pytest.approx(other, nan_ok=True)


def test_fault_7_constant_scores_are_worth_a_coin_within_every_user() -> None:
    labels, _, users = _draw(1)
    known = ~np.isnan(labels)
    found = user_auc(labels[known], np.full(known.sum(), 0.3), users[known])
    assert set(found.auc[~np.isnan(found.auc)].tolist()) == {0.5} and found.gauc == 0.5


def test_gauc_does_not_see_what_differs_between_users_only() -> None:
    """Scores that tell users apart and nothing else: AUC is high, GAUC a coin's."""
    rng = np.random.default_rng(0)
    rate = np.repeat(rng.uniform(0.05, 0.95, 100), 30)
    labels, users = (rng.uniform(size=3000) < rate).astype(np.float32), np.repeat(np.arange(100), 30)
    found = impression_metrics(labels, rate, users)
    assert found["auc"] > 0.75 and found["gauc"] == 0.5 and found["expected_error"] < 0.05


def test_no_impression_and_one_class_have_no_auc() -> None:
    none = impression_metrics(np.full(3, np.nan), np.full(3, 0.5), np.arange(3))
    assert none["impressions"] == 0 and none["one_class_users"] == 0
    assert all(math.isnan(none[name]) for name in ("auc", "gauc", "log_loss", "expected_error", "mean_label"))
    same = impression_metrics(np.ones(3), np.full(3, 0.5), np.array([1, 1, 2]))
    assert math.isnan(same["auc"]) and math.isnan(same["gauc"]) and same["one_class_users"] == 2
    assert same["log_loss"] == pytest.approx(math.log(2))


class TwoTasks:
    """Scores by a table of items and the length of the history; `like` is half of `click`."""

    history_length = 4

    def __init__(self, table: np.ndarray) -> None:
        self.table = table.astype(np.float32)

    def task_scores(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        click = self.table[batch["candidate_item_id"]] / (1 + (batch["history_item_id"] > 0).sum(1, keepdims=True))
        return {"click": click, "like": click / 2}


def _labelled(user: str, history: list[int], targets: list[int], labels: list[list[float]]) -> Request:
    made = make_request(user, history, targets, [row[0] for row in labels])
    return replace(made, labels=np.array(labels, np.float32))


@pytest.mark.parametrize("seed", range(3))
def test_impressions_are_scored_as_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = TwoTasks(rng.uniform(size=30))
    requests = []
    for n in range(70):
        width = int(rng.integers(1, 12))
        labels = rng.choice([0.0, 1.0, np.nan], (width, 2)).tolist()
        requests.append(_labelled(f"u{n % 9}", [3] * (n % 6), rng.integers(1, 30, width).tolist(), labels))
    found = score_impressions(model, requests, ("click", "like"))
    row = 0
    for request in requests:
        batch = assemble([request], model.history_length)
        alone = model.task_scores({**batch, "candidate_item_id": request.target_item[np.newaxis]})
        for n in range(len(request.target_item)):
            assert found.users[row] == request.user
            np.testing.assert_array_equal(found.labels[row], request.labels[n])  # type: ignore[index]
            np.testing.assert_allclose(found.scores[row], [alone["click"][0, n], alone["like"][0, n]])
            row += 1
    assert row == len(found.users)
    by_name = found.metrics("click")
    assert set(by_name) == set(impressions.metric_names(("click", "like"), "click"))
    # Halving keeps the order but not the labels: another task is another figure.
    assert by_name["auc"] != by_name["like_auc"]
    mask = found.users == b"u3"
    assert found.metrics("like", mask)["impressions"] == np.isfinite(found.labels[mask, 1]).sum()
    assert score_impressions(model, [], ("click",)).metrics("click")["impressions"] == 0


def test_what_cannot_be_scored_is_told() -> None:
    request = _labelled("ann", [1], [2], [[1.0, 0.0]])
    model = TwoTasks(np.full(5, np.nan))
    with pytest.raises(ScoreError, match="request of user ann at position 1: the model gave NaN for 1 targets"):
        score_targets(model, [request], ["click"])
    with pytest.raises(ScoreError, match=r"scores \['click', 'like'\], not \['buy'\]"):
        score_targets(model, [request], ["buy"])
    with pytest.raises(SegmentError, match=r"labels of shape \(1, 2\), expected \(1, 1\)"):
        score_impressions(model, [request], ("click",))
    with pytest.raises(SegmentError, match="labels of shape None"):
        score_impressions(model, [replace(request, labels=None)], ("click",))
