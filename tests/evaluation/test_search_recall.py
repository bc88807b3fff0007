"""What counts as found of the pairs that exact attention keeps."""

from __future__ import annotations

import numpy as np
import pytest

from seminar_tf.evaluation.search_recall import found_share

PADDING = -1e9


def share(positions, scores, valid):
    return found_share(np.array([positions]), np.array([scores], np.float32), np.array([valid]))[0]


def test_the_share_of_the_best_that_was_found():
    scores = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert share([0, 2, 4], scores, 5) == 1.0
    assert share([0, 1, 4], scores, 5) == pytest.approx(2 / 3)
    assert share([1, 3, -1], scores, 5) == 0.0


def test_ties_with_the_last_place_are_found():
    assert share([1, 2], [1.0, 1.0, 1.0, 1.0], 4) == 1.0
    # One of three that tie for the second place.
    assert share([3, 0], [2.0, 1.0, 1.0, 1.0], 4) == 1.0
    assert share([1, 3], [2.0, 1.0, 1.0, 1.0], 4) == 1.0


def test_short_histories_want_all_they_have():
    scores = [2.0, 1.0, PADDING, PADDING]
    assert share([1, 0, -1], scores, 2) == 1.0
    assert share([1, -1, -1], scores, 2) == 0.5
    # Padding never counts as a pair.
    assert share([1, 2, 3], scores, 2) == 0.5
    assert share([-1, -1, -1], [PADDING] * 4, 0) == 1.0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_equals_the_overlap_of_sets_where_nothing_ties(seed):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(20, 50)).astype(np.float32)
    positions = np.stack([rng.choice(50, 10, replace=False) for _ in range(20)])
    best = np.argsort(-scores, axis=1)[:, :10]
    wanted = [len(set(a) & set(b)) / 10 for a, b in zip(positions, best)]
    np.testing.assert_allclose(found_share(positions, scores, np.full(20, 50)), wanted)
