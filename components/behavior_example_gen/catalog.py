"""One partition of items or queries: rows and train counts in, examples out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.behavior_example_gen import arrow, images
from components.behavior_example_gen.reading import COUNTS, REJECTED
from components.behavior_example_gen.settings import IngestSettings
from seminar_tf.data import columns, rejection
from seminar_tf.data.examples import item_examples, query_examples

# Images are large, and Python objects: few rows at a time. Of other rows, enough that the cost is that of their bytes.
_IMAGES_AT_ONCE = 1024
_ROWS_AT_ONCE = 16_384


class BuildCatalog(beam.DoFn):
    """Turns grouped items and counts into (partition, list of examples sorted by item id); tagged: REJECTED, COUNTS."""

    def __init__(self, settings: IngestSettings, path: str, sources: tuple[str, ...]) -> None:
        self._settings = settings
        self._path = path
        self._sources = list(sources)

    def process(self, element: tuple[int, dict[str, Iterable[bytes]]]) -> Iterator[Any]:
        """Args:
        element: partition, IPC bytes of `items` and of `counts` (id, count).
        """
        number, groups = element
        found = arrow.from_bytes(groups["items"])
        if found is None:
            return
        rows, rejected = arrow.newest_rows(found, "items", "item_id", self._sources)
        yield beam.pvalue.TaggedOutput(REJECTED, arrow.to_bytes(rejected))
        yield beam.pvalue.TaggedOutput(COUNTS, ("accepted_items", -rejected.num_rows))
        yield beam.pvalue.TaggedOutput(COUNTS, ("items", rows.num_rows))
        counts = self._counts_of(rows["item_id"], groups["counts"])
        examples: list[bytes] = []
        image = self._settings.dataset.image
        at_once = _IMAGES_AT_ONCE if image == "pixels" else _ROWS_AT_ONCE
        for start in range(0, rows.num_rows, at_once):
            piece = rows.slice(start, at_once)
            pixels, bad = self._pixels(piece)
            examples += item_examples(piece, pixels, counts[start : start + at_once], image == "vector").tolist()
            if bad.any():
                told = arrow.with_provenance(piece, self._sources).drop(["order", "span"])
                letters = rejection.reject(told, bad, rejection.BAD_IMAGE, "items", "")
                yield beam.pvalue.TaggedOutput(REJECTED, arrow.to_bytes(letters))
        yield number, examples

    def _counts_of(self, ids: pa.ChunkedArray, pieces: Iterable[bytes]) -> np.ndarray:
        """(n,) int64: how often each id is a pair of a train segment."""
        told, counts = sum_counts(pieces)
        place = pc.index_in(columns.whole(ids), value_set=told.values.cast(pa.string()))
        return np.append(counts, 0)[pc.fill_null(place, -1).to_numpy(zero_copy_only=False)]

    def _pixels(self, items: pa.Table) -> tuple[list[bytes | None] | None, np.ndarray]:
        """Pixels of each item's image, None where it (or the whole dataset) has none, and (n,) bool: whose is bad."""
        bad = np.zeros(items.num_rows, bool)
        if self._settings.dataset.image != "pixels":
            return None, bad
        pixels: list[bytes | None] = [None] * items.num_rows
        for row, (data, path) in enumerate(zip(items["image"].to_pylist(), items["image_path"].to_pylist())):
            try:
                pixels[row] = self._image(data, path)
            except images.BadImage:
                bad[row] = True
        return pixels, bad

    def _image(self, data: bytes | None, path: str | None) -> bytes | None:
        """Pixels of an image, bytes before path; None where there is neither."""
        if data is None and path:
            data = images.read(self._path, path)
        return None if data is None else images.decode(data, self._settings.image_size)


class BuildQueries(beam.DoFn):
    """Turns grouped counts into (partition, list of examples sorted by query)."""

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[Any]:
        """Args:
        element: partition, IPC bytes of counts (id, count).
        """
        number, pieces = element
        yield number, query_examples(*sum_counts(pieces)).tolist()


def sum_counts(pieces: Iterable[bytes]) -> tuple[columns.Strings, np.ndarray]:
    """Adds tables of (id, count) up.

    Returns:
      The distinct ids, sorted by their bytes (code k is value k), and (n,) int64 their sums.
    """
    table = arrow.from_bytes(pieces)
    if table is None:
        return columns.Strings(np.zeros(0, np.int64), pa.array([], pa.binary())), np.zeros(0, np.int64)
    ids = columns.strings(table["id"])
    total = np.zeros(len(ids.values), np.int64)
    np.add.at(total, ids.codes, columns.integers(table["count"]))
    return columns.Strings(np.arange(len(total)), ids.values), total
