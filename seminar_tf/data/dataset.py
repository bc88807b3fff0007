"""What a canonical dataset holds, read from its Parquet schemas: spans, tasks, modalities and their widths."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from seminar_tf.config import DataConfig
from seminar_tf.data import schema
from seminar_tf.data.errors import DatasetError

__all__ = [
    "DatasetError",
    "DatasetSpec",
    "check_schema",
    "describe",
    "find_spans",
    "table_bytes",
    "table_files",
    "uses_requests",
]

_SPAN = re.compile(r"span-(\d+)$")


@dataclass(frozen=True)
class DatasetSpec:
    """The shape of a dataset, which fixes the features of examples and the inputs of the model.

    Attributes:
      spans: span numbers found, ascending.
      tasks: label tasks, without the `label_` prefix, sorted; ("click",) where no table has a label.
      numeric: numeric item columns, without the `numeric_` prefix, sorted.
      image: `pixels` (bytes or path), `vector` or `none`.
      image_dim: width of the image vector; 0 unless image is `vector`.
      text_dim: width of the text vector; 0 where there is none.
      has_requests: whether there are logged impressions.
    """

    spans: tuple[int, ...]
    tasks: tuple[str, ...] = ("click",)
    numeric: tuple[str, ...] = ()
    image: str = "none"
    image_dim: int = 0
    text_dim: int = 0
    has_requests: bool = False


def uses_requests(data: DataConfig, spec: DatasetSpec) -> bool:
    """Whether targets are the candidates of logged requests, not the events themselves.

    Raises:
      DatasetError: the configuration asks for requests and the dataset has none.
    """
    if data.targets == "requests" and not spec.has_requests:
        raise DatasetError(
            f"data.targets is requests, but no span of {data.path} has a requests table. "
            "Add one, or set data.targets to events."
        )
    return spec.has_requests and data.targets != "events"


def table_files(path: str | Path, span: int, table: str) -> list[Path]:
    """Parquet files of one table in one span, sorted by name; empty where the table is missing."""
    return sorted((Path(path) / f"span-{span}" / table).glob("*.parquet"))


def table_bytes(path: str | Path, spans: Iterable[int]) -> int:
    """Size of all tables of these spans on disk."""
    return sum(f.stat().st_size for span in spans for table in schema.TABLES for f in table_files(path, span, table))


def find_spans(path: str | Path) -> tuple[int, ...]:
    """Span numbers under a dataset folder, ascending."""
    root = Path(path)
    found = (_SPAN.search(child.name) for child in root.iterdir()) if root.is_dir() else iter(())
    return tuple(sorted(int(match.group(1)) for match in found if match))


def describe(path: str | Path, span: int | None = None) -> DatasetSpec:
    """Reads the schemas of every span.

    Args:
      path: dataset folder.
      span: the last span to look at, so that a run for it does not depend on later ones; None looks at all.

    Returns:
      The dataset's spec.

    Raises:
      DatasetError: no span, or not the one asked for, no events or items table, a missing column or one of the wrong
        type.
    """
    spans = find_spans(path)
    if span is not None and span not in spans:
        raise DatasetError(f"{path} has no span-{span}; it has {', '.join(f'span-{n}' for n in spans) or 'none'}.")
    spans = tuple(found for found in spans if span is None or found <= span)
    if not spans:
        raise DatasetError(
            f"{path}: no span found. Expected {path}/span-1/events/*.parquet and so on; see docs/data.md."
        )
    columns: dict[str, dict[str, pa.DataType]] = {name: {} for name in schema.TABLES}
    for span in spans:
        for table in schema.TABLES.values():
            files = table_files(path, span, table.name)
            if not files and table.name == "events":
                raise DatasetError(f"{path}/span-{span}/events: no *.parquet file. Every span needs an events table.")
            for file in files:
                columns[table.name].update(check_schema(table, file))
    if not columns["items"]:
        raise DatasetError(f"{path}: no span has an items table. Expected {path}/span-{spans[0]}/items/*.parquet.")
    labels = {c for t in ("events", "requests") for c in columns[t] if c.startswith(schema.LABEL_PREFIX)}
    items = columns["items"]
    pixels = "image" in items or "image_path" in items
    image_dim = _vector_dim(path, spans, "image_vector") if "image_vector" in items and not pixels else 0
    return DatasetSpec(
        spans=spans,
        tasks=tuple(sorted(c.removeprefix(schema.LABEL_PREFIX) for c in labels)) or ("click",),
        numeric=tuple(
            sorted(c.removeprefix(schema.NUMERIC_PREFIX) for c in items if c.startswith(schema.NUMERIC_PREFIX))
        ),
        image="pixels" if pixels else "vector" if image_dim else "none",
        image_dim=image_dim,
        text_dim=_vector_dim(path, spans, "text_vector") if "text_vector" in items else 0,
        has_requests=bool(columns["requests"]),
    )


def check_schema(table: schema.Table, file: Path) -> dict[str, pa.DataType]:
    """Checks one Parquet file's columns against its table.

    Returns:
      The file's columns that the table knows, with their canonical types.

    Raises:
      DatasetError: not a Parquet file, a required column is missing, or a column's type cannot be cast.
    """
    try:
        found = pq.read_schema(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise DatasetError(f"{file}: not a readable Parquet file ({error}).") from error
    for column, kind in table.required.items():
        if column not in found.names:
            raise DatasetError(
                f"{file}: column {column!r} ({kind}) is missing from table {table.name}; "
                f"it has {', '.join(found.names)}."
            )
    known = {}
    for field in found:
        kind = table.type_of(field.name)
        if kind is None:
            continue
        if not _castable(field.type, kind):
            raise DatasetError(f"{file}: column {field.name!r} is {field.type}, expected {kind}.")
        known[field.name] = kind
    return known


def _castable(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether values keep their meaning in the canonical type (a double that holds a timestamp does not)."""
    if found.equals(wanted) or pa.types.is_null(found):
        return True
    if pa.types.is_dictionary(found):
        return _castable(found.value_type, wanted)
    if pa.types.is_list(wanted):
        return (pa.types.is_list(found) or pa.types.is_large_list(found) or pa.types.is_fixed_size_list(found)) and (
            _castable(found.value_type, wanted.value_type)
        )
    if pa.types.is_string(wanted):
        return pa.types.is_large_string(found)
    if pa.types.is_binary(wanted):
        return pa.types.is_large_binary(found)
    if pa.types.is_integer(wanted):
        return pa.types.is_integer(found)
    if pa.types.is_boolean(wanted):
        return pa.types.is_boolean(found)
    return pa.types.is_floating(found) or pa.types.is_integer(found) or pa.types.is_boolean(found)


def _vector_dim(path: str | Path, spans: tuple[int, ...], column: str) -> int:
    """Length of the first non-null vector of an items column; 0 where there is none."""
    for span in spans:
        for file in table_files(path, span, "items"):
            source = pq.ParquetFile(file)
            if column not in source.schema_arrow.names:
                continue
            for batch in source.iter_batches(columns=[column], batch_size=1024):
                lengths = batch.column(0).drop_null()
                if len(lengths):
                    return len(lengths[0])
    return 0
