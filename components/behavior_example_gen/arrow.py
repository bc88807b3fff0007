"""Arrow tables as what travels between Beam workers: compressed IPC bytes, keyed by partition."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seminar_tf.data import columns, duplicates, validation

# A row's place in the order of files: number of its file, then row number.
_ROW_BITS = 40


def to_bytes(table: pa.Table) -> bytes:
    """The table as a compressed IPC stream; of a slice, only its own rows."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_table(table)
    made: bytes = sink.getvalue().to_pybytes()
    return made


def from_bytes(pieces: Iterable[bytes]) -> pa.Table | None:
    """The pieces as one table, or None where there are none."""
    tables = [pa.ipc.open_stream(piece).read_all() for piece in pieces]
    return pa.concat_tables(tables) if tables else None


def partition(table: pa.Table, key: str, partitions: int) -> Iterator[tuple[int, bytes]]:
    """Cuts a table by a hash of a string column that is the same in every process and release.

    Args:
      table: any number of rows.
      key: name of the column.
      partitions: how many.

    Yields:
      (partition, rows as `to_bytes` makes them), rows in their old order; empty partitions are left out.
    """
    encoded = columns.whole(table[key]).dictionary_encode()
    number = np.array([zlib.crc32(value) % partitions for value in columns.objects(encoded.dictionary)], np.int64)
    of_row = number[encoded.indices.to_numpy(zero_copy_only=False)]
    order = np.argsort(of_row, kind="stable")
    bounds = np.searchsorted(of_row[order], np.arange(partitions + 1))
    rows = table.take(pa.array(order))
    for chosen in np.flatnonzero(np.diff(bounds)):
        yield int(chosen), to_bytes(rows.slice(bounds[chosen], bounds[chosen + 1] - bounds[chosen]))


def place(file_number: int, row_numbers: np.ndarray) -> np.ndarray:
    """The `order` column: (n,) int64 that sorts rows by file, then row."""
    return (file_number << _ROW_BITS) | row_numbers


def with_provenance(table: pa.Table, sources: list[str]) -> pa.Table:
    """Adds the columns from which dead letters tell a row's file and number, read off `order`."""
    order = columns.integers(table["order"])
    files = pa.DictionaryArray.from_arrays(pa.array(order >> _ROW_BITS, pa.int32()), pa.array(sources, pa.string()))
    numbers = pa.array(order & ((1 << _ROW_BITS) - 1))
    source, row_number = validation.PROVENANCE
    return table.append_column(source, files).append_column(row_number, numbers)


def in_file_order(table: pa.Table) -> pa.Table:
    """Rows by `order`, whatever order the pieces arrived in."""
    return table.take(pc.sort_indices(table, sort_keys=[("order", "ascending")]))


def newest_rows(table: pa.Table, name: str, key: str, sources: list[str]) -> tuple[pa.Table, pa.Table]:
    """One row a key: duplicates within a span are rejected, a later span's row replaces an earlier one's.

    Args:
      table: accepted rows of table `name`, with `span` and `order`.
      name: `items` or `users`.
      key: its id column.
      sources: files by number, as in `order`.

    Returns:
      Rows in order of the key's bytes, and dead letters.
    """
    table = with_provenance(in_file_order(table), sources)
    kept, rejected = [], []
    for span in sorted(set(columns.integers(table["span"]).tolist())):
        checked = duplicates.drop_duplicates(table.filter(pc.equal(table["span"], span)), name)
        kept.append(checked.accepted)
        rejected.append(checked.rejected)
    rows = pa.concat_tables(kept)
    codes = columns.strings(rows[key]).codes
    order = np.lexsort((columns.integers(rows["span"]), codes))
    last = np.append(codes[order][1:] != codes[order][:-1], True)
    chosen = rows.take(pa.array(order[last])).drop(list(validation.PROVENANCE))
    return chosen, pa.concat_tables(rejected)
