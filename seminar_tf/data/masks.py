"""Boolean Arrow columns as NumPy masks of rows, where null is false."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def as_mask(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """A boolean column as a writable (rows,) bool array; null is false."""
    filled = pc.fill_null(column, False)
    values = filled.to_numpy() if isinstance(filled, pa.ChunkedArray) else filled.to_numpy(zero_copy_only=False)
    return np.array(values, bool)


def blank(column: pa.ChunkedArray) -> np.ndarray:
    """(rows,) bool: where a string column is null, empty or only white space."""
    return as_mask(pc.fill_null(pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(column)), 0), True))


def any_of(masks: list[np.ndarray], rows: int) -> np.ndarray:
    """(rows,) bool: where any of the masks is true; nowhere if there is none."""
    return np.logical_or.reduce(masks) if masks else np.zeros(rows, bool)
