"""Rankers without training against dense NumPy, and the items that are held out of training."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.experiment.floors import ItemNeighbours, Popularity
from pipelines.experiment.held_out import drawn, hold_out
from pipelines.experiment.layout import Transformed, without_targets
from seminar_tf.features import names
from seminar_tf.training.records import Segments, concatenate, read_segments
from tests.pipelines.trainer_data import SPEC, write_dataset
from tests.training.corpus import make_users, write_segments

ROWS, LENGTH = 45, 6


def train_segments(folder, seed: int) -> Segments:
    files = write_segments(folder, make_users(seed, count=20))
    return concatenate(list(read_segments(files["train"], SPEC.tasks)))


def batch(rng: np.random.Generator, size: int) -> dict[str, np.ndarray]:
    history = rng.integers(1, 41, (size, LENGTH)).astype(np.int32)
    for row in range(size):
        history[row, rng.integers(0, LENGTH + 1) :] = 0
    return {
        names.HISTORY_ITEM_ID: history,
        names.CANDIDATE_ITEM_ID: rng.integers(0, 41, (size, 9)).astype(np.int32),
    }


def dense_cosines(segments: Segments) -> np.ndarray:
    seen = np.zeros((len(segments.user_id), ROWS))
    for user in range(len(segments.user_id)):
        seen[user, segments.item[segments.pair_splits[user] : segments.pair_splits[user + 1]]] = 1.0
    norms = np.sqrt(seen.sum(axis=0))
    cosines = seen.T @ seen / np.maximum(np.outer(norms, norms), 1e-12)
    np.fill_diagonal(cosines, 0.0)
    return cosines


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_neighbours_are_those_of_the_dense_matrix(tmp_path, seed):
    segments = train_segments(tmp_path, seed)
    given = batch(np.random.default_rng(seed), 7)
    cosines = dense_cosines(segments)
    expected = np.zeros((7, 9))
    for row in range(7):
        history = given[names.HISTORY_ITEM_ID][row]
        newest_first = history[history > 0][::-1][:3]
        for n, item in enumerate(newest_first, 1):
            expected[row] += cosines[item, given[names.CANDIDATE_ITEM_ID][row]] / n
        expected[row, np.isin(given[names.CANDIDATE_ITEM_ID][row], history[history > 0])] = -1.0
    assert (expected == -1).any() and (expected > 0).any()
    ranker = ItemNeighbours(segments, ROWS, LENGTH, newest=3)
    np.testing.assert_allclose(ranker.score(given), expected, rtol=1e-5, atol=1e-6)
    # One by one, and with more padding, the same.
    wide = {**given, names.HISTORY_ITEM_ID: np.pad(given[names.HISTORY_ITEM_ID], ((0, 0), (0, 5)))}
    np.testing.assert_allclose(ranker.score(wide), expected, rtol=1e-5, atol=1e-6)
    one = {name: value[2:3] for name, value in given.items()}
    np.testing.assert_allclose(ranker.score(one), expected[2:3], rtol=1e-5, atol=1e-6)


def test_only_the_nearest_are_kept(tmp_path):
    segments = train_segments(tmp_path, 0)
    cosines = dense_cosines(segments)
    ranker = ItemNeighbours(segments, ROWS, LENGTH, neighbours=3)
    for item in range(1, 41):
        candidates = np.arange(ROWS, dtype=np.int32)[None, :]
        history = np.full((1, 1), item, np.int32)
        scores = ranker.score({names.HISTORY_ITEM_ID: history, names.CANDIDATE_ITEM_ID: candidates})[0]
        assert scores[item] == -1
        assert (scores > 0).sum() <= 3
        np.testing.assert_allclose(np.sort(scores)[-3:], np.sort(cosines[item])[-3:], rtol=1e-5)


def test_popularity_counts():
    counts = np.array([0, 5, 2])
    scores = Popularity(counts).score({names.CANDIDATE_ITEM_ID: np.array([[2, 1], [1, 0]])})
    np.testing.assert_array_equal(scores, [[2, 5], [5, 0]])


def segments_of(data: Transformed, split: str) -> Segments:
    return concatenate(list(read_segments(data.files(split), SPEC.tasks)))


def test_held_out_targets_leave_the_train_split_and_nothing_else_does(tmp_path):
    write_dataset(tmp_path)
    data = Transformed(tmp_path / "examples", tmp_path / "graph")
    hold_out(data, tmp_path / "out", 3)
    copy = without_targets(tmp_path / "out", data, 3)
    assert copy.held_out is not None
    held_out = np.load(copy.held_out)
    before, after = segments_of(data, "train"), segments_of(copy, "train")
    gone = np.isin(before.target_item, held_out)
    assert 0 < gone.sum() < len(gone)
    for field in ("item", "query", "timestamp", "user_id", "start", "pair_splits", "attribute"):
        np.testing.assert_array_equal(getattr(before, field), getattr(after, field))
    for field in ("target_item", "target_query", "target_timestamp", "target_position", "label"):
        np.testing.assert_array_equal(getattr(before, field)[~gone], getattr(after, field))
    for split in ("eval", "test"):
        np.testing.assert_array_equal(segments_of(data, split).target_item, segments_of(copy, split).target_item)
    assert without_targets(tmp_path / "out", data, 4).examples != copy.examples


def test_a_share_of_the_items_is_held_out_whatever_else_is_there():
    held_out = drawn(range(10_000), 10)
    assert 800 < len(held_out) < 1_200
    np.testing.assert_array_equal(drawn(range(100), 10), held_out[held_out < 100])
