"""Names beside the picture of quality against time: near to their points, in order, never one over another."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.experiment.plots import apart


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [1, 2, 12, 40])
def test_places_are_in_order_apart_and_inside(seed, count):
    values = np.sort(np.random.default_rng(seed).normal(0.3, 0.05, count).clip(0.2, 0.5))
    places = apart(values, 0.2, 0.5, 0.015)
    assert places.shape == (count,)
    assert np.all(np.diff(places) >= min(0.015, 0.3 / max(count - 1, 1)) - 1e-12)
    assert places.min() >= 0.2 - 1e-12 and places.max() <= 0.5 + 1e-12


def test_values_that_are_apart_stay_where_they_are():
    values = np.array([0.21, 0.3, 0.45])
    np.testing.assert_allclose(apart(values, 0.2, 0.5, 0.02), values)


def test_equal_values_are_spread_about_where_they_are():
    np.testing.assert_allclose(apart(np.full(3, 0.3), 0.0, 1.0, 0.1), [0.2, 0.3, 0.4])


def test_nothing_has_no_place():
    assert apart(np.empty(0), 0.0, 1.0, 0.1).shape == (0,)
