"""Columns of the canonical tables: what every adapter writes and ingestion reads (docs/data.md says more)."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

LABEL_PREFIX = "label_"
NUMERIC_PREFIX = "numeric_"
KINDS = ("search", "browse")


@dataclass(frozen=True)
class Table:
    """One canonical table.

    Attributes:
      name: folder name under a span.
      required: columns that must be there, with their type; no nulls, except those in `nullable`.
      optional: columns that may be missing; nulls allowed.
      nullable: required columns in which null means something.
      prefixes: column families: any column that starts so is allowed, with this type.
    """

    name: str
    required: dict[str, pa.DataType]
    optional: dict[str, pa.DataType]
    nullable: tuple[str, ...] = ()
    prefixes: tuple[tuple[str, pa.DataType], ...] = ()

    def type_of(self, column: str) -> pa.DataType | None:
        """Type of a column, or None where the table has no place for it."""
        known = self.required.get(column) or self.optional.get(column)
        if known is not None:
            return known
        return next((kind for prefix, kind in self.prefixes if column.startswith(prefix)), None)


EVENTS = Table(
    name="events",
    required={
        "user_id": pa.string(),
        "timestamp": pa.int64(),
        "kind": pa.string(),
        "query": pa.string(),
        "item_id": pa.string(),
        "action": pa.string(),
    },
    # is_target: false marks an event that is history only; null or a missing column means true.
    optional={"request_id": pa.string(), "is_target": pa.bool_()},
    nullable=("query",),
    prefixes=((LABEL_PREFIX, pa.float32()),),
)

ITEMS = Table(
    name="items",
    required={"item_id": pa.string()},
    optional={
        "title": pa.string(),
        "text": pa.string(),
        "attributes": pa.list_(pa.string()),
        "image": pa.binary(),
        "image_path": pa.string(),
        "image_vector": pa.list_(pa.float32()),
        "text_vector": pa.list_(pa.float32()),
    },
    prefixes=((NUMERIC_PREFIX, pa.float32()),),
)

USERS = Table(name="users", required={"user_id": pa.string()}, optional={"attributes": pa.list_(pa.string())})

REQUESTS = Table(
    name="requests",
    required={
        "request_id": pa.string(),
        "user_id": pa.string(),
        "timestamp": pa.int64(),
        "kind": pa.string(),
        "query": pa.string(),
        "item_id": pa.string(),
    },
    optional={},
    nullable=("query",),
    prefixes=((LABEL_PREFIX, pa.float32()),),
)

# A user's events and requests up to `timestamp` are to be forgotten.
DELETIONS = Table(name="deletions", required={"user_id": pa.string(), "timestamp": pa.int64()}, optional={})

TABLES = {table.name: table for table in (EVENTS, ITEMS, USERS, REQUESTS, DELETIONS)}
