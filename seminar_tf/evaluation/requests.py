"""The requests of an evaluation: a user's segments joined, and cut at each target of the evaluated split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np


class SegmentError(ValueError):
    """Segments of a user that do not fit together; the message names the user."""


@dataclass(frozen=True)
class Segment:
    """The pairs and targets of one user in one split (docs/data.md), in transformed ids.

    Attributes:
      split: train, eval or test.
      start: position in the user's whole sequence of the first pair that the split holds.
      length: pairs that the split holds; the arrays may keep only the newest of them (`newest`).
      item, query: (n,) int32 ids of the pairs, oldest first.
      timestamp: (n,) int64 ms.
      user_attributes: (A,) int32.
      target_position, target_timestamp: (T,) int64.
      target_item, target_query: (T,) int32.
      target_label: (T,) float32 of the primary task, NaN where unknown.
      labels: (T, tasks) float32 of every task, NaN where unknown; None where only the primary task is asked.
    """

    split: str
    start: int
    length: int
    item: np.ndarray
    query: np.ndarray
    timestamp: np.ndarray
    user_attributes: np.ndarray
    target_position: np.ndarray
    target_timestamp: np.ndarray
    target_item: np.ndarray
    target_query: np.ndarray
    target_label: np.ndarray
    labels: np.ndarray | None = None

    def newest(self, count: int) -> Segment:
        """The same segment with only its last `count` pairs: all that a later split's requests can see of it."""
        keep = slice(max(0, len(self.item) - count), None)
        return replace(self, item=self.item[keep], query=self.query[keep], timestamp=self.timestamp[keep])


@dataclass(frozen=True)
class Request:
    """One moment of one user, with the target items to rank in it.

    Attributes:
      user: user_id.
      position: pairs that precede the request in the user's whole sequence.
      item, query: (n,) int32 ids of the newest visible pairs, n <= L, oldest first.
      timestamp: (n,) int64 ms.
      user_attributes: (A,) int32.
      request_query: query id of the request, 1 when browsing.
      request_timestamp: ms.
      target_item: (T,) int32.
      target_label: (T,) float32 of the primary task; never NaN where `labels` is None.
      labels: (T, tasks) float32 of every task, NaN where unknown, in each row at least one known; None where only the
        primary task is asked.
    """

    user: bytes
    position: int
    item: np.ndarray
    query: np.ndarray
    timestamp: np.ndarray
    user_attributes: np.ndarray
    request_query: int
    request_timestamp: int
    target_item: np.ndarray
    target_label: np.ndarray
    labels: np.ndarray | None = None

    @property
    def name(self) -> str:
        """How error messages call the request."""
        return f"of user {self.user.decode('utf-8', 'replace')} at position {self.position}"


def cut_requests(user: bytes, segments: Sequence[Segment], split: str, history_length: int) -> list[Request]:
    """Makes the requests of one split of one user.

    The history of a request is the newest `history_length` pairs strictly before its position, whatever split they are
    stored in. Targets none of whose labels is known are left out.

    Args:
      user: user_id.
      segments: all segments of the user, in any order.
      split: the split whose targets are evaluated.
      history_length: L.

    Returns:
      The requests in order of position; targets of one position, query and moment share a request.

    Raises:
      SegmentError: two segments of one split, segments that overlap, or a visible pair that none of them holds.
    """
    ordered = sorted(segments, key=lambda segment: (segment.start, segment.length))
    _check_order(user, ordered)
    requests = []
    for segment in ordered:
        if segment.split == split:
            for targets in _groups(segment):
                requests.append(_request(user, ordered, segment, targets, history_length))
    return requests


def _check_order(user: bytes, ordered: Sequence[Segment]) -> None:
    splits = [segment.split for segment in ordered]
    if len(set(splits)) != len(splits):
        raise SegmentError(f"user {user!r} has several segments of one split: {splits}. Expected at most one each.")
    for one, other in pairwise(ordered):
        if one.start + one.length > other.start:
            raise SegmentError(
                f"user {user!r}: segment {one.split} holds {one.length} pairs from position {one.start} on, but "
                f"segment {other.split} begins at {other.start}. Each pair belongs to one segment."
            )


def _groups(segment: Segment) -> Iterable[np.ndarray]:
    """Indices of the labelled targets, grouped by (position, query, moment)."""
    labels = segment.target_label[:, np.newaxis] if segment.labels is None else segment.labels
    known = np.flatnonzero(~np.isnan(labels).all(axis=1))
    keys = (segment.target_position[known], segment.target_timestamp[known], segment.target_query[known])
    order = np.lexsort(keys[::-1])
    if not len(order):
        return []
    stacked = np.stack([key[order] for key in keys])
    starts = np.flatnonzero(np.any(stacked[:, 1:] != stacked[:, :-1], axis=0)) + 1
    return np.split(known[order], starts)


def _request(
    user: bytes, ordered: Sequence[Segment], segment: Segment, targets: np.ndarray, history_length: int
) -> Request:
    position = int(segment.target_position[targets[0]])
    visible = [_visible(part, position - history_length, position) for part in ordered]
    item, query, timestamp = (np.concatenate([part[n] for part in visible]) for n in range(3))
    expected = min(position, history_length)
    if len(item) != expected:
        raise SegmentError(
            f"user {user!r}: a target at position {position} sees {expected} pairs, but the segments "
            f"{', '.join(part.split for part in ordered)} hold {len(item)} of them. Are all of train, eval and test "
            "in example_splits?"
        )
    return Request(
        user=user,
        position=position,
        item=item,
        query=query,
        timestamp=timestamp,
        user_attributes=segment.user_attributes,
        request_query=int(segment.target_query[targets[0]]),
        request_timestamp=int(segment.target_timestamp[targets[0]]),
        target_item=segment.target_item[targets],
        target_label=segment.target_label[targets],
        labels=None if segment.labels is None else segment.labels[targets],
    )


def _visible(segment: Segment, first: int, end: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The kept pairs of a segment at positions [first, end) of the whole sequence."""
    offset = segment.start + segment.length - len(segment.item)
    window = slice(max(0, first - offset), max(0, end - offset))
    return segment.item[window], segment.query[window], segment.timestamp[window]
