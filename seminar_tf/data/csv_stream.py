"""Reads a CSV file of any length in batches of Arrow columns of strings; rows that do not fit become dead letters."""

from __future__ import annotations

import codecs
import csv as standard_csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

from seminar_tf.data.dataset import DatasetError
from seminar_tf.data.rejection import UNPARSABLE_ROW, Checked, rejected_rows, with_provenance

BLOCK_BYTES = 16 * 2**20

# What a byte that is no UTF-8 becomes. An id, a number or a list that holds it fails the adapter's own checks.
REPLACEMENT = "\ufffd"


def read_batches(
    path: Path, required: Sequence[str], optional: Sequence[str], table: str, block_bytes: int = BLOCK_BYTES
) -> Iterator[Checked]:
    """Reads some columns of a CSV file with a header line; a name that ends in .gz is unpacked on the way.

    Memory does not grow with the file: a few blocks are held at a time.

    Args:
      path: the file, UTF-8. Fields may be quoted and then hold commas, quotes and line breaks.
      required: columns that the header must name.
      optional: columns that are all null where the header does not name them.
      table: canonical table that the rows are meant for.
      block_bytes: about how much of the file makes a batch; a row must fit.

    Yields:
      Accepted: the columns as strings (an empty field is an empty string) and PROVENANCE; row numbers count from 0
      after the header, empty lines not counted. Rejected: rows with another number of fields than the header has.

    Raises:
      DatasetError: the file is missing, empty, cut off or no gzip, a column is missing, or a row exceeds a block.
    """
    header = _header(path, required)
    bad: list[tuple[int, str]] = []

    def note(row: Any) -> str:
        # pyarrow counts from 1 and takes the header for row 1.
        bad.append((row.number - 2, row.text))
        return "skip"

    columns = [*required, *optional]
    next_number, empty = 0, True
    try:
        with open_text(path) as file:
            reader = csv.open_csv(
                file,
                # Threads would leave bad rows without their numbers.
                read_options=csv.ReadOptions(use_threads=False, block_size=block_bytes),
                parse_options=csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
                convert_options=csv.ConvertOptions(
                    column_types={name: pa.string() for name in columns},
                    include_columns=columns,
                    include_missing_columns=True,
                    strings_can_be_null=False,
                ),
            )
            for batch in reader:
                rows = pa.Table.from_batches([batch])
                # Blocks are read ahead, so `bad` may hold later rows; each number is taken once, in order.
                skipped = [number for number, _ in bad]
                free = np.setdiff1d(np.arange(next_number, next_number + rows.num_rows + len(skipped)), skipped)
                numbers = free[: rows.num_rows]
                next_number = int(numbers[-1]) + 1 if len(numbers) else next_number
                passed = [entry for entry in bad if entry[0] < next_number]
                bad[:] = [entry for entry in bad if entry[0] >= next_number]
                empty = False
                yield Checked(with_provenance(rows, path, numbers), _letters(passed, table, path))
            # A file without rows still gives a batch, so that its table is written.
            if bad or empty:
                nothing = reader.schema.empty_table()
                yield Checked(with_provenance(nothing, path, np.zeros(0, np.int64)), _letters(bad, table, path))
    except (pa.ArrowInvalid, OSError) as error:
        raise DatasetError(_explained(path, error, block_bytes, ",".join(header))) from error


class _ValidText(io.RawIOBase):
    """A byte stream whose bytes are UTF-8: what is not becomes REPLACEMENT, so that it costs its row and no more."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read(self, size: int = -1) -> bytes:
        """Up to about `size` bytes; empty only at the end."""
        while True:
            found = self._raw.read(None if size < 0 else size)
            text = self._decoder.decode(found, final=not found)
            if text or not found:
                return text.encode("utf-8")

    def readable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Closes the file below too."""
        self._raw.close()
        super().close()


def open_text(path: Path) -> Any:
    """The file's bytes, unpacked where its name ends in .gz, all of them valid UTF-8.

    Raises:
      DatasetError: there is no such file.
    """
    return _ValidText(open_bytes(path))


def open_bytes(path: Path) -> Any:
    """The file's bytes as a stream, unpacked where its name ends in .gz.

    Raises:
      DatasetError: there is no such file.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: no such file.")
    return pa.input_stream(str(path), compression="gzip" if path.suffix == ".gz" else None)


def _header(path: Path, required: Sequence[str]) -> list[str]:
    try:
        with open_text(path) as file:
            start = file.read(2**20).decode("utf-8").removeprefix("\ufeff")
    except OSError as error:
        raise DatasetError(_explained(path, error, 0, "")) from error
    line = start.split("\n", 1)[0].rstrip("\r")
    if not line:
        raise DatasetError(f"{path}: the file is empty; expected a header with {', '.join(required)}.")
    header = next(standard_csv.reader([line]))
    missing = [name for name in required if name not in header]
    if missing:
        raise DatasetError(
            f"{path}: column {', '.join(missing)} is missing. Expected a UTF-8 CSV file whose first line names "
            f"{', '.join(required)}; it names {', '.join(header)[:500]}."
        )
    return header


def _explained(path: Path, error: Exception, block_bytes: int, header: str) -> str:
    if "straddl" in str(error):
        return (
            f"{path}: a row is longer than {block_bytes} bytes. A quotation mark that is never closed swallows the "
            f"lines after it; find it and close or remove it ({error})."
        )
    if path.suffix == ".gz" and isinstance(error, OSError):
        return f"{path}: not a whole gzip file ({error}). It was cut off or damaged: fetch it again."
    return f"{path}: expected a UTF-8 CSV file with the header {header!r} ({error})."


def _letters(entries: list[tuple[int, str]], table: str, path: Path) -> pa.Table:
    return rejected_rows([text for _, text in entries], [n for n, _ in entries], UNPARSABLE_ROW, table, str(path))
