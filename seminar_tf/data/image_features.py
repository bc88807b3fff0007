"""Image features of the Amazon reviews: a file of records, each 10 bytes of asin and 4,096 little-endian floats."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa

from seminar_tf.data.dataset import DatasetError

ASIN_BYTES = 10
WIDTH = 4096
RECORD_BYTES = ASIN_BYTES + 4 * WIDTH

# Record ids are read through a window of records, so that the file need not fit in memory.
_WINDOW = 1024


class ImageFeatures:
    """Vectors by item id. Ids are held in memory, vectors are read from the file when they are asked for.

    Attributes:
      path: the file.
      dim: width of the vectors that are given: 4,096, or less where they are projected.
    """

    def __init__(self, path: Path, dim: int = 0) -> None:
        """Args:
          path: the file as published, unpacked.
          dim: project to so many dimensions by a fixed Gaussian matrix, which keeps inner products up to noise of
            about 1 / sqrt(dim) of the norms; 0 gives the vectors as they are.

        Raises:
          DatasetError: the file is missing, empty, or no whole number of records; or `dim` is out of range.
        """
        if not 0 <= dim <= WIDTH:
            raise DatasetError(f"image dim: expected 0 to {WIDTH}, found {dim}.")
        if not path.is_file():
            raise DatasetError(f"{path}: no such file.")
        records, left = divmod(path.stat().st_size, RECORD_BYTES)
        if left or not records:
            raise DatasetError(
                f"{path}: expected whole records of {RECORD_BYTES} bytes (a 10 byte asin and {WIDTH} float32); found "
                f"{records} of them and {left} bytes more. It was cut off, or is another file: fetch it again."
            )
        self.path = path
        self.dim = dim or WIDTH
        # The same matrix for every dataset and run: vectors of two runs can be compared.
        self._matrix = (
            np.random.default_rng(0).standard_normal((WIDTH, dim), np.float32) / np.float32(np.sqrt(dim))
            if dim
            else None
        )
        asins = _asins(path, records)
        # Stable, so that of records with one asin the first is found.
        self._order = np.argsort(asins, kind="stable")
        self._sorted = asins[self._order]

    def __len__(self) -> int:
        return len(self._sorted)

    def vectors_of(self, ids: pa.ChunkedArray | pa.Array) -> pa.ListArray:
        """The items' vectors, null for an item without one.

        Args:
          ids: (n,) strings.

        Returns:
          (n,) lists of `dim` float32.
        """
        wanted = np.array([i.encode("utf-8")[: ASIN_BYTES + 1] for i in ids.to_pylist()], f"S{ASIN_BYTES + 1}")
        place = np.minimum(np.searchsorted(self._sorted, wanted), len(self._sorted) - 1)
        there = self._sorted[place] == wanted if len(wanted) else np.zeros(0, bool)
        vectors = self._read(self._order[place[there]])
        if self._matrix is not None:
            vectors = vectors @ self._matrix
        offsets = np.concatenate([[0], np.cumsum(there * self.dim)])
        # A null offset marks its list as null; the last offset closes the last list.
        nullable = pa.array(offsets, pa.int32(), mask=np.append(~there, False))
        return pa.ListArray.from_arrays(nullable, pa.array(vectors.reshape(-1)))

    def _read(self, records: np.ndarray) -> np.ndarray:
        """(n, 4096) float32, the vectors of some records."""
        made = np.empty((len(records), WIDTH), "<f4")
        with self.path.open("rb") as file:
            # In the file's order: the disk reads ahead.
            for row in np.argsort(records):
                # pread and not a memory map: mapped pages would count as this process' memory.
                data = os.pread(file.fileno(), 4 * WIDTH, int(records[row]) * RECORD_BYTES + ASIN_BYTES)
                made[row] = np.frombuffer(data, "<f4")
        return made.astype(np.float32, copy=False)


def _asins(path: Path, records: int) -> np.ndarray:
    """(records,) asins as bytes, one longer than an asin so that longer ids never match."""
    found = np.empty(records, f"S{ASIN_BYTES + 1}")
    kind = np.dtype([("asin", f"S{ASIN_BYTES}"), ("vector", "<f4", (WIDTH,))])
    with path.open("rb") as file:
        for start in range(0, records, _WINDOW):
            found[start : start + _WINDOW] = np.fromfile(file, kind, min(_WINDOW, records - start))["asin"]
    return found
