"""Reliability bins against loops, ties, and what calibrated and uncalibrated models come to."""

from __future__ import annotations

import math

import numpy as np
import pytest

from seminar_tf.evaluation.calibration import reliability


def _oracle(labels: np.ndarray, probabilities: np.ndarray, bins: int) -> list[tuple[int, float, float, float, float]]:
    """Rows in order of prediction; each goes to the bin of its place, ties to that of the first among them."""
    rows = sorted(zip(probabilities.tolist(), labels.tolist()))
    groups: dict[int, list[tuple[float, float]]] = {}
    for place, row in enumerate(rows):
        while place and rows[place - 1][0] == row[0]:
            place -= 1
        groups.setdefault(place * bins // len(rows), []).append(row)
    table = []
    for _, group in sorted(groups.items()):
        p = [row[0] for row in group]
        table.append((len(p), min(p), max(p), sum(p) / len(p), sum(row[1] > 0.5 for row in group) / len(p)))
    return table


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("rows, digits", [(1, 6), (7, 6), (200, 6), (200, 1)])
def test_bins_equal_the_oracle(seed: int, rows: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    p = np.round(rng.beta(1, 5, rows), digits)
    labels = (rng.uniform(size=rows) < p).astype(np.float32)
    found = reliability(labels, p, 10)
    wanted = _oracle(labels, p, 10)
    columns = zip(found.count, found.low, found.high, found.predicted, found.observed)
    np.testing.assert_allclose(list(columns), wanted, atol=1e-12)
    error = sum(n * abs(predicted - observed) for n, _, _, predicted, observed in wanted) / rows
    assert found.expected_error == pytest.approx(error)
    assert found.mean_predicted == pytest.approx(p.mean()) and found.mean_observed == pytest.approx(labels.mean())
    if labels.any():
        assert found.ratio == pytest.approx(p.mean() / labels.mean())
    order = rng.permutation(rows)
    np.testing.assert_allclose(reliability(labels[order], p[order], 10).observed, found.observed)


def test_bins_without_ties_have_equal_mass() -> None:
    p = np.random.default_rng(0).permutation(600) / 600
    found = reliability(np.zeros(600), p, 15)
    assert found.count.tolist() == [40] * 15
    assert (found.low[1:] > found.high[:-1]).all()


def test_a_calibrated_model_has_no_error_but_chance_and_one_too_sure_has() -> None:
    rng = np.random.default_rng(1)
    p = rng.beta(1, 6, 200_000) / 2
    labels = rng.uniform(size=len(p)) < p
    good = reliability(labels, p)
    assert good.expected_error < 0.004 and good.ratio == pytest.approx(1, abs=0.02)
    low, high = good.interval()
    assert np.mean((low <= good.predicted) & (good.predicted <= high)) > 0.8
    sure = reliability(labels, 2 * p)
    assert sure.ratio == pytest.approx(2, abs=0.03)
    assert sure.expected_error == pytest.approx(sure.mean_predicted - sure.mean_observed, rel=0.01)


def test_a_constant_model_is_one_bin() -> None:
    found = reliability(np.array([1, 0, 0, 0]), np.full(4, 0.3))
    assert found.count.tolist() == [4] and found.observed.tolist() == [0.25]
    assert found.expected_error == pytest.approx(0.05)


@pytest.mark.parametrize("hits, rows", [(0, 10), (3, 10), (10, 10), (50, 1000)])
def test_intervals_are_wilsons(hits: int, rows: int) -> None:
    """Its ends are the rates that lie 1.96 of their own standard errors away from the observed one."""
    found = reliability(np.arange(rows) < hits, np.full(rows, 0.5))
    for end in (x[0] for x in found.interval()):
        if 0 < end < 1:
            error = math.sqrt(end * (1 - end) / rows)
            assert abs(hits / rows - end) == pytest.approx(1.959964 * error, rel=1e-4, abs=1e-7)
        else:
            assert end == hits / rows


def test_no_rows_and_nothing_true() -> None:
    none = reliability(np.zeros(0), np.zeros(0))
    assert none.rows == 0 and math.isnan(none.expected_error) and math.isnan(none.ratio)
    assert math.isnan(reliability(np.zeros(3), np.full(3, 0.2)).ratio)


def test_logits_and_arrays_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="Are these logits"):
        reliability(np.array([1, 0]), np.array([0.5, -1.0]))
    with pytest.raises(ValueError, match="Are these logits"):
        reliability(np.array([1, 0]), np.array([0.5, np.nan]))
    with pytest.raises(ValueError, match="a label for each prediction"):
        reliability(np.zeros(3), np.zeros(2))
