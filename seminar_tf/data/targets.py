"""Targets of one partition and what each of them may see (docs/data.md), worked out on whole columns."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa

from seminar_tf.config import DataConfig
from seminar_tf.data import columns
from seminar_tf.data.columns import Strings
from seminar_tf.data.dataset import DatasetError
from seminar_tf.data.schema import LABEL_PREFIX
from seminar_tf.features.text import normalise_array


@dataclass(frozen=True)
class Pairs:
    """Every pair of the partition's U users, sorted by user, time and file order. All arrays are (n,) but `start`.

    Attributes:
      users: (U,) object array of user ids (bytes), sorted.
      start: (U + 1,) row of each user's first pair.
      user: index into `users`.
      position: place in the user's whole sequence, from 0.
      item, query: the pair; the empty query where the user was browsing.
      timestamp: int64 ms since 1970.
      rows: row of the events table that each pair comes from.
    """

    users: np.ndarray
    start: np.ndarray
    user: np.ndarray
    position: np.ndarray
    item: Strings
    query: Strings
    timestamp: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True)
class Targets:
    """What is to be predicted, sorted by user and time. All arrays have t rows.

    Attributes:
      user: index into `Pairs.users`.
      position: pairs of the user that are visible: positions [0, position).
      timestamp: int64 ms since 1970.
      span: that the target's row came with.
      request: ascending number of the request (for event targets: of the position), the same for its targets.
      unit: ascending number of what a split never tears apart.
      cut: position in the sequence at which the unit begins.
      item, query: the pair to score.
      labels: (t, tasks) float32, NaN where unknown.
    """

    user: np.ndarray
    position: np.ndarray
    timestamp: np.ndarray
    span: np.ndarray
    request: np.ndarray
    unit: np.ndarray
    cut: np.ndarray
    item: Strings
    query: Strings
    labels: np.ndarray

    def take(self, rows: np.ndarray) -> Targets:
        """The targets at `rows`, indices or a (t,) bool mask."""
        return Targets(**{f.name: _take(getattr(self, f.name), rows) for f in fields(self)})


def in_window(span: np.ndarray, config: DataConfig, newest_span: int) -> np.ndarray:
    """Which rows' spans may have targets: [n] int -> [n] bool. Spans are days, also where some are missing."""
    width = 1 if config.target_spans == "newest" else config.window_spans
    return span > newest_span - width if width else np.ones(len(span), bool)


def _take(column: np.ndarray | Strings, rows: np.ndarray) -> np.ndarray | Strings:
    return column.take(rows) if isinstance(column, Strings) else column[rows]


def event_targets(
    pairs: Pairs, events: pa.Table, config: DataConfig, tasks: tuple[str, ...], newest_span: int
) -> Targets:
    """Makes every pair a target that sees what came before its request.

    Args:
      pairs: the partition's pairs.
      events: the table they come from.
      config: which events are targets.
      tasks: label tasks.
      newest_span: for `target_spans: newest` and `window_spans`.

    Raises:
      DatasetError: events have no label column, and clicks are no task.
    """
    count = len(pairs.user)
    first, last = _request_extent(pairs, events)
    # A unit ends where no request that began in it goes on: units are the runs that a cut may lie between.
    reach = np.maximum.accumulate(last) if count else last
    begins = np.append(True, reach[:-1] < np.arange(1, count)) if count else np.zeros(0, bool)
    unit = np.cumsum(begins) - 1
    unit_row = np.flatnonzero(begins)[unit] if count else unit
    visible = pairs.position[first] if count else first
    targets = Targets(
        user=pairs.user,
        position=visible,
        timestamp=pairs.timestamp,
        span=columns.integers(events["span"])[pairs.rows],
        request=first,
        unit=unit,
        cut=pairs.position[unit_row] if count else unit,
        item=pairs.item,
        query=pairs.query,
        labels=_event_labels(events, tasks)[pairs.rows],
    )
    wanted = visible >= config.min_history
    wanted &= in_window(targets.span, config, newest_span)
    if "is_target" in events.column_names:
        chosen = columns.whole(events["is_target"]).fill_null(True)
        wanted &= chosen.to_numpy(zero_copy_only=False)[pairs.rows]
    return targets.take(wanted)


def _request_extent(pairs: Pairs, events: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """First and last row, in `pairs`, of each pair's request; its own row where it has no request id."""
    row = np.arange(len(pairs.user))
    first, last = row.copy(), row.copy()
    if "request_id" not in events.column_names:
        return first, last
    request = columns.codes_with_null(events["request_id"])[pairs.rows]
    asked = np.flatnonzero(request >= 0)
    order = asked[np.lexsort((asked, request[asked], pairs.user[asked]))]
    if not len(order):
        return first, last
    change = (request[order][1:] != request[order][:-1]) | (pairs.user[order][1:] != pairs.user[order][:-1])
    begin = np.flatnonzero(np.append(True, change))
    sizes = np.diff(np.append(begin, len(order)))
    first[order] = np.repeat(order[begin], sizes)
    last[order] = np.repeat(order[begin + sizes - 1], sizes)
    return first, last


def _event_labels(events: pa.Table, tasks: tuple[str, ...]) -> np.ndarray:
    """(n, tasks) float32 labels of the events, in the table's row order."""
    if not any(name.startswith(LABEL_PREFIX) for name in events.column_names):
        if "click" not in tasks:
            raise DatasetError(
                f"events have no label column, and the dataset's tasks are {', '.join(tasks)}. Add one of "
                f"{', '.join(LABEL_PREFIX + task for task in tasks)} to events, or set data.targets to requests."
            )
        clicked = np.array([1.0 if task == "click" else np.nan for task in tasks], np.float32)
        return np.broadcast_to(clicked, (events.num_rows, len(tasks)))
    return _labels(events, tasks)


def _labels(table: pa.Table, tasks: tuple[str, ...]) -> np.ndarray:
    unknown = np.full(table.num_rows, np.nan, np.float32)
    named = [LABEL_PREFIX + task for task in tasks]
    return np.stack([columns.floats(table[n]) if n in table.column_names else unknown for n in named], axis=1)


def request_targets(
    pairs: Pairs, requests: pa.Table, config: DataConfig, tasks: tuple[str, ...], newest_span: int
) -> Targets:
    """Makes every logged candidate a target that sees the pairs older than its request.

    Args:
      pairs: the partition's pairs.
      requests: accepted impressions, with `span` and `order`.
      config: which requests are targets.
      tasks: label tasks; NaN where the impressions lack the column.
      newest_span: for `target_spans: newest` and `window_spans`.
    """
    of_user = columns.strings(requests["user_id"])
    asked = columns.objects(of_user.values)
    place = np.searchsorted(pairs.users, asked) if len(pairs.users) else np.zeros(len(asked), int)
    inside = np.minimum(place, max(len(pairs.users) - 1, 0))
    known = pairs.users[inside] == asked if len(pairs.users) else np.zeros(len(asked), bool)
    # A user without events has no history, and min_history is at least 1: nothing to predict from.
    rows = np.flatnonzero(known[of_user.codes])
    rows = rows[in_window(columns.integers(requests["span"])[rows], config, newest_span)]
    user = inside[of_user.codes[rows]]
    order = columns.integers(requests["order"])[rows]
    request = columns.codes_with_null(requests["request_id"])[rows]
    key = np.stack([user, request], axis=1)
    _, group = np.unique(key, axis=0, return_inverse=True)
    group = group.reshape(-1)  # NumPy 2.0 gave this a second axis
    moment = _least(group, columns.integers(requests["timestamp"])[rows])
    sorting = np.lexsort((order, _least(group, order), moment, user))
    rows, user, moment, group = rows[sorting], user[sorting], moment[sorting], group[sorting]
    unit = np.cumsum(np.append(True, group[1:] != group[:-1])) - 1 if len(group) else group
    position = _pairs_before(pairs, user, moment)
    targets = Targets(
        user=user,
        position=position,
        timestamp=moment,
        span=columns.integers(requests["span"])[rows],
        request=unit,
        unit=unit,
        cut=position,
        item=columns.strings(requests["item_id"]).take(rows),
        query=columns.strings(requests["query"], normalise_array).take(rows),
        labels=_labels(requests, tasks)[rows],
    )
    return targets.take(position >= config.min_history)


def _least(group: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Each row's group's least value."""
    least = np.full(group.max(initial=-1) + 1, np.iinfo(np.int64).max)
    np.minimum.at(least, group, values)
    return least[group]


def _pairs_before(pairs: Pairs, user: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """Number of the user's pairs with a timestamp below `moment`, by one merge of both columns."""
    users, moments = np.append(user, pairs.user), np.append(moment, pairs.timestamp)
    is_pair = np.append(np.zeros(len(user), np.int64), np.ones(len(pairs.user), np.int64))
    order = np.lexsort((is_pair, moments, users))
    before = np.empty(len(order), np.int64)
    before[order] = np.cumsum(is_pair[order])
    return before[: len(user)] - pairs.start[user]
