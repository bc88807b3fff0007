"""What must be forgotten: users who asked to be deleted, and rows older than the retention window (docs/data.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seminar_tf.data import columns, schema
from seminar_tf.data.casting import to_canonical
from seminar_tf.data.dataset import DatasetError, check_schema, find_spans, table_files
from seminar_tf.data.masks import as_mask, blank

# Tables whose rows are a user's at a moment.
TIMED = ("events", "requests")


@dataclass(frozen=True)
class Erasure:
    """Which rows are erased. More of them as time goes on and never fewer, so a row once erased stays so.

    Attributes:
      users: (u,) distinct ids of deleted users.
      until: (u,) int64, ms since 1970: rows of the user up to this moment, itself included, are erased.
      span: (u,) int64, newest span with a deletion of the user: rows of `users` up to this span are erased.
      oldest_ms: rows before this moment are erased, whoever's they are; 0 sets no limit.
    """

    users: pa.Array
    until: np.ndarray
    span: np.ndarray
    oldest_ms: int = 0

    def rows(self, user_ids: pa.ChunkedArray | pa.Array, timestamps: pa.ChunkedArray | pa.Array) -> np.ndarray:
        """(n,) bool: erased rows of events or requests. A deleted user's row without a time is erased too."""
        known = as_mask(pc.is_valid(timestamps))
        moment = columns.integers(pc.fill_null(timestamps, 0))
        place = self._place(user_ids)
        # The last place is for users who are not deleted.
        of_deleted = (place >= 0) & (~known | (moment <= np.append(self.until, 0)[place]))
        return of_deleted | (known & (moment < self.oldest_ms))

    def letters(self, rejected: pa.Table) -> np.ndarray:
        """(n,) bool: erased dead letters. They hold the rejected rows as JSON, and those of deleted users must go."""
        rows = [json.loads(row) for row in rejected["row"].to_pylist()]
        users = pa.array([row.get("user_id") for row in rows], pa.string())
        erased = self.rows(users, pa.array([row.get("timestamp") for row in rows], pa.int64()))
        return erased & as_mask(pc.is_in(rejected["table"], value_set=pa.array(TIMED)))

    def profiles(self, user_ids: pa.ChunkedArray | pa.Array, spans: np.ndarray) -> np.ndarray:
        """(n,) bool: erased rows of the users table; `spans` is the span of each, (n,)."""
        place = self._place(user_ids)
        return (place >= 0) & (spans <= np.append(self.span, 0)[place])

    def __bool__(self) -> bool:
        return bool(len(self.users) or self.oldest_ms > 0)

    def _place(self, user_ids: pa.ChunkedArray | pa.Array) -> np.ndarray:
        """(n,) index into `users`, -1 where the user is not deleted."""
        found = pc.index_in(columns.whole(user_ids), value_set=self.users)
        return pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)


def read_erasure(path: str | Path, newest_span: int, oldest_ms: int = 0) -> Erasure:
    """Reads the `deletions` tables of all spans up to one.

    Args:
      path: dataset folder.
      newest_span: deletions of later spans are not known yet.
      oldest_ms: rows before this moment are erased (retention.py); 0 sets no limit.

    Raises:
      DatasetError: a file or a row cannot be used. A deletion is never skipped: what it asks for must be done.
    """
    tables = []
    for span in (s for s in find_spans(path) if s <= newest_span):
        for file in table_files(path, span, "deletions"):
            check_schema(schema.DELETIONS, file)
            rows = to_canonical(pq.read_table(file), schema.DELETIONS, str(file))
            bad = np.flatnonzero(blank(rows["user_id"]) | as_mask(pc.is_null(rows["timestamp"])))
            if len(bad):
                raise DatasetError(
                    f"{file}: row {bad[0]} lacks its user_id or timestamp. A deletion needs both (timestamp: ms since "
                    "1970, up to which the user's events are deleted), and none is skipped; mend the row."
                )
            tables.append(rows.append_column("span", pa.array(np.full(rows.num_rows, span, np.int64))))
    none = np.zeros(0, np.int64)
    if not tables:
        return Erasure(pa.array([], pa.string()), none, none, oldest_ms)
    rows = pa.concat_tables(tables)
    users = columns.strings(rows["user_id"])
    until, span_of = (np.full(len(users.values), np.iinfo(np.int64).min) for _ in range(2))
    np.maximum.at(until, users.codes, columns.integers(rows["timestamp"]))
    np.maximum.at(span_of, users.codes, columns.integers(rows["span"]))
    return Erasure(users.values.cast(pa.string()), until, span_of, oldest_ms)
