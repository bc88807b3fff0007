"""The raw log of a few users, straight from the canonical tables: what a serving system would have been told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import dataset

from seminar_tf.data.dataset import find_spans, table_files


@dataclass(frozen=True)
class RawUsers:
    """The raw log of some users.

    Attributes:
      events: user -> (timestamp, item, query), oldest first; rows of one moment in the order of their files.
      attributes: user -> `name=value` strings.
    """

    events: Mapping[str, Sequence[tuple[int, str, str]]]
    attributes: Mapping[str, Sequence[str]]


def read_users(path: str | Path, span: int, users: set[str]) -> RawUsers:
    """Reads users' events and attributes out of the canonical tables of spans up to `span`.

    Events about items that no table has are left out, rows that are there twice, and what a deletion asks to forget:
    ingestion leaves them out too.
    """
    spans = [n for n in find_spans(path) if n <= span]
    catalog = _read(path, spans, "items", ["item_id"])["item_id"]
    wanted = ["user_id", "timestamp", "query", "item_id"]
    events = _read(path, spans, "events", wanted, users)
    events = events.filter(pc.is_in(events["item_id"], value_set=pc.unique(catalog)))
    gone: dict[str, int] = {}
    asked = _read(path, spans, "deletions", ["user_id", "timestamp"], users)
    for user, moment in zip(asked["user_id"].to_pylist(), asked["timestamp"].to_pylist()):
        gone[user] = max(moment, gone.get(user, 0))
    by_user: dict[str, list[tuple[int, str, str]]] = {user: [] for user in users}
    for user, moment, query, item in zip(*(events[name].to_pylist() for name in wanted)):
        if moment > gone.get(user, -1):
            by_user[user].append((moment, item, query or ""))
    for rows in by_user.values():
        rows.sort(key=lambda row: row[0])
    attributes: dict[str, Sequence[str]] = {}
    found = _read(path, spans, "users", ["user_id", "attributes"], users)
    if found.num_rows:
        for user, values in zip(found["user_id"].to_pylist(), found["attributes"].to_pylist()):
            attributes[user] = [value for value in values or [] if value]  # a later span's row comes later
    return RawUsers(by_user, attributes)


def _read(
    path: str | Path, spans: Sequence[int], table: str, columns: list[str], users: set[str] | None = None
) -> pa.Table:
    """Columns of one table over spans, in the order of spans, files and rows, each different row once.

    Of a file, only rows of `users` come into memory, and of the catalog only the columns asked for.
    """
    parts = []
    seen: set[tuple[object, ...]] = set()
    wanted = None if users is None else pc.field("user_id").cast(pa.string()).isin(sorted(users))
    for file in (file for span in spans for file in table_files(path, span, table)):
        source = dataset.dataset(file, format="parquet")
        if not set(columns) <= set(source.schema.names):
            continue
        # Rows are the same where all else than their labels is.
        keep = [name for name in source.schema.names if not name.startswith(("label_", "is_target"))]
        part = _canonical(source.to_table(columns=keep if table == "events" else columns, filter=wanted))
        if table == "events" and part.num_rows:
            rows = list(zip(*(part[name].to_pylist() for name in keep)))
            fresh = [not (row in seen or seen.add(row)) for row in rows]  # type: ignore[func-returns-value]
            part = part.filter(pa.array(fresh))
        parts.append(part.select(columns))
    if not parts:
        return pa.table({name: pa.array([], pa.string()) for name in columns})
    return pa.concat_tables(parts)


def _canonical(table: pa.Table) -> pa.Table:
    """The columns that are read here in their canonical types, the others as they are."""
    kinds = dict.fromkeys(("user_id", "item_id", "query"), pa.string())
    kinds |= {"timestamp": pa.int64(), "attributes": pa.list_(pa.string())}
    fields = [pa.field(f.name, kinds.get(f.name, f.type)) for f in table.schema]
    return table.cast(pa.schema(fields))
