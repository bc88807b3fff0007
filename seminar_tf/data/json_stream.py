"""Reads JSON lines of any length in batches of typed Arrow columns; lines that do not fit become dead letters.

Arrow's reader takes whole blocks and gives up at the first value of another kind. A block that it refuses is read once
more line by line, which is slower and tells which lines, and which fields of them, are at fault.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as arrow_json

from seminar_tf.data.csv_stream import open_bytes
from seminar_tf.data.dataset import DatasetError
from seminar_tf.data.rejection import (
    BAD_FIELD,
    REJECTED_SCHEMA,
    UNPARSABLE_ROW,
    Checked,
    rejected_rows,
    with_provenance,
)

BLOCK_BYTES = 8 * 2**20
_LONGEST_LINE = 64 * 2**20
_SHOWN = 2_000  # characters of a bad line that the dead letters keep

_MISFIT = object()


def read_batches(
    path: Path,
    fields: dict[str, pa.DataType],
    required: Sequence[str],
    table: str,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Checked]:
    """Reads some fields of a file with a JSON object a line; a name that ends in .gz is unpacked on the way.

    Memory does not grow with the file: a block is held at a time.

    Args:
      path: the file, UTF-8.
      fields: fields wanted, with their types: string, int64, float64 or list of strings. Others are ignored.
      required: fields without which a line is of no use; `unparsable_row` where one is of another kind.
      table: canonical table that the lines are meant for.
      block_bytes: about how much of the file makes a batch.

    Yields:
      Accepted: `fields` (null where a line lacks one) and PROVENANCE; row numbers count lines from 0. Rejected: lines
      that are no JSON object or hold a required field of another kind; and, as `bad_field`, lines that stay without
      an optional field, because it is of another kind.

    Raises:
      DatasetError: the file is missing, empty, cut off or no gzip, or no line of its first block can be used.
    """
    first_line, any_used = 0, False
    try:
        for block in _blocks(path, block_bytes):
            checked = _read_fast(block, fields, path, first_line)
            if checked is None:
                checked = _read_lines(block, fields, required, table, path, first_line)
            if not any_used and not _holds(checked.accepted, required):
                shown = block[:200].decode("utf-8", errors="replace")
                raise DatasetError(
                    f"{path}: expected a JSON object a line with {', '.join(required)}; none of the first "
                    f"{block.count(10)} lines holds them. The file begins {shown!r}."
                )
            any_used = True
            first_line += block.count(b"\n")
            yield checked
    except OSError as error:
        raise DatasetError(f"{path}: not a whole file ({error}). It was cut off or damaged: fetch it again.") from error
    if not any_used:
        raise DatasetError(f"{path}: the file is empty; expected a JSON object a line with {', '.join(required)}.")


def _blocks(path: Path, block_bytes: int) -> Iterator[bytes]:
    """Whole lines, each with its end."""
    with open_bytes(path) as file:
        left = b""
        while True:
            found = file.read(block_bytes)
            if not found:
                break
            left += found
            end = left.rfind(b"\n") + 1
            if end:
                yield left[:end]
                left = left[end:]
            elif len(left) > _LONGEST_LINE:
                raise DatasetError(f"{path}: no line ends within {len(left)} bytes; expected a JSON object a line.")
        if left:
            yield left + b"\n"


def _holds(rows: pa.Table, required: Sequence[str]) -> bool:
    return rows.num_rows > 0 and all(rows[name].null_count < rows.num_rows for name in required)


def _read_fast(block: bytes, fields: dict[str, pa.DataType], path: Path, first_line: int) -> Checked | None:
    """The block by Arrow's reader; None where any line of it needs a closer look."""
    try:
        rows = arrow_json.read_json(
            pa.BufferReader(block),
            read_options=arrow_json.ReadOptions(block_size=len(block) + 1),
            parse_options=arrow_json.ParseOptions(
                explicit_schema=pa.schema(list(fields.items())), unexpected_field_behavior="ignore"
            ),
        ).select(list(fields))
        rows.validate(full=True)
    except pa.ArrowInvalid:
        return None
    # Blank lines, or two objects on one, would shift the numbers of lines.
    if rows.num_rows != block.count(b"\n"):
        return None
    for name, kind in fields.items():
        if pa.types.is_list(kind) and pc.list_flatten(rows[name]).null_count:
            return None
    return Checked(with_provenance(rows, path, np.arange(rows.num_rows) + first_line), REJECTED_SCHEMA.empty_table())


def _read_lines(
    block: bytes, fields: dict[str, pa.DataType], required: Sequence[str], table: str, path: Path, first_line: int
) -> Checked:
    kept: list[dict[str, Any]] = []
    numbers: list[int] = []
    letters: list[tuple[str, int, str, str | None]] = []
    for number, line in enumerate(block.split(b"\n")[:-1], first_line):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            letters.append((_shown(line), number, UNPARSABLE_ROW, None))
            continue
        row = {name: _coerced(value.get(name), kind) for name, kind in fields.items()}
        misfits = [name for name in fields if row[name] is _MISFIT]
        useless = [name for name in misfits if name in required]
        if useless:
            letters.append((_shown(line), number, UNPARSABLE_ROW, useless[0]))
            continue
        for name in misfits:
            row[name] = None
            letters.append((_shown(line), number, BAD_FIELD, name))
        kept.append(row)
        numbers.append(number)
    rows = pa.Table.from_pylist(kept, pa.schema(list(fields.items())))
    text, at, reasons, named = zip(*letters) if letters else ((), (), (), ())
    rejected = rejected_rows(text, at, reasons, table, str(path), named)
    return Checked(with_provenance(rows, path, np.array(numbers, np.int64)), rejected)


def _coerced(value: Any, kind: pa.DataType) -> Any:
    """The value as `kind`, or _MISFIT. A number may stand for text, and a text for a list of one."""
    if value is None:
        return None
    if pa.types.is_list(kind):
        listed = [_coerced(v, pa.string()) for v in (value if isinstance(value, list) else [value])]
        return _MISFIT if any(v is _MISFIT for v in listed) else [v for v in listed if v is not None]
    if isinstance(value, (bool, dict, list)):
        return _MISFIT
    if pa.types.is_string(kind):
        # A lone half of a surrogate pair is legal in JSON and not in UTF-8.
        return str(value).encode("utf-8", errors="replace").decode("utf-8")
    if isinstance(value, str):
        if not re.fullmatch(r"\s*-?[0-9]{1,18}(\.[0-9]+)?\s*", value):
            return _MISFIT
        value = float(value) if "." in value else int(value)
    if pa.types.is_floating(kind):
        return float(value)
    return int(value) if value == value // 1 and abs(value) < 2**63 else _MISFIT


def _shown(line: bytes) -> str:
    text = line.decode("utf-8", errors="replace")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"
