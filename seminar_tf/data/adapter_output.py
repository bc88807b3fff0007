"""What streaming adapters write: canonical tables, dead letters, a summary; all in place at once or not at all."""

from __future__ import annotations

import logging
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from seminar_tf.data.dead_letter import DeadLetterWriter, report
from seminar_tf.data.id_set import IdSet
from seminar_tf.data.rejection import PROVENANCE
from seminar_tf.data.writer import DatasetWriter

logger = logging.getLogger(__name__)


class AdapterOutput:
    """Context manager around a dataset of one span and its `rejected` folder.

    Attributes:
      users: users that have an event.
      seen_items: items that have an event.
      items: items that have a row.
    """

    def __init__(self, out: str | Path, overwrite: bool = False) -> None:
        """Args:
          out: the dataset's folder.
          overwrite: replace a dataset that is already there.

        Raises:
          DatasetError: `out` is in use.
        """
        self.users, self.seen_items, self.items = IdSet(), IdSet(), IdSet()
        self._writer = DatasetWriter(out, overwrite)
        self._dead = DeadLetterWriter(self._writer.staging / "rejected")

    def __enter__(self) -> AdapterOutput:
        self._writer.__enter__()
        self._dead.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            # After finish() the dead letters are closed already and closing them again does nothing.
            self._dead.__exit__(kind, error, trace)
        self._writer.__exit__(kind, error, trace)

    def events(self, rows: pa.Table) -> None:
        """Writes events and notes whose and about what they are."""
        self.users.add(rows["user_id"])
        self.seen_items.add(rows["item_id"])
        self._write("events", rows)

    def catalog(self, rows: pa.Table) -> None:
        """Writes items and notes which."""
        self.items.add(rows["item_id"])
        self._write("items", rows)

    def profiles(self, rows: pa.Table) -> None:
        """Writes users."""
        self._write("users", rows)

    def reject(self, letters: pa.Table) -> None:
        """Writes dead letters."""
        self._dead.write(letters)

    def finish(self, source: str, counts: dict[str, Any]) -> dict[str, Any]:
        """Closes the dead letters, counts them and writes `prepare.json`.

        Args:
          source: what the data is.
          counts: the adapter's own figures.

        Returns:
          The summary: source, rows by table, users, counts, and rejected rows by table and reason.
        """
        self._dead.__exit__(None, None, None)
        rows = {table: count for (_, table), count in self._writer.rows.items()}
        folder = self._writer.staging / "rejected"
        counted = report(self._dead.counts, rows, folder, shown=self._writer.path / "rejected")
        told = {"source": source, "rows": rows, "users": len(self.users), **counts, "rejected": counted["rejected"]}
        self._writer.write_json("prepare.json", told)
        return told

    def _write(self, table: str, rows: pa.Table) -> None:
        self._writer.write(1, table, rows.drop([name for name in PROVENANCE if name in rows.column_names]))
