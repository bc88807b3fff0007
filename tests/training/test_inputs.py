"""Epochs: every request once, a pure function of (seed, epoch), the same requests from memory and from files."""

import math
from functools import partial

import numpy as np
import pytest

from seminar_tf.features import names
from seminar_tf.training.blocks import request_block, sequence_block
from seminar_tf.training.cutters import RequestCutter, WindowCutter
from seminar_tf.training.inputs import (
    MemoryEpochs,
    StreamedEpochs,
    corpus_epochs,
    read_corpus,
)
from seminar_tf.training.negatives import NegativeSampler
from tests.training.corpus import ITEMS, make_users, write_segments

TASKS = ("click", "like")


def build(tmp_path, users, memory_pairs, grouped=False, drawn=3, batch_size=16, seed=4, length=9):
    files = write_segments(tmp_path / str(memory_pairs), users)["train"]
    to_block = partial(request_block, grouped=grouped)
    corpus = read_corpus(files, TASKS, to_block, memory_pairs)
    known = np.arange(ITEMS + 3) % (ITEMS + 1) > 0
    sampler = NegativeSampler(known, np.ones(len(known)), 0.5, 0.75)
    cutter = RequestCutter(length, 3, TASKS, corpus.width, drawn, sampler, seed)
    return corpus_epochs(corpus, TASKS, to_block, cutter, batch_size, seed, shuffle_buffer=40)


def rows_of(dataset):
    batches = list(dataset.as_numpy_iterator())
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}, batches


def identities(rows):
    """One sortable tuple a request, its drawn negatives left out."""
    fields = (
        rows[names.HISTORY_TIMESTAMP],
        rows[names.REQUEST_TIMESTAMP][:, None],
        rows[names.CANDIDATE_ITEM_ID][:, :1],
    )
    return sorted(map(tuple, np.concatenate([f.astype(np.int64) for f in fields], axis=1).tolist()))


@pytest.mark.parametrize("memory_pairs", [10**6, 0])
def test_an_epoch_is_a_pure_function_of_seed_and_number(tmp_path, memory_pairs):
    users = make_users(0)
    epochs = build(tmp_path, users, memory_pairs)
    assert isinstance(epochs, MemoryEpochs if memory_pairs else StreamedEpochs)
    assert epochs.rows == sum(len(user.targets["train"]) for user in users)
    rows, batches = rows_of(epochs.epoch(1))
    again, _ = rows_of(epochs.epoch(1))
    other, _ = rows_of(epochs.epoch(2))
    assert len(batches) == epochs.steps == math.ceil(epochs.rows / 16)
    for name in rows:
        np.testing.assert_array_equal(rows[name], again[name])
    assert (rows[names.REQUEST_TIMESTAMP] != other[names.REQUEST_TIMESTAMP]).any()
    assert identities(rows) == identities(other)

    rest = list(epochs.epoch(1, first_step=3).as_numpy_iterator())
    assert len(rest) == epochs.steps - 3
    for batch, wanted in zip(rest, batches[3:]):
        for name in wanted:
            np.testing.assert_array_equal(batch[name], wanted[name])


@pytest.mark.parametrize("memory_pairs", [10**6, 0])
def test_epochs_are_read_without_an_autotuner(tmp_path, memory_pairs):
    # tf.data's autotuner would hold whoever ends an epoch for as long as its next look is away: up to a minute.
    epochs = build(tmp_path, make_users(0), memory_pairs)
    assert epochs.epoch(0).options().autotune.enabled is False


@pytest.mark.parametrize("grouped", [False, True])
def test_streamed_and_in_memory_epochs_hold_the_same_requests(tmp_path, grouped):
    users = make_users(1, grouped=grouped)
    streamed, _ = rows_of(build(tmp_path, users, 0, grouped).epoch(0))
    held, _ = rows_of(build(tmp_path, users, 10**6, grouped).epoch(0))
    assert identities(streamed) == identities(held)
    assert {n: (v.dtype, v.shape) for n, v in streamed.items()} == {n: (v.dtype, v.shape) for n, v in held.items()}


def test_memory_epochs_do_not_depend_on_the_order_of_records(tmp_path):
    users = make_users(2)
    one, _ = rows_of(build(tmp_path / "a", users, 10**6).epoch(0))
    two, _ = rows_of(build(tmp_path / "b", users[::-1], 10**6).epoch(0))
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])


def test_drawn_negatives_follow_the_positive(tmp_path):
    rows, _ = rows_of(build(tmp_path, make_users(3), 10**6).epoch(0))
    items = rows[names.CANDIDATE_ITEM_ID]
    assert items.shape[1] == 4
    assert (items > 0).all() and (items[:, 1:] != items[:, :1]).all()
    np.testing.assert_array_equal(rows["label_click"], np.tile([1.0, 0, 0, 0], (len(items), 1)))
    assert (rows["label_like"][:, 1:] == 0).all()
    assert items.dtype == np.int32 and rows[names.HISTORY_TIMESTAMP].dtype == np.int64


def test_logged_impressions_keep_their_labels_and_need_no_negatives(tmp_path):
    users = make_users(4, grouped=True)
    rows, _ = rows_of(build(tmp_path, users, 10**6, grouped=True, drawn=0).epoch(0))
    shown = [t for user in users for t in user.targets["train"]]
    assert (rows[names.CANDIDATE_ITEM_ID] > 0).sum() == len(shown)
    assert np.nansum(rows["label_click"]) == sum(t.labels["click"] for t in shown)
    assert (~np.isnan(rows["label_like"])).sum() == sum(not math.isnan(t.labels["like"]) for t in shown)


def test_windows_of_the_psu(tmp_path):
    files = write_segments(tmp_path, make_users(5))["train"]
    to_block = partial(sequence_block, stride=2)
    corpus = read_corpus(files, TASKS, to_block, 10**6)
    epochs = corpus_epochs(corpus, TASKS, to_block, WindowCutter(8, 3), 16, 0, 100)
    rows, _ = rows_of(epochs.epoch(0))
    assert len(rows[names.HISTORY_ITEM_ID]) == epochs.rows
    assert ((rows[names.HISTORY_ITEM_ID] > 0).sum(axis=1) >= 2).all()


def test_nothing_to_train_on_is_an_error(tmp_path):
    users = make_users(6)
    for user in users:
        user.targets["train"] = []
    files = write_segments(tmp_path, users)["train"]
    with pytest.raises(ValueError, match="no train target"):
        read_corpus(files, TASKS, partial(request_block, grouped=False), 10**6)
