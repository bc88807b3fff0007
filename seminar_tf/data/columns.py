"""Arrow columns as NumPy arrays: strings as codes into their distinct values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class Strings:
    """A string column held once a distinct value.

    Attributes:
      codes: (n,) int64 indices into `values`.
      values: (distinct,) binary, without nulls.
    """

    codes: np.ndarray
    values: pa.Array

    def __len__(self) -> int:
        return len(self.codes)

    def rows(self, chosen: slice | np.ndarray) -> list[bytes]:
        """The strings of some rows, in order."""
        found: list[bytes] = self.values.take(pa.array(self.codes[chosen])).to_pylist()
        return found

    def take(self, rows: np.ndarray) -> Strings:
        """The column at `rows`, which share the values."""
        return Strings(self.codes[rows], self.values)


def whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """The column as one array, dictionaries decoded."""
    if isinstance(column, pa.ChunkedArray):
        if column.num_chunks == 0:
            column = pa.array([], column.type)
        else:
            chunks = [whole(chunk) for chunk in column.chunks]
            return chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def strings(column: pa.ChunkedArray | pa.Array, rule: Callable[[pa.Array], pa.Array] | None = None) -> Strings:
    """Encodes a string column; null becomes the empty string.

    Args:
      column: n strings.
      rule: applied to the distinct values, not to the rows. Values that it makes equal share one code.

    Returns:
      n codes; `values` are distinct and sorted by their bytes, so codes compare as the strings do.
    """
    encoded = pc.fill_null(whole(column).cast(pa.string()), "").dictionary_encode()
    codes, found = encoded.indices.to_numpy(zero_copy_only=False), encoded.dictionary
    if rule is not None:
        ruled = rule(found).dictionary_encode()
        codes, found = ruled.indices.to_numpy(zero_copy_only=False)[codes], ruled.dictionary
    # Arrow compares strings by their bytes.
    order = pc.array_sort_indices(found).to_numpy(zero_copy_only=False)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return Strings(rank[codes], found.take(pa.array(order)).cast(pa.binary()))


def objects(values: pa.Array) -> np.ndarray:
    """Strings, or bytes, without null as an object array of bytes."""
    made = np.empty(len(values), object)
    made[:] = values.cast(pa.binary()).to_numpy(zero_copy_only=False)
    return made


def codes_with_null(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Distinct values of a column as numbers from 0, in order of appearance; null is -1."""
    indices = whole(column).dictionary_encode().indices
    return pc.fill_null(indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)


def integers(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """An integer column without nulls, as int64."""
    return whole(column).to_numpy(zero_copy_only=False).astype(np.int64)


def floats(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """A number column as float32; null is NaN."""
    return np.array(whole(column).cast(pa.float32()).to_numpy(zero_copy_only=False), np.float32)
