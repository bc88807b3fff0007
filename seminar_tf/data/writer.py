"""Writes a canonical dataset as a stream: staged beside its folder, renamed when complete."""

from __future__ import annotations

import json
import logging
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from seminar_tf.data import schema
from seminar_tf.data.casting import to_canonical
from seminar_tf.data.dataset import DatasetError, find_spans

logger = logging.getLogger(__name__)

_GROUP_ROWS = 131_072
_GROUP_BYTES = 64 * 2**20  # items with images are large, so a row group is bounded by bytes too


@dataclass
class _Part:
    """An open series of part files of one table in one span."""

    folder: Path
    schema: pa.Schema
    files: int = 0
    rows_in_file: int = 0
    writer: pq.ParquetWriter | None = None
    waiting: list[pa.Table] = field(default_factory=list)


class DatasetWriter:
    """Context manager that writes `path/span-<n>/<table>/part-*.parquet`.

    Everything goes to `path.partial-<process id>` first. Leaving the context without an exception renames that to
    `path`; leaving it with one removes it, so `path` is never half-written.

    Attributes:
      path: the dataset's folder.
      staging: the folder that becomes `path`; files that belong beside the spans (images, say) are put here.
      rows: rows written so far, by (span, table name).
    """

    def __init__(self, path: str | Path, overwrite: bool = False, rows_per_file: int = 1_000_000) -> None:
        """Args:
          path: the dataset's folder; missing or empty unless `overwrite`.
          overwrite: replace a dataset that is already there.
          rows_per_file: rows after which a new part file is begun.

        Raises:
          DatasetError: `path` is not empty, or is to be overwritten and does not look like a dataset.
        """
        self.path = Path(path).absolute()
        self.staging = self.path.with_name(f"{self.path.name}.partial-{os.getpid()}")
        self.rows: dict[tuple[int, str], int] = {}
        self._rows_per_file = rows_per_file
        self._parts: dict[tuple[int, str], _Part] = {}
        if self.path.exists() and not self.path.is_dir():
            raise DatasetError(f"{self.path} is a file; a dataset is a folder.")
        if self.path.is_dir() and any(self.path.iterdir()):
            if not overwrite:
                raise DatasetError(f"{self.path} exists and is not empty. Choose another folder or pass --overwrite.")
            if not find_spans(self.path):
                raise DatasetError(f"{self.path} holds no dataset (no span-<n> folder), so it is not overwritten.")

    def __enter__(self) -> DatasetWriter:
        for left in self.path.parent.glob(f"{self.path.name}.partial-*"):
            logger.warning("%s is left from a run that was killed, or of one still running; remove it if not.", left)
        shutil.rmtree(self.staging, ignore_errors=True)
        self.staging.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            try:
                for part in self._parts.values():
                    self._flush(part)
                    _close(part)
                self._publish()
                return
            except BaseException:
                self._discard()
                raise
        self._discard()

    def write(self, span: int, table: str, data: pa.Table) -> None:
        """Appends rows to a table. The first call fixes the table's columns for that span; no rows are fine.

        Args:
          span: span number, from 1.
          table: `events`, `items`, `users` or `requests`.
          data: rows with the required columns and any of the optional ones; types are cast to the canonical ones.

        Raises:
          DatasetError: a column is missing, unknown, of another type, or differs from the first call's columns.
        """
        if table not in schema.TABLES:
            raise DatasetError(f"no table is called {table!r}; expected one of {', '.join(schema.TABLES)}.")
        if span < 1:
            raise DatasetError(f"spans count from 1, found {span}.")
        rows = _conform(data, schema.TABLES[table])
        part = self._parts.get((span, table))
        if part is None:
            part = _Part(self.staging / f"span-{span}" / table, rows.schema)
            part.folder.mkdir(parents=True)
            self._parts[span, table] = part
        elif set(part.schema.names) != set(rows.schema.names):
            raise DatasetError(
                f"table {table} of span {span} was begun with columns {', '.join(part.schema.names)}; "
                f"found {', '.join(rows.schema.names)}."
            )
        part.waiting.append(rows.select(part.schema.names))
        self.rows[span, table] = self.rows.get((span, table), 0) + rows.num_rows
        waiting = sum(t.num_rows for t in part.waiting)
        if waiting >= _GROUP_ROWS or sum(t.nbytes for t in part.waiting) >= _GROUP_BYTES:
            self._flush(part)

    def write_json(self, name: str, value: Any) -> None:
        """Writes `value` to `path/name`, beside the spans, where ingestion does not look."""
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
        (self.staging / name).write_text(text + "\n", encoding="utf-8")

    def _flush(self, part: _Part) -> None:
        """Writes the waiting rows, filling each part file to its last row."""
        rows = pa.concat_tables(part.waiting) if part.waiting else part.schema.empty_table()
        part.waiting = []
        start = 0
        while start < rows.num_rows or part.files == 0:
            if part.writer is None:
                file = part.folder / f"part-{part.files:05d}.parquet"
                part.writer = pq.ParquetWriter(file, part.schema, compression="zstd")
                part.files += 1
            piece = rows.slice(start, self._rows_per_file - part.rows_in_file)
            part.writer.write_table(piece, row_group_size=_GROUP_ROWS)
            start += piece.num_rows
            part.rows_in_file += piece.num_rows
            if part.rows_in_file >= self._rows_per_file:
                _close(part)

    def _publish(self) -> None:
        old = self.path.with_name(f"{self.path.name}.replaced-{os.getpid()}")
        if self.path.exists():
            os.rename(self.path, old)
        os.rename(self.staging, self.path)
        shutil.rmtree(old, ignore_errors=True)

    def _discard(self) -> None:
        for part in self._parts.values():
            _close(part)
        shutil.rmtree(self.staging, ignore_errors=True)


def _close(part: _Part) -> None:
    if part.writer is not None:
        part.writer.close()
    part.writer = None
    part.rows_in_file = 0


def _conform(data: pa.Table, table: schema.Table) -> pa.Table:
    """The rows in canonical types, with the columns that `data` has and no others."""
    for name in data.column_names:
        if table.type_of(name) is None:
            raise DatasetError(f"table {table.name} has no place for column {name!r} (docs/data.md lists its columns).")
    cast = to_canonical(data, table, f"rows for table {table.name}")
    return cast.select([name for name in cast.column_names if name in data.column_names])
