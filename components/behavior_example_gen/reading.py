"""Parquet files in, checked rows by partition out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.behavior_example_gen import arrow
from seminar_tf.data import schema, validation
from seminar_tf.data.dataset import check_schema, find_spans, table_files
from seminar_tf.data.erasure import TIMED, Erasure
from seminar_tf.data.known_ids import KnownIds

logger = logging.getLogger(__name__)

REJECTED = "rejected"
COUNTS = "counts"
IDS = "ids"

_BATCH_ROWS = 65_536
_KEYS = {"events": "user_id", "requests": "user_id", "users": "user_id", "items": "item_id"}


@dataclass(frozen=True)
class RowGroup:
    """A piece of work: one row group of one file.

    Attributes:
      table: canonical table.
      span: span the file belongs to.
      file: path.
      source: the path relative to the dataset, for messages.
      number: place of the file among all files of its table, older spans first.
      group: row group in the file.
      first_row: row number in the file of the group's first row.
    """

    table: str
    span: int
    file: str
    source: str
    number: int
    group: int
    first_row: int


@dataclass(frozen=True)
class Inputs:
    """All files of one table, in order.

    Attributes:
      groups: row groups to read.
      sources: files' relative paths, by number.
      families: label or numeric columns that any file has.
    """

    groups: tuple[RowGroup, ...]
    sources: tuple[str, ...]
    families: tuple[str, ...]


def list_inputs(path: str, name: str, newest_span: int) -> Inputs:
    """Finds the files of a table in every span up to the newest one, and checks their columns.

    Raises:
      DatasetError: a file is unreadable, or has a missing column or one of the wrong type.
    """
    table = schema.TABLES[name]
    groups: list[RowGroup] = []
    sources: list[str] = []
    families: set[str] = set()
    for span in (s for s in find_spans(path) if s <= newest_span):
        for file in table_files(path, span, name):
            found = check_schema(table, file)
            families |= {c for c in found if c not in table.required and c not in table.optional}
            source = str(file.relative_to(path))
            metadata = pq.read_metadata(file)
            if metadata.num_rows == 0:
                logger.warning("%s has no rows.", source)
            first_row = 0
            for group in range(metadata.num_row_groups):
                groups.append(RowGroup(name, span, str(file), source, len(sources), group, first_row))
                first_row += metadata.row_group(group).num_rows
            sources.append(source)
    return Inputs(tuple(groups), tuple(sources), tuple(sorted(families)))


class ReadRows(beam.DoFn):
    """Reads row groups in Arrow batches, checks the rows and partitions them by the table's key.

    Main output: (partition, rows as IPC bytes, with `span` and `order`). Tagged: REJECTED dead letters as IPC bytes,
    COUNTS (name, rows), and for items IDS, an Arrow array of accepted ids.
    """

    def __init__(
        self,
        families: Sequence[str],
        partitions: int,
        now_ms: int,
        image_dim: int,
        text_dim: int,
        erasure: Erasure | None = None,
    ) -> None:
        self._families = tuple(families)
        self._partitions = partitions
        self._now_ms = now_ms
        self._image_dim = image_dim
        self._text_dim = text_dim
        self._erasure = erasure or None
        self._known: KnownIds | None = None

    def process(self, group: RowGroup, known_items: Sequence[pa.Array] = ()) -> Iterator[Any]:
        """Args:
        group: what to read.
        known_items: side input, pieces of the accepted item ids; the same for the whole run.
        """
        if self._known is None and group.table in ("events", "requests"):
            self._known = KnownIds(pa.concat_arrays([pa.array([], pa.string()), *known_items]))
        first_row = group.first_row
        table = schema.TABLES[group.table]
        with pq.ParquetFile(group.file) as file:
            wanted = [c for c in file.schema_arrow.names if table.type_of(c) is not None]
            for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group.group], columns=wanted):
                rows = pa.Table.from_batches([batch])
                checked = self._check(rows, group, first_row)
                if self._erasure and group.table in TIMED:
                    checked = yield from forget(checked, self._erasure, group.table)
                yield from self._emit(checked, group)
                first_row += rows.num_rows

    def _check(self, rows: pa.Table, group: RowGroup, first_row: int) -> validation.Checked:
        where: dict[str, Any] = {"row_offset": first_row, "provenance": True}
        if group.table == "users":
            return validation.check_users(rows, group.source, **where)
        where["families"] = self._families
        if group.table == "items":
            where |= {"image_dim": self._image_dim, "text_dim": self._text_dim}
            return validation.check_items(rows, group.source, **where)
        check = validation.check_events if group.table == "events" else validation.check_requests
        return check(rows, self._known, self._now_ms, group.source, **where)

    def _emit(self, checked: validation.Checked, group: RowGroup) -> Iterator[Any]:
        if checked.rejected.num_rows:
            yield beam.pvalue.TaggedOutput(REJECTED, arrow.to_bytes(checked.rejected))
        rows = checked.accepted
        yield beam.pvalue.TaggedOutput(COUNTS, (f"accepted_{group.table}", rows.num_rows))
        if not rows.num_rows:
            return
        source, row_number = validation.PROVENANCE
        order = arrow.place(group.number, rows[row_number].to_numpy())
        rows = rows.drop([source, row_number]).append_column("order", pa.array(order))
        rows = rows.append_column("span", pa.array(np.full(rows.num_rows, group.span, np.int32)))
        if group.table == "items":
            yield beam.pvalue.TaggedOutput(IDS, rows["item_id"].combine_chunks())
        yield from arrow.partition(rows, _KEYS[group.table], self._partitions)


def forget(checked: validation.Checked, erasure: Erasure, table: str) -> Any:
    """Leaves out what is to be erased: a generator of the count, tagged COUNTS, that returns the rest.

    Args:
      checked: rows of `table`, and dead letters.
      erasure: what is to be erased.
      table: one of `erasure.TIMED`.
    """
    rows = erasure.rows(checked.accepted["user_id"], checked.accepted["timestamp"])
    letters = erasure.letters(checked.rejected)
    erased = int(rows.sum() + letters.sum())
    if not erased:
        return checked
    yield beam.pvalue.TaggedOutput(COUNTS, (f"erased_{table}", erased))
    return validation.Checked(checked.accepted.filter(pa.array(~rows)), checked.rejected.filter(pa.array(~letters)))


class ReadLetters(beam.DoFn):
    """Reads dead letters that a state keeps. Tagged outputs: REJECTED and COUNTS, as those of `ReadRows`."""

    def __init__(self, erasure: Erasure) -> None:
        self._erasure = erasure

    def process(self, file: str) -> Iterator[Any]:
        """Args:
        file: a Parquet file of the state.
        """
        letters = pq.read_table(file)
        erased = self._erasure.letters(letters)
        for table in TIMED:
            of_table = np.array(pc.equal(letters["table"], table).to_numpy(), bool)
            if (erased & of_table).any():
                yield beam.pvalue.TaggedOutput(COUNTS, (f"erased_{table}", int((erased & of_table).sum())))
        if not erased.all():
            yield beam.pvalue.TaggedOutput(REJECTED, arrow.to_bytes(letters.filter(pa.array(~erased))))
