"""One partition of items or queries: rows and train counts in, examples out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np

from components.behavior_example_gen import arrow, images
from components.behavior_example_gen.reading import COUNTS, REJECTED
from components.behavior_example_gen.settings import IngestSettings
from seminar_tf.data import columns, rejection
from seminar_tf.data.examples import item_example, query_example
from seminar_tf.features.text import normalise_text

# Images and vectors are large: this many rows are held as Python objects at a time.
_ROWS_AT_ONCE = 1024


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
        counts = sum_counts(groups["counts"])
        examples: list[bytes] = []
        for start in range(0, rows.num_rows, _ROWS_AT_ONCE):
            piece = rows.slice(start, _ROWS_AT_ONCE)
            bad = np.zeros(piece.num_rows, bool)
            for row, item in enumerate(piece.to_pylist()):
                try:
                    image = self._image(item)
                except images.BadImage:
                    image, bad[row] = None, True
                examples.append(item_example(self._stored(item), image, counts.get(item["item_id"], 0)))
            if bad.any():
                told = arrow.with_provenance(piece, self._sources).drop(["order", "span"])
                letters = rejection.reject(told, bad, rejection.BAD_IMAGE, "items", "")
                yield beam.pvalue.TaggedOutput(REJECTED, arrow.to_bytes(letters))
        yield number, examples

    def _image(self, item: dict[str, Any]) -> bytes | None:
        """Pixels of the item's image, bytes before path; None where it has none."""
        if self._settings.dataset.image != "pixels":
            return None
        data = item["image"]
        if data is None and item["image_path"]:
            data = images.read(self._path, item["image_path"])
        return None if data is None else images.decode(data, self._settings.image_size)

    def _stored(self, item: dict[str, Any]) -> dict[str, Any]:
        attributes = [normalise_text(value) for value in item["attributes"] or [] if value]
        vector = item["image_vector"] if self._settings.dataset.image == "vector" else None
        return {**item, "attributes": [a for a in attributes if a], "image_vector": vector}


class BuildQueries(beam.DoFn):
    """Turns grouped counts into (partition, list of examples sorted by query)."""

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[Any]:
        """Args:
        element: partition, IPC bytes of counts (id, count).
        """
        number, pieces = element
        counts = sum_counts(pieces)
        encoded = sorted((query.encode("utf-8"), count) for query, count in counts.items())
        yield number, [query_example(query, count) for query, count in encoded]


def sum_counts(pieces: Iterable[bytes]) -> dict[str, int]:
    """Adds tables of (id, count) up."""
    table = arrow.from_bytes(pieces)
    if table is None:
        return {}
    ids = columns.strings(table["id"])
    # Exact: float64 holds every count below 2**53.
    total = np.bincount(ids.codes, weights=columns.integers(table["count"]), minlength=len(ids.values))
    return {value.decode("utf-8"): int(count) for value, count in zip(ids.values, total)}
