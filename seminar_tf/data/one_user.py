"""A few users of a dataset, and the catalog's titles, read without holding everybody's events."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seminar_tf.data import columns, duplicates, validation
from seminar_tf.data.dataset import DatasetError, describe, table_files
from seminar_tf.data.erasure import read_erasure
from seminar_tf.data.known_ids import KnownIds
from seminar_tf.data.retention import oldest_kept_ms
from seminar_tf.data.sequences import sort_pairs


@dataclass(frozen=True)
class Pair:
    """A (query, item) pair of a history; the query is "" where the user was browsing. Timestamp in ms since 1970."""

    item_id: str
    query: str
    timestamp: int


@dataclass(frozen=True)
class User:
    """A user at the moment of their last target.

    Attributes:
      user_id: who.
      attributes: `name=value` strings of the users table.
      history: pairs visible to that target, oldest first: those before its request.
      held_out: the target, which no training saw (split leave_last_out).
    """

    user_id: str
    attributes: tuple[str, ...]
    history: tuple[Pair, ...]
    held_out: Pair


@dataclass(frozen=True)
class Item:
    """What people read of an item; "" and () where the items table says nothing."""

    title: str
    attributes: tuple[str, ...]


def read_catalog(path: str | Path) -> dict[str, Item]:
    """Items by id, in order of first appearance; a later span's row replaces an earlier one's."""
    found: dict[str, Item] = {}
    for span in describe(path).spans:
        for file in table_files(path, span, "items"):
            present = pq.read_schema(file).names
            wanted = [name for name in ("item_id", "title", "attributes") if name in present]
            rows = pq.read_table(file, columns=wanted).to_pydict()
            count = len(rows["item_id"])
            titles, attributes = rows.get("title", [None] * count), rows.get("attributes", [None] * count)
            for item_id, title, values in zip(rows["item_id"], titles, attributes):
                if item_id and item_id.strip():
                    found[item_id] = Item(title or "", tuple(value for value in values or () if value))
    return found


def busiest_user(path: str | Path) -> str:
    """The user with the most events in the newest span's first file; of several, the one whose id sorts first.

    Raises:
      DatasetError: that file has no event.
    """
    file = table_files(path, describe(path).spans[-1], "events")[0]
    counts: dict[str, int] = {}
    for batch in pq.ParquetFile(file).iter_batches(columns=["user_id"]):
        for row in pc.value_counts(columns.whole(batch.column(0))):
            user_id = row["values"].as_py()
            if user_id:
                counts[user_id] = counts.get(user_id, 0) + row["counts"].as_py()
    if not counts:
        raise DatasetError(f"{file}: no event, so no user to pick. Name one with --user.")
    return min(counts, key=lambda user_id: (-counts[user_id], user_id))


def read_user(path: str | Path, user_id: str, known_items: list[str], retention_days: int = 0) -> User:
    """Reads one user's rows, with ingestion's checks and order.

    Args:
      path: dataset folder.
      user_id: who.
      known_items: ids of the items table; events about others are rejected, as at ingestion.
      retention_days: pairs older than this many days before the target are left out, as a gateway does at that moment;
        0 sets no limit.

    Returns:
      The user at their last target.

    Raises:
      DatasetError: the user has no usable event, or only one: nothing is left for a history.
    """
    spans = describe(path).spans
    events = user_events(path, spans[-1], [user_id], pa.array(known_items, pa.string()))
    if not events.num_rows:
        raise DatasetError(f"{path}: user {user_id!r} has no usable event. Leave --user out to take a busy user.")
    history, held_out = _at_last_target(events)
    if held_out is None:
        raise DatasetError(
            f"{path}: user {user_id!r} has {events.num_rows} usable event(s), none with a pair before it; name another."
        )
    oldest_ms = oldest_kept_ms(retention_days, held_out.timestamp)
    history = tuple(pair for pair in history if pair.timestamp >= oldest_ms)
    if not history:
        raise DatasetError(
            f"{path}: user {user_id!r} has no pair in the {retention_days} days before the last target; name another, "
            "or more days."
        )
    return User(user_id, user_attributes(path, spans[-1], [user_id]).get(user_id, ()), history, held_out)


def user_events(
    path: str | Path, span: int, users: Sequence[str], known_items: pa.Array, oldest_ms: int = 0
) -> pa.Table:
    """Events of some users as ingestion would use them, in the order of spans, files and rows.

    Args:
      path: dataset folder.
      span: the newest to read.
      users: whose.
      known_items: ids of the items table.
      oldest_ms: events before this moment are left out, as by data.retention_days; 0 sets no limit.

    Returns:
      Canonical columns and `order`, without rejected, erased and repeated rows.
    """
    spec = describe(path)
    labels = [f"label_{task}" for task in spec.tasks]
    erasure = read_erasure(path, span, oldest_ms)
    known, now_ms = KnownIds(known_items), int(time.time() * 1000)
    tables, order = [], 0
    for file in (file for n in spec.spans if n <= span for file in table_files(path, n, "events")):
        rows = _rows_of(file, users)
        checked = validation.check_events(rows, known, now_ms, str(file), families=labels).accepted
        checked = checked.filter(pa.array(~erasure.rows(checked["user_id"], checked["timestamp"])))
        numbers = np.arange(order, order + checked.num_rows)
        order += checked.num_rows
        tables.append(checked.append_column("order", pa.array(numbers, pa.int64())))
    return duplicates.drop_duplicates(pa.concat_tables(tables)).accepted


def user_attributes(path: str | Path, span: int, users: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """`name=value` strings of the newest row, up to `span`, of each of the users that have a row."""
    found: dict[str, tuple[str, ...]] = {}
    for file in (file for n in describe(path).spans if n <= span for file in table_files(path, n, "users")):
        rows = _rows_of(file, users)
        if "attributes" in rows.column_names:
            for user, values in zip(rows["user_id"].to_pylist(), rows["attributes"].to_pylist()):
                found[user] = tuple(value for value in values or () if value)
    return found


def _rows_of(file: Path, users: Sequence[str]) -> pa.Table:
    """A file's rows of the users; no others come into memory."""
    return pq.read_table(file, filters=pc.field("user_id").cast(pa.string()).isin(list(users)))


def _at_last_target(events: pa.Table) -> tuple[tuple[Pair, ...], Pair | None]:
    """The newest event that is a target and has a pair before its request, and those pairs."""
    pairs = sort_pairs(events)
    everything = [
        Pair(item.decode("utf-8"), query.decode("utf-8"), int(moment))
        for item, query, moment in zip(pairs.item.rows(slice(None)), pairs.query.rows(slice(None)), pairs.timestamp)
    ]
    order = pairs.rows

    def column(name: str, missing: Any) -> list[Any]:
        if name not in events.column_names:
            return [missing] * len(everything)
        values = columns.whole(events[name]).to_pylist()
        return [missing if values[row] is None else values[row] for row in order]

    request, is_target = column("request_id", None), column("is_target", True)
    for last in range(len(everything) - 1, -1, -1):
        # Pairs of the same request are not visible to each other.
        first = last if request[last] is None else request.index(request[last])
        if is_target[last] and first > 0:
            return tuple(everything[:first]), everything[last]
    return (), None
