"""Faults of single fields in rows that an adapter has read as text, and the rows that they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seminar_tf.data.masks import as_mask, blank
from seminar_tf.data.rejection import BAD_FIELD, MISSING_TIMESTAMP, REJECTED_SCHEMA, UNPARSABLE_ROW, Checked, reject

WHOLE_NUMBER = r"^\s*-?[0-9]{1,18}\s*$"
# Exponents too: spreadsheets and data frames write 1.684742e+12 for a large float.
DECIMAL = r"^\s*-?[0-9]{1,18}(\.[0-9]*)?([eE][+-]?[0-9]{1,2})?\s*$"

# 9999-12-31: beyond it a number is no moment in milliseconds, and near int64's end rounding would overflow.
LAST_MS = 253_402_300_799_999


@dataclass(frozen=True)
class Fault:
    """One kind of fault in one field.

    Attributes:
      reason: as the dead letters call it.
      field: the source's name of the field.
      bad: (rows,) bool, the rows that have it.
    """

    reason: str
    field: str
    bad: np.ndarray


def matches(column: pa.ChunkedArray, pattern: str) -> np.ndarray:
    """(rows,) bool: where a string column matches a regular expression; null does not."""
    return as_mask(pc.match_substring_regex(column, pattern))


def id_faults(column: pa.ChunkedArray, field: str, missing: str) -> list[Fault]:
    """Faults of ids that must be whole numbers: `missing` where there is none, else `unparsable_row`."""
    return [Fault(missing, field, blank(column)), Fault(UNPARSABLE_ROW, field, ~matches(column, WHOLE_NUMBER))]


def number_faults(column: pa.ChunkedArray, field: str) -> list[Fault]:
    """`unparsable_row` where a required number is missing or is none."""
    return [Fault(UNPARSABLE_ROW, field, ~matches(column, DECIMAL))]


def time_faults(column: pa.ChunkedArray, field: str) -> list[Fault]:
    """Faults of a time in ms: missing, or no number, or beyond the year 9999 (microseconds, say)."""
    sound = matches(column, DECIMAL)
    late = np.zeros(len(sound), bool)
    late[sound] = np.abs(numbers(column.filter(pa.array(sound)))) > LAST_MS
    return [Fault(MISSING_TIMESTAMP, field, blank(column)), Fault(UNPARSABLE_ROW, field, ~sound | late)]


def numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Text that matches DECIMAL or WHOLE_NUMBER as (rows,) float64."""
    return pc.utf8_trim_whitespace(column).cast(pa.float64()).to_numpy()


def milliseconds(column: pa.ChunkedArray) -> pa.Array:
    """Text that `time_faults` finds sound as int64, rounded: exact, as float64 holds whole numbers below 2^53."""
    return pa.array(np.rint(numbers(column)).astype(np.int64))


def drop_faulty(rows: pa.Table, faults: Sequence[Fault], table: str) -> Checked:
    """Rejects the rows that have any fault, each once, for the first in the list.

    Args:
      rows: as read, with PROVENANCE columns.
      faults: all about `rows`.
      table: canonical table that the rows were meant for.

    Returns:
      The other rows in their order, PROVENANCE kept, and dead letters.
    """
    first = np.select([fault.bad for fault in faults], range(len(faults)), default=-1)
    bad = first >= 0
    if not bad.any():
        return Checked(rows, REJECTED_SCHEMA.empty_table())
    chosen = [faults[index] for index in first[bad]]
    letters = reject(rows, bad, [f.reason for f in chosen], table, "", field=[f.field for f in chosen])
    return Checked(rows.filter(pa.array(~bad)), letters)


def report_fields(rows: pa.Table, faults: Sequence[Fault], table: str) -> pa.Table:
    """Dead letters of optional fields that cannot be read; the rows themselves stay.

    Args:
      rows: as read, with PROVENANCE columns.
      faults: the fields and where they are bad; each reason is taken as `bad_field`.
      table: canonical table of the rows.

    Returns:
      A dead letter for each bad field of each row.
    """
    told = [reject(rows, f.bad, BAD_FIELD, table, "", field=f.field) for f in faults if f.bad.any()]
    return pa.concat_tables([REJECTED_SCHEMA.empty_table(), *told])
