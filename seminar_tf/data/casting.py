"""Brings one Arrow table or batch to the columns and types of data/schema.py."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from seminar_tf.data.dataset import DatasetError
from seminar_tf.data.schema import Table


def to_canonical(data: pa.Table, table: Table, source: str, families: Sequence[str] = ()) -> pa.Table:
    """Casts a table whose columns `dataset.check_schema` has passed.

    Args:
      data: any number of rows; columns that `table` has no place for are left out.
      table: the canonical table that `data` claims to be.
      source: file the rows come from, for messages.
      families: `label_*` or `numeric_*` columns that the result has even where `data` lacks them, so that files
        with different label columns can be concatenated.

    Returns:
      Required, then optional, then family columns (sorted by name), with canonical types; columns that `data` lacks
      are all null.

    Raises:
      DatasetError: a required column is missing, a value does not fit its type, or text is not UTF-8.
    """
    extra = {c for c in data.column_names if c not in table.required and c not in table.optional and table.type_of(c)}
    names = [*table.required, *table.optional, *sorted(extra | set(families))]
    columns = []
    for name in names:
        kind = table.type_of(name)
        if kind is None:
            raise DatasetError(f"{source}: table {table.name} has no place for column {name!r}.")
        if name not in data.column_names:
            if name in table.required:
                raise DatasetError(f"{source}: column {name!r} ({kind}) is missing from table {table.name}.")
            columns.append(pa.nulls(data.num_rows, kind))
            continue
        columns.append(_cast(data.column(name), kind, name, source))
    return pa.table(columns, schema=pa.schema([pa.field(name, table.type_of(name)) for name in names]))


def _cast(column: pa.ChunkedArray, kind: pa.DataType, name: str, source: str) -> pa.ChunkedArray:
    if pa.types.is_fixed_size_list(column.type):
        # Arrow 10 has no such cast.
        column = pa.chunked_array(
            [_variable_lists(chunk) for chunk in column.chunks], type=pa.list_(column.type.value_type)
        )
    # Timestamps must fit exactly; labels and vectors may lose digits on their way to float32.
    exact = pa.types.is_integer(kind)
    try:
        cast = column if column.type.equals(kind) else column.cast(kind, safe=exact)
        # Parquet's writers need not check that a string column holds UTF-8, and all that follows relies on it.
        cast.validate(full=True)
    except pa.ArrowInvalid as error:
        raise DatasetError(f"{source}: column {name!r} holds a value that is not a {kind}: {error}") from error
    return cast


def _variable_lists(lists: pa.FixedSizeListArray) -> pa.ListArray:
    """The same lists, nulls kept, with offsets instead of a fixed size."""
    valid = lists.is_valid().to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(valid * lists.type.list_size)])
    # A null offset marks its list as null; the last offset closes the last list and is never null.
    nullable = pa.array(offsets, pa.int32(), mask=np.append(~valid, False))
    return pa.ListArray.from_arrays(nullable, lists.drop_null().flatten())
