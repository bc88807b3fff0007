"""Dead letters: why a row was rejected, and the table that tells it (docs/data.md)."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

MISSING_USER_ID = "missing_user_id"
MISSING_ITEM_ID = "missing_item_id"
MISSING_REQUEST_ID = "missing_request_id"
MISSING_TIMESTAMP = "missing_timestamp"
MISSING_ACTION = "missing_action"
BEFORE_1970 = "before_1970"
IN_FUTURE = "in_future"
BAD_KIND = "bad_kind"
SEARCH_WITHOUT_QUERY = "search_without_query"
BROWSE_WITH_QUERY = "browse_with_query"
UNKNOWN_ITEM = "unknown_item"
BAD_LABEL = "bad_label"
BAD_ID = "bad_id"
BAD_NUMBER = "bad_number"
BAD_VECTOR = "bad_vector"
BAD_IMAGE = "bad_image"  # set by ingestion, where images are decoded
DUPLICATE_EVENT = "duplicate_event"
DUPLICATE_CANDIDATE = "duplicate_candidate"
DUPLICATE_ITEM = "duplicate_item"
DUPLICATE_USER = "duplicate_user"
UNPARSABLE_ROW = "unparsable_row"  # set by adapters that read text files
BAD_FIELD = "bad_field"  # set by adapters: an optional field that cannot be read

FIELD_REASONS = (BAD_VECTOR, BAD_IMAGE, BAD_FIELD)

REJECTED_SCHEMA = pa.schema(
    [
        ("table", pa.string()),
        ("reason", pa.string()),
        ("source", pa.string()),
        ("row_number", pa.int64()),
        ("row", pa.string()),
        # The source's own name of the field at fault, where an adapter knows it; null otherwise.
        ("field", pa.string()),
    ]
)

# Where an accepted row came from: columns that checks append on demand. The underscore keeps them apart from a log's.
PROVENANCE = ("_source", "_row_number")


@dataclass(frozen=True)
class Checked:
    """What a check made of some rows.

    Attributes:
      accepted: canonical columns and types, rows in their old order.
      rejected: REJECTED_SCHEMA: `row` is the original row as JSON, `row_number` counts from 0 in `source`.
    """

    accepted: pa.Table
    rejected: pa.Table


def with_provenance(rows: pa.Table, source: Path, numbers: np.ndarray) -> pa.Table:
    """Rows with PROVENANCE columns: the file, and each row's number in it, (rows,) int64."""
    path = pa.array([str(source)]).take(pa.array(np.zeros(rows.num_rows, np.int64)))
    return rows.append_column(PROVENANCE[0], path).append_column(PROVENANCE[1], pa.array(numbers, pa.int64()))


def rejected_rows(
    rows: Sequence[str],
    numbers: Sequence[int] | np.ndarray,
    reason: str | Sequence[str],
    table: str,
    source: str,
    field: str | Sequence[str | None] | None = None,
) -> pa.Table:
    """Builds dead letters of rows that never became Arrow rows, such as unparsable lines.

    Args:
      rows: the rows' text.
      numbers: where in `source` each is, from 0.
      reason: one for all, or one for each.
      table: canonical table that the rows were meant for.
      source: file they come from.
      field: field at fault, one for all, or one for each; None where it is not known.
    """
    count = len(rows)
    reasons = [reason] * count if isinstance(reason, str) else list(reason)
    fields = [field] * count if field is None or isinstance(field, str) else list(field)
    columns = [[table] * count, reasons, [source] * count, np.asarray(numbers, np.int64), list(rows), fields]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, REJECTED_SCHEMA)], schema=REJECTED_SCHEMA)


def reject(
    original: pa.Table,
    bad: np.ndarray,
    reason: str | Sequence[str],
    table: str,
    source: str,
    row_offset: int = 0,
    field: str | Sequence[str | None] | None = None,
) -> pa.Table:
    """Builds dead letters of the marked rows of an Arrow table.

    Args:
      original: rows as they were read.
      bad: (rows,) bool, which to reject.
      reason: one for all, or one for each rejected row.
      table: canonical table's name.
      source: file the rows come from; PROVENANCE columns of `original`, where it has them, win.
      row_offset: number in `source` of the first row of `original`.
      field: field at fault, one for all, or one for each rejected row; None where it is not known.

    Returns:
      One row of REJECTED_SCHEMA for each marked row.
    """
    rows = original.filter(pa.array(bad))
    numbers = np.flatnonzero(bad) + row_offset
    sources = [source] * rows.num_rows
    if set(PROVENANCE) <= set(rows.column_names):
        sources, numbers = rows[PROVENANCE[0]].to_pylist(), rows[PROVENANCE[1]].to_numpy()
        rows = rows.drop(list(PROVENANCE))
    text = [json.dumps(_plain(row), ensure_ascii=False, sort_keys=True) for row in rows.to_pylist()]
    made = rejected_rows(text, numbers, reason, table, source, field)
    return made.set_column(2, REJECTED_SCHEMA.field("source"), pa.array(sources, pa.string()))


def _plain(value: Any) -> Any:
    """The value as JSON can hold it: bytes by their size, NaN and infinities by their names."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
