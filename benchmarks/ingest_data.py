"""Logs in the shape of KuaiSAR, of any size, for benchmarks/ingest.py: canonical tables, written as a stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seminar_tf.data.writer import DatasetWriter

# KuaiSAR: 19,664,883 pairs of 25,877 users, about 6,890,707 items with 453,667 queries; a quarter of them searched.
_EVENTS_PER_USER = 760
_ITEMS_PER_EVENT = 0.35
_QUERIES_PER_EVENT = 0.023
_SEARCHES = 0.26
_START_MS = 1_684_000_000_000
_STEP_MS = 90
_ROWS_AT_ONCE = 262_144


def write(folder: Path, events: int, seed: int, skew: float = 0.0) -> None:
    """Writes a dataset of one span, without images, in order of time as a log is.

    Args:
      folder: the dataset's, new or empty.
      events: rows of the events table; users, items and queries grow with it in KuaiSAR's proportions. No two have
        the same timestamp, so that any way to sort a user's events gives one order.
      seed: of the draws.
      skew: share of the events that one user has besides.
    """
    rng = np.random.default_rng(seed)
    users = max(2, events // _EVENTS_PER_USER)
    # Log-normal activity: the busiest of 26,000 users has some fifty times the mean.
    activity = np.cumsum(rng.lognormal(0, 1, users))
    with DatasetWriter(folder) as writer:
        items = max(10, int(events * _ITEMS_PER_EVENT))
        for start in range(0, items, _ROWS_AT_ONCE):
            writer.write(1, "items", _items(rng, start, min(items, start + _ROWS_AT_ONCE)))
        for start in range(0, events, _ROWS_AT_ONCE):
            rows = min(events - start, _ROWS_AT_ONCE)
            user = np.searchsorted(activity, rng.random(rows) * activity[-1])
            user[rng.random(rows) < skew] = 0
            writer.write(1, "events", _events(rng, start, user, items, events))


def _events(rng: np.random.Generator, start: int, user: np.ndarray, items: int, events: int) -> pa.Table:
    rows = len(user)
    moment = _START_MS + (start + np.arange(rows)) * _STEP_MS + rng.integers(0, _STEP_MS, rows)
    searched = rng.random(rows) < _SEARCHES
    queries = max(5, int(events * _QUERIES_PER_EVENT))
    # Squared and cubed uniforms: heads that are busy and tails that are long.
    item = (items * rng.random(rows) ** 2).astype(np.int64)
    query = (queries * rng.random(rows) ** 3).astype(np.int64)
    # What a user clicks within ten minutes of searching is one request.
    request = pc.binary_join_element_wise(_numbers(user), _numbers(moment // 600_000), "-")
    return pa.table(
        {
            "user_id": _named("user-", user),
            "timestamp": pa.array(moment),
            "kind": pa.array(np.where(searched, "search", "browse")),
            "query": _where(searched, _named("query words ", query)),
            "item_id": _named("item-", item),
            "action": pa.array(np.full(rows, "click")),
            "request_id": _where(searched, request),
        }
    )


def _items(rng: np.random.Generator, first: int, last: int) -> pa.Table:
    rows = last - first
    tags = pc.binary_join_element_wise("author=", _numbers(rng.integers(0, 100_000, 2 * rows)), "")
    return pa.table(
        {
            "item_id": _named("item-", np.arange(first, last)),
            "title": _named("a title of words ", rng.integers(0, 10**6, rows)),
            "attributes": pa.ListArray.from_arrays(pa.array(np.arange(rows + 1) * 2, pa.int32()), tags),
            "numeric_day": pa.array(rng.random(rows).astype(np.float32)),
        }
    )


def _numbers(values: np.ndarray) -> pa.Array:
    return pa.array(values).cast(pa.string())


def _named(prefix: str, values: np.ndarray) -> pa.Array:
    return pc.binary_join_element_wise(prefix, _numbers(values), "")


def _where(there: np.ndarray, values: pa.Array) -> pa.Array:
    """The values, null where `there` is false."""
    return values.take(pa.array(np.arange(len(there)), mask=~there))
