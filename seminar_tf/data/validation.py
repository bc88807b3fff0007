"""Row checks of the canonical tables: which rows are used, which are rejected, and why (docs/data.md).

Faults of whole files (a missing column, a wrong type, an unreadable file) are errors and come from data/dataset.py;
what is found here is one row's fault and goes to the dead letters (data/rejection.py names the reasons). A row with
several faults is rejected once, for the first in the order in which its check function lists them.

Two reasons, `FIELD_REASONS`, are about one field of an item and not the item: a bad image or vector is a modality
that the item lacks, so the item is accepted without it and the row is in the dead letters all the same. Rejecting
the item would take every event about it along.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seminar_tf.data import schema
from seminar_tf.data.casting import to_canonical
from seminar_tf.data.known_ids import KnownIds
from seminar_tf.data.masks import any_of, as_mask, blank
from seminar_tf.data.rejection import (
    BAD_ID,
    BAD_KIND,
    BAD_LABEL,
    BAD_NUMBER,
    BAD_VECTOR,
    BEFORE_1970,
    BROWSE_WITH_QUERY,
    IN_FUTURE,
    MISSING_ACTION,
    MISSING_ITEM_ID,
    MISSING_REQUEST_ID,
    MISSING_TIMESTAMP,
    MISSING_USER_ID,
    PROVENANCE,
    REJECTED_SCHEMA,
    SEARCH_WITHOUT_QUERY,
    UNKNOWN_ITEM,
    Checked,
    reject,
)


def check_events(
    table: pa.Table,
    known_items: KnownIds | None,
    now_ms: int,
    source: str,
    *,
    row_offset: int = 0,
    families: Sequence[str] = (),
    provenance: bool = False,
) -> Checked:
    """Checks rows of `events`.

    Args:
      table: rows as read; columns have passed `dataset.check_schema`.
      known_items: ids of accepted items; None leaves unknown items alone.
      now_ms: timestamps after this moment (ms since 1970, UTC) are in the future.
      source: file the rows come from.
      row_offset: number in `source` of the first row of `table`.
      families: label columns that the result has even where `table` lacks them.
      provenance: append PROVENANCE, `_source` (string) and `_row_number` (int64), to the accepted rows;
        `duplicates.drop_duplicates` then reports them.

    Returns:
      Accepted events (null query where browsing, NaN where a label is unknown) and rejected rows.

    Raises:
      DatasetError: a column is missing or cannot be cast.
    """
    data = _labels_known(_blank_queries_to_null(to_canonical(table, schema.EVENTS, source, families)))
    faults = [
        (MISSING_USER_ID, blank(data["user_id"])),
        *_timestamp_faults(data, now_ms),
        *_query_faults(data),
        *_item_faults(data, known_items),
        (MISSING_ACTION, as_mask(pc.is_null(data["action"]))),
        (BAD_LABEL, _bad_labels(data)),
    ]
    return _split(table, data, faults, "events", source, row_offset, provenance)


def check_requests(
    table: pa.Table,
    known_items: KnownIds | None,
    now_ms: int,
    source: str,
    *,
    row_offset: int = 0,
    families: Sequence[str] = (),
    provenance: bool = False,
) -> Checked:
    """Checks rows of `requests`; arguments and result as for `check_events`."""
    data = _labels_known(_blank_queries_to_null(to_canonical(table, schema.REQUESTS, source, families)))
    faults = [
        (MISSING_REQUEST_ID, blank(data["request_id"])),
        (MISSING_USER_ID, blank(data["user_id"])),
        *_timestamp_faults(data, now_ms),
        *_query_faults(data),
        *_item_faults(data, known_items),
        (BAD_LABEL, _bad_labels(data)),
    ]
    return _split(table, data, faults, "requests", source, row_offset, provenance)


def check_items(
    table: pa.Table,
    source: str,
    *,
    image_dim: int = 0,
    text_dim: int = 0,
    row_offset: int = 0,
    families: Sequence[str] = (),
    provenance: bool = False,
) -> Checked:
    """Checks rows of `items`; duplicates are found by duplicates.py, once all rows of a span are together.

    Args:
      table: rows as read.
      source: file the rows come from.
      image_dim: width that every `image_vector` must have; 0 leaves them alone.
      text_dim: the same for `text_vector`.
      row_offset, families, provenance: as for `check_events`; families are `numeric_*` columns.

    Returns:
      Accepted items and rejected rows. An item with a bad vector is in both: accepted without the vector.

    Raises:
      DatasetError: a column is missing or cannot be cast.
    """
    data = to_canonical(table, schema.ITEMS, source, families)
    numbers = [data[c] for c in data.column_names if c.startswith(schema.NUMERIC_PREFIX)]
    faults = [
        (MISSING_ITEM_ID, blank(data["item_id"])),
        # Vocabulary files hold one id a line.
        (BAD_ID, as_mask(pc.match_substring_regex(data["item_id"], r"[\r\n]"))),
        (BAD_NUMBER, any_of([as_mask(pc.is_inf(column)) for column in numbers], data.num_rows)),
    ]
    checked = _split(table, data, faults, "items", source, row_offset, provenance)
    sound = np.select([mask for _, mask in faults], [False] * len(faults), True)
    rejected, accepted = [checked.rejected], checked.accepted
    for column, dim in (("image_vector", image_dim), ("text_vector", text_dim)):
        bad = _bad_vectors(data[column], dim) & sound if dim else np.zeros(data.num_rows, bool)
        if bad.any():
            rejected.append(reject(table, bad, BAD_VECTOR, "items", source, row_offset))
            accepted = without_field(accepted, column, bad[sound])
    return Checked(accepted, pa.concat_tables(rejected))


def check_users(table: pa.Table, source: str, *, row_offset: int = 0, provenance: bool = False) -> Checked:
    """Checks rows of `users`; arguments and result as for `check_items`. A user without events is no fault."""
    data = to_canonical(table, schema.USERS, source)
    faults = [(MISSING_USER_ID, blank(data["user_id"]))]
    return _split(table, data, faults, "users", source, row_offset, provenance)


def without_field(data: pa.Table, column: str, bad: np.ndarray) -> pa.Table:
    """Sets `column` to null in the rows that `bad`, (rows,) bool, marks."""
    # Not if_else: Arrow 18's reads past the data of a sliced string column beside a null scalar.
    kept = pa.array(np.where(bad, 0, np.arange(data.num_rows)), pa.int64(), mask=bad)
    return data.set_column(data.column_names.index(column), data.schema.field(column), data[column].take(kept))


def _timestamp_faults(data: pa.Table, now_ms: int) -> list[tuple[str, np.ndarray]]:
    moment = data["timestamp"]
    return [
        (MISSING_TIMESTAMP, as_mask(pc.is_null(moment))),
        (BEFORE_1970, as_mask(pc.less(moment, 0))),
        (IN_FUTURE, as_mask(pc.greater(moment, now_ms))),
    ]


def _query_faults(data: pa.Table) -> list[tuple[str, np.ndarray]]:
    kind, no_query = data["kind"], as_mask(pc.is_null(data["query"]))
    known = as_mask(pc.is_in(kind, value_set=pa.array(schema.KINDS)))
    search = as_mask(pc.equal(kind, "search"))
    browse = as_mask(pc.equal(kind, "browse"))
    return [
        (BAD_KIND, ~known),
        (SEARCH_WITHOUT_QUERY, search & no_query),
        (BROWSE_WITH_QUERY, browse & ~no_query),
    ]


def _item_faults(data: pa.Table, known_items: KnownIds | None) -> list[tuple[str, np.ndarray]]:
    faults = [(MISSING_ITEM_ID, blank(data["item_id"]))]
    if known_items is not None:
        faults.append((UNKNOWN_ITEM, ~known_items.contains(data["item_id"])))
    return faults


def _blank_queries_to_null(data: pa.Table) -> pa.Table:
    """A query that is only white space is no query."""
    empty = as_mask(pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(data["query"])), 0))
    return without_field(data, "query", empty) if empty.any() else data


def _labels_known(data: pa.Table) -> pa.Table:
    """NaN is the one way to say that a label is unknown."""
    for position, name in enumerate(data.column_names):
        if name.startswith(schema.LABEL_PREFIX):
            filled = pc.fill_null(data[name], pa.scalar(math.nan, pa.float32()))
            data = data.set_column(position, data.schema.field(name), filled)
    return data


def _bad_labels(data: pa.Table) -> np.ndarray:
    labels = [data[c] for c in data.column_names if c.startswith(schema.LABEL_PREFIX)]
    # Comparisons with NaN are false, so an unknown label is never a bad one.
    return any_of([as_mask(pc.or_(pc.less(c, 0), pc.greater(c, 1))) for c in labels], data.num_rows)


def _bad_vectors(column: pa.ChunkedArray, dim: int) -> np.ndarray:
    """Rows whose vector is not null and has another length than `dim` or an element that is not finite."""
    bad = as_mask(pc.not_equal(pc.list_value_length(column), dim))
    finite = as_mask(pc.is_finite(pc.list_flatten(column)))
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    row_of_element = np.repeat(np.arange(len(column)), lengths)
    bad[row_of_element[~finite]] = True
    return bad


def _split(
    original: pa.Table,
    data: pa.Table,
    faults: list[tuple[str, np.ndarray]],
    table: str,
    source: str,
    row_offset: int,
    provenance: bool,
) -> Checked:
    if provenance:
        data = data.append_column(PROVENANCE[0], pa.array([source]).take(pa.array(np.zeros(data.num_rows, np.int64))))
        data = data.append_column(PROVENANCE[1], pa.array(np.arange(data.num_rows) + row_offset, pa.int64()))
    if not any(mask.any() for _, mask in faults):
        return Checked(data, REJECTED_SCHEMA.empty_table())
    first = np.select([mask for _, mask in faults], range(len(faults)), default=-1)
    reasons = np.array([reason for reason, _ in faults])[first[first >= 0]]
    return Checked(
        data.filter(pa.array(first < 0)), reject(original, first >= 0, reasons.tolist(), table, source, row_offset)
    )
