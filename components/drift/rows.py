"""What of a span's events is compared: columns that mean something on a day's events alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seminar_tf.data import columns
from seminar_tf.data.dataset import table_files
from seminar_tf.features.text import normalise_array

_COLUMNS = ("user_id", "timestamp", "kind", "query", "item_id")
_HOUR_MS = 3_600_000


def read_span(path: str | Path, span: int) -> pa.Table:
    """The events of one span: those with a user, a moment and an item.

    Args:
      path: dataset folder.
      span: which.
    """
    files = table_files(path, span, "events")
    tables = [pq.read_table(file, columns=list(_COLUMNS), partitioning=None) for file in files]
    kinds = {name: pa.int64() if name == "timestamp" else pa.string() for name in _COLUMNS}
    events = pa.concat_tables([table.select(list(_COLUMNS)).cast(pa.schema(list(kinds.items()))) for table in tables])
    # Rows without these are rejected by ingestion.
    for name in ("user_id", "timestamp", "item_id"):
        events = events.filter(pc.is_valid(events[name]))
    return events


def derive(events: pa.Table) -> pa.RecordBatch:
    """Features of events, as TFDV takes them: a list a row, null where there is no value.

    Args:
      events: as `read_span` gives them.

    Returns:
      A row an event: item_id; query (of searches; as it is stored) and query_words; kind; hour of the day (UTC, whole);
      gap_hours since the user's event before in this span (log2 of 1 + hours, so that minutes and weeks both show).
      events_per_user has a value at each user's first event.
    """
    user = columns.strings(events["user_id"]).codes
    moment = columns.integers(events["timestamp"])
    order = np.lexsort((moment, user))
    first = np.append(True, user[order][1:] != user[order][:-1]) if len(order) else np.zeros(0, bool)
    gap, count = np.full(len(user), np.nan), np.full(len(user), np.nan)
    between = np.diff(moment[order], prepend=0) / _HOUR_MS
    gap[order] = np.where(first, np.nan, np.log2(1.0 + np.maximum(between, 0.0)))
    starts = np.flatnonzero(first)
    count[order[starts]] = np.diff(np.append(starts, len(order)))
    queries = columns.strings(events["query"], normalise_array)
    texts = np.array(queries.values.cast(pa.string()).to_pylist(), object)
    words = np.array([len(text.split()) for text in texts], float)
    of_event = texts[queries.codes] if len(texts) else np.zeros(0, object)
    typed = of_event.astype(bool) if len(texts) else np.zeros(0, bool)
    made = {
        "item_id": _lists(events["item_id"].to_pylist(), None, pa.string()),
        "kind": _lists(events["kind"].to_pylist(), columns.whole(events["kind"]).is_valid(), pa.string()),
        "query": _lists(of_event.tolist(), typed, pa.string()),
        "query_words": _lists(words[queries.codes] if len(texts) else [], typed, pa.float32()),
        "hour": _lists(moment // _HOUR_MS % 24, None, pa.int64()),
        "gap_hours": _lists(gap, ~np.isnan(gap), pa.float32()),
        "events_per_user": _lists(count, ~np.isnan(count), pa.float32()),
    }
    return pa.RecordBatch.from_arrays(list(made.values()), names=list(made))


def _lists(values: Sequence | np.ndarray, present: object, kind: pa.DataType) -> pa.Array:
    """A list of one value for each row, null where it is not present."""
    flat = pa.array(values, kind)
    if present is None:
        return pa.ListArray.from_arrays(pa.array(np.arange(len(flat) + 1), pa.int32()), flat)
    mask = np.asarray(present, bool)
    kept = flat.filter(pa.array(mask))
    starts = np.append(0, np.cumsum(mask))
    # An offset that is null makes its row null.
    offsets = pa.array(starts.astype(np.int32), mask=np.append(~mask, False))
    return pa.ListArray.from_arrays(offsets, kept)
