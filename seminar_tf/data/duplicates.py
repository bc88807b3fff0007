"""Rows told twice: all but the first are rejected (docs/data.md)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seminar_tf.data.rejection import (
    DUPLICATE_CANDIDATE,
    DUPLICATE_EVENT,
    DUPLICATE_ITEM,
    DUPLICATE_USER,
    REJECTED_SCHEMA,
    Checked,
    reject,
)

# Rows equal in these columns are one row told twice.
DUPLICATE_KEYS = {
    "events": (DUPLICATE_EVENT, ("user_id", "timestamp", "kind", "query", "item_id", "action", "request_id")),
    "requests": (DUPLICATE_CANDIDATE, ("user_id", "request_id", "item_id")),
    "items": (DUPLICATE_ITEM, ("item_id",)),
    "users": (DUPLICATE_USER, ("user_id",)),
}


def drop_duplicates(data: pa.Table, table: str = "events", source: str = "") -> Checked:
    """Keeps the first of rows that are equal in DUPLICATE_KEYS[table]; null equals null.

    Args:
      data: accepted rows, all that may hold duplicates of one another (for events: all rows of a user).
      table: canonical table's name.
      source: reported for rejected rows where `data` lacks the PROVENANCE columns; row numbers then count in `data`.

    Returns:
      First occurrences in their old order, and the rest.
    """
    reason, keys = DUPLICATE_KEYS[table]
    codes = [_codes(data[key]) for key in keys]
    # Stable, so the first of equal rows comes first. Not group_by: Arrow 10's crashes where a column has other chunks
    # than its neighbour.
    rows = np.lexsort(codes)
    repeated = np.zeros(data.num_rows, bool)
    repeated[rows[1:]] = np.logical_and.reduce([column[rows[1:]] == column[rows[:-1]] for column in codes])
    if not repeated.any():
        return Checked(data, REJECTED_SCHEMA.empty_table())
    return Checked(data.filter(pa.array(~repeated)), reject(data, repeated, reason, table, source, 0))


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    """(rows,) int64 that are equal where the values are; null has a code of its own."""
    if pa.types.is_integer(column.type):
        return column.to_numpy()
    encoded = [chunk.indices for chunk in pc.dictionary_encode(column).unify_dictionaries().chunks]
    indices = pa.chunked_array(encoded, pa.int32())
    return pc.fill_null(indices, -1).to_numpy().astype(np.int64)
