"""Segments read from Arrow batches, whatever features a batch happens to lack."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from components.evaluator.records import read_segments
from components.evaluator.slices import bucket
from seminar_tf.evaluation.requests import SegmentError


def make_batch(**changes: pa.Array) -> pa.RecordBatch:
    """Three segments: with a target, without targets, without pairs."""
    ints = pa.large_list(pa.int64())
    columns = {
        "user_id": pa.array([[b"a"], [b"b"], [b"c"]], pa.large_list(pa.large_binary())),
        "split": pa.array([[b"train"], [b"eval"], [b"test"]], pa.large_list(pa.large_binary())),
        "segment_start": pa.array([[0], [7], [9]], ints),
        "history_item_id": pa.array([[3, 4], [5], []], ints),
        "history_query": pa.array([[1, 2], [1], []], ints),
        "history_timestamp": pa.array([[10, 20], [30], None], ints),
        "target_position": pa.array([[1], [], [9]], ints),
        "target_timestamp": pa.array([[20], [], [99]], ints),
        "target_item_id": pa.array([[4], [], [8]], ints),
        "target_query": pa.array([[2], [], [1]], ints),
        "label_click": pa.array([[1.0], [], [0.0]], pa.large_list(pa.float32())),
        "user_attributes": pa.nulls(3),
        **changes,
    }
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


@pytest.mark.parametrize("offset", [0, 1])
def test_each_example_gives_its_segment(offset: int) -> None:
    found = list(read_segments(make_batch().slice(offset), "click"))
    assert [user for user, _ in found] == [b"a", b"b", b"c"][offset:]
    users = dict(found)
    assert (users[b"b"].split, users[b"b"].start, users[b"b"].length) == ("eval", 7, 1)
    assert users[b"b"].item.tolist() == [5] and users[b"b"].item.dtype == np.int32
    assert users[b"b"].target_item.tolist() == [] and users[b"b"].user_attributes.tolist() == []
    assert users[b"c"].item.tolist() == [] and users[b"c"].target_position.tolist() == [9]
    assert users[b"c"].target_label.tolist() == [0.0] and users[b"c"].timestamp.dtype == np.int64


def test_missing_split_is_named() -> None:
    batch = make_batch(split=pa.nulls(3))
    with pytest.raises(SegmentError, match="0 values of feature 'split', expected one"):
        list(read_segments(batch, "click"))


def test_missing_labels_of_a_task_are_named() -> None:
    with pytest.raises(SegmentError, match=r"user b'a': features that go together differ in length: .*'label_like': 0"):
        list(read_segments(make_batch(), "like"))


def test_labels_of_several_tasks_stand_side_by_side() -> None:
    floats = pa.large_list(pa.float32())
    batch = make_batch(label_like=pa.array([[0.5], [], [float("nan")]], floats))
    users = dict(read_segments(batch, "click", ("like", "click")))
    np.testing.assert_array_equal(users[b"a"].labels, [[0.5, 1.0]])
    np.testing.assert_array_equal(users[b"c"].labels, [[np.nan, 0.0]])
    assert users[b"b"].labels is not None and users[b"b"].labels.shape == (0, 2)
    assert users[b"c"].target_label.tolist() == [0.0]
    with pytest.raises(SegmentError, match="'label_buy': 0"):
        list(read_segments(batch, "click", ("click", "buy")))


@pytest.mark.parametrize(
    ("count", "name"), [(0, "0"), (1, "1-9"), (9, "1-9"), (10, "10-99"), (9999, "1000-9999"), (10**6, "10000+")]
)
def test_buckets_are_powers_of_ten(count: int, name: str) -> None:
    assert bucket(count) == name
