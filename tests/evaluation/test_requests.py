"""Requests see the newest pairs before their position, however the sequence is cut in segments."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from seminar_tf.evaluation.requests import Segment, SegmentError, cut_requests


def make(split: str, start: int, items: list[int], targets: list[tuple[int, int, int, float]] = ()) -> Segment:  # type: ignore[assignment]
    """A segment whose pair at position p has timestamp 10 p; targets are (position, item, query, label)."""
    positions = np.arange(start, start + len(items))
    columns = list(zip(*targets)) if targets else [(), (), (), ()]
    return Segment(
        split=split,
        start=start,
        length=len(items),
        item=np.array(items, np.int32),
        query=np.array(positions % 3 + 1, np.int32),
        timestamp=np.array(positions * 10, np.int64),
        user_attributes=np.array([4, 5], np.int32),
        target_position=np.array(columns[0], np.int64),
        target_timestamp=np.array(columns[0], np.int64) * 10,
        target_item=np.array(columns[1], np.int32),
        target_query=np.array(columns[2], np.int32),
        target_label=np.array(columns[3], np.float32),
    )


@pytest.mark.parametrize("seed", range(6))
def test_history_is_the_newest_pairs_before_the_position(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(6, 40))
    whole = rng.integers(1, 99, n).tolist()
    a, b = sorted(rng.choice(np.arange(1, n), 2, replace=False).tolist())
    length = int(rng.integers(1, 15))
    targets = [(p, whole[p], 1, 1.0) for p in range(b, n)]
    segments = [
        make("train", 0, whole[:a], [(p, whole[p], 1, 1.0) for p in range(a)]).newest(length),
        make("eval", a, whole[a:b], [(p, whole[p], 1, 1.0) for p in range(a, b)]).newest(length),
        make("test", b, whole[b:], targets),
    ]
    rng.shuffle(segments)  # type: ignore[arg-type]
    requests = cut_requests(b"u", segments, "test", length)
    assert [r.position for r in requests] == list(range(b, n))
    for request in requests:
        p = request.position
        assert request.item.tolist() == whole[max(0, p - length) : p]
        assert request.timestamp.tolist() == [10 * q for q in range(max(0, p - length), p)]
        assert request.target_item.tolist() == [whole[p]]
        assert request.user_attributes.tolist() == [4, 5]


def test_targets_of_one_request_share_it_and_unknown_labels_are_left_out() -> None:
    test = make("test", 2, [7], [(2, 7, 5, 1.0), (2, 8, 5, 0.0), (2, 9, 5, np.nan), (2, 6, 1, 1.0)])
    requests = cut_requests(b"u", [make("train", 0, [3, 4]), test], "test", 10)
    assert [(r.request_query, r.target_item.tolist(), r.target_label.tolist()) for r in requests] == [
        (1, [6], [1.0]),
        (5, [7, 8], [1.0, 0.0]),
    ]


def test_labels_of_every_task_keep_what_any_of_them_knows() -> None:
    test = make("test", 2, [7], [(2, 7, 5, 1.0), (2, 8, 5, np.nan), (2, 9, 5, np.nan), (2, 6, 5, 0.0)])
    labels = np.array([[1, 0], [np.nan, 1], [np.nan, np.nan], [0, np.nan]], np.float32)
    requests = cut_requests(b"u", [make("train", 0, [3, 4]), replace(test, labels=labels)], "test", 10)
    assert [r.target_item.tolist() for r in requests] == [[7, 8, 6]]
    np.testing.assert_array_equal(requests[0].labels, labels[[0, 1, 3]])
    np.testing.assert_array_equal(requests[0].target_label, [1, np.nan, 0])


def test_test_segment_without_targets_gives_no_request() -> None:
    assert cut_requests(b"u", [make("train", 0, [3, 4]), make("test", 2, [5])], "test", 10) == []


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ([make("train", 0, [1, 2]), make("train", 2, [3])], "several segments of one split"),
        ([make("train", 0, [1, 2, 3]), make("test", 2, [3])], "Each pair belongs to one segment"),
        ([make("train", 0, [1, 2]), make("test", 3, [4], [(3, 4, 1, 1.0)])], "hold 2 of them"),
    ],
)
def test_segments_that_do_not_fit_are_refused(segments: list[Segment], message: str) -> None:
    with pytest.raises(SegmentError, match=message):
        cut_requests(b"u", segments, "test", 10)
