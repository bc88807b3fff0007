"""`name=value` lists of the canonical tables, from columns: one array operation a column, none a row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seminar_tf.data.columns import whole


def attribute_lists(columns: Sequence[tuple[str, pa.ChunkedArray | pa.Array]], rows: int) -> pa.ListArray:
    """Joins columns into one list of attributes a row.

    Args:
      columns: (attribute's name, its values): strings, where null and blank give no attribute, or lists of strings.
      rows: length of every column.

    Returns:
      (rows,) lists of `name=value`, in the order of `columns`; never null.
    """
    values, owners = [pa.array([], pa.string())], [np.zeros(0, np.int64)]
    for name, column in columns:
        found = whole(column)
        owner = np.arange(rows)
        if pa.types.is_list(found.type):
            owner = np.repeat(owner, pc.fill_null(pc.list_value_length(found), 0).to_numpy())
            found = pc.list_flatten(found)
        found = pc.utf8_trim_whitespace(found)
        there = pc.fill_null(pc.greater(pc.utf8_length(found), 0), False)
        values.append(pc.binary_join_element_wise(name, found.filter(there), "="))
        owners.append(owner[there.to_numpy(zero_copy_only=False)])
    owner = np.concatenate(owners)
    # Stable: attributes of a row keep the order of the columns.
    order = np.argsort(owner, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=rows))])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.concat_arrays(values).take(pa.array(order)))
