"""Reads delimited text files into Arrow columns of strings; lines that do not fit become dead letters."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from seminar_tf.data.dataset import DatasetError
from seminar_tf.data.rejection import (
    REJECTED_SCHEMA,
    UNPARSABLE_ROW,
    Checked,
    reject,
    rejected_rows,
    with_provenance,
)

_INTEGER = r"^\s*-?[0-9]{1,18}\s*$"
_NUMBER = r"^\s*-?[0-9]{1,15}(\.[0-9]+)?\s*$"


def read_csv(path: Path, columns: Sequence[str], table: str) -> Checked:
    """Reads some columns of a UTF-8 CSV file with a header line.

    Args:
      path: the file.
      columns: columns wanted; others are ignored.
      table: canonical table that its rows are meant for.

    Returns:
      Accepted: `columns` as strings, and PROVENANCE (row numbers count from 0 after the header). Rejected: rows with
      another number of fields than the header has.

    Raises:
      DatasetError: the file is empty, is not UTF-8, or lacks a column.
    """
    bad: list[tuple[int, str]] = []

    def note(row: Any) -> str:
        # pyarrow counts from 1 and takes the header for row 1.
        bad.append((row.number - 2, row.text))
        return "skip"

    with path.open("rb") as file:
        header = file.readline().decode("utf-8-sig", errors="replace").rstrip("\r\n")
    if not header:
        raise DatasetError(f"{path}: the file is empty; expected a header with {', '.join(columns)}.")
    try:
        rows = csv.read_csv(
            path,
            # Threads would leave bad rows without their numbers.
            read_options=csv.ReadOptions(use_threads=False),
            parse_options=csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
            convert_options=csv.ConvertOptions(
                column_types={name: pa.string() for name in columns}, include_columns=list(columns)
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise DatasetError(
            f"{path}: expected a UTF-8 CSV file with columns {', '.join(columns)}; its header is {header!r} ({error})."
        ) from error
    numbers = np.setdiff1d(np.arange(rows.num_rows + len(bad)), [number for number, _ in bad])
    rejected = rejected_rows([text for _, text in bad], [n for n, _ in bad], UNPARSABLE_ROW, table, str(path))
    return Checked(with_provenance(rows, path, numbers), rejected)


def read_delimited(path: Path, columns: Sequence[str], table: str, separator: str = "::") -> Checked:
    """Reads a Latin-1 text file without a header whose fields a string of any length separates; .gz is unpacked.

    Args, Returns, Raises: as for `read_csv`; `columns` names every field of a line, in order.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DatasetError(f"{path}: not a readable gzip file ({error}).") from error
    lines = pa.array(raw.decode("latin-1").replace("\r\n", "\n").removesuffix("\n").split("\n"), pa.string())
    if not raw:
        raise DatasetError(f"{path}: the file is empty; expected lines of {separator.join(columns)}.")
    fields = pc.split_pattern(lines, separator)
    fits = np.array(pc.equal(pc.list_value_length(fields), len(columns)).to_numpy(zero_copy_only=False), bool)
    bad = np.flatnonzero(~fits)
    rejected = rejected_rows(lines.take(pa.array(bad)).to_pylist(), bad, UNPARSABLE_ROW, table, str(path))
    kept = fields.filter(pa.array(fits))
    rows = pa.table({name: pc.list_element(kept, n) for n, name in enumerate(columns)})
    return Checked(with_provenance(rows, path, np.flatnonzero(fits)), rejected)


def parse_numbers(rows: Checked, integers: Sequence[str], numbers: Sequence[str], table: str) -> Checked:
    """Rejects rows whose ids or numbers cannot be read.

    Args:
      rows: what a reader here returned.
      integers: columns that must hold whole numbers (ids; they stay strings, trimmed).
      numbers: columns that must hold decimal numbers; they become float64.
      table: canonical table's name.

    Returns:
      The rest of the rows, and all that were rejected so far.
    """
    data, fits = rows.accepted, np.ones(rows.accepted.num_rows, bool)
    for names, pattern in ((integers, _INTEGER), (numbers, _NUMBER)):
        for name in names:
            matched = pc.fill_null(pc.match_substring_regex(data[name], pattern), False)
            fits &= np.array(matched.to_numpy(), bool)
    rejected = [rows.rejected]
    if not fits.all():
        rejected.append(reject(data, ~fits, UNPARSABLE_ROW, table, ""))
        data = data.filter(pa.array(fits))
    for name in (*integers, *numbers):
        column = pc.utf8_trim_whitespace(data[name])
        column = column.cast(pa.float64()) if name in numbers else column
        data = data.set_column(data.column_names.index(name), name, column)
    return Checked(data, pa.concat_tables(rejected).cast(REJECTED_SCHEMA))
