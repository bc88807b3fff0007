"""Requests drawn from a model's own id spaces and vocabularies, serialized beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seminar_tf.export.inputs import (
    INDEXED_SIGNATURE,
    RAW_SIGNATURE,
    SEARCH_SIGNATURE,
    XLA_SIGNATURE,
)
from seminar_tf.export.metadata import ModelMetadata
from seminar_tf.features import names
from seminar_tf.features.vocabulary import read_entries
from serving.client import build_request

_NOW_MS = 1_700_000_000_000
_LONGEST_GAP_MS = 3_600_000
_BY_IDS = (INDEXED_SIGNATURE, XLA_SIGNATURE, SEARCH_SIGNATURE)
# Its one input has the same name: serialized tf.Example protos, a feature an input of `serving_default`.
_EXAMPLES = "examples"
SIGNATURES = (RAW_SIGNATURE, _EXAMPLES, *_BY_IDS)


class DrawError(ValueError):
    """Requests that cannot be drawn; the message says why."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a request.

    Attributes:
      rows: B, users in one call.
      length: L, pairs of each history.
      candidates: N.
    """

    rows: int = 1
    length: int = 10_000
    candidates: int = 200


class Drawer:
    """Draws requests for one exported model.

    Attributes:
      metadata: the model's.
    """

    def __init__(self, version_dir: str | Path) -> None:
        """Reads the model's metadata.

        Args:
          version_dir: folder of the SavedModel.

        Raises:
          MetadataError: it was not exported by seminar_tf.export.
        """
        self._assets = Path(version_dir) / "assets"
        self.metadata = ModelMetadata.load(version_dir)
        counts = self.metadata.item_count[names.FIRST_ITEM_ID : names.FIRST_ITEM_ID + self.metadata.known_items]
        # As often as they were trained on; evenly where the model knows no counts.
        weights = counts if counts.sum() else np.ones_like(counts)
        self._steps = np.cumsum(weights) / weights.sum()
        self._vocabularies: dict[str, np.ndarray] = {}

    def ids(self, rng: np.random.Generator, shape: Shape) -> dict[str, np.ndarray]:
        """Inputs of `rank_indexed`: full histories, half of whose pairs have a query.

        Args:
          rng: source of chance.
          shape: B, L, N.

        Returns:
          Input name -> array, as `seminar_tf.export.inputs.INDEXED` lists them, one attribute a user.
        """
        sizes, rows = self.metadata.sizes, shape.rows
        gaps = rng.integers(1, _LONGEST_GAP_MS, (rows, shape.length))
        return {
            names.HISTORY_ITEM_ID: self._items(rng, (rows, shape.length)),
            names.HISTORY_QUERY: _queries(rng, (rows, shape.length), sizes.queries),
            names.HISTORY_TIMESTAMP: (_NOW_MS - np.cumsum(gaps, axis=1)[:, ::-1]).astype(np.int64),
            names.CANDIDATE_ITEM_ID: self._items(rng, (rows, shape.candidates)),
            names.QUERY: _queries(rng, (rows,), sizes.queries),
            names.REQUEST_TIMESTAMP: np.full(rows, _NOW_MS, np.int64),
            names.USER_ATTRIBUTES: rng.integers(1, sizes.attributes, (rows, 1)).astype(np.int32),
        }

    def raw(self, ids: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The inputs of `serving_default` that mean the same: strings of the model's vocabularies.

        Ids of hash buckets become strings that no vocabulary has.
        """
        found = {
            names.USER_ID: np.array([f"user{n}".encode() for n in range(len(ids[names.QUERY]))], np.object_),
            names.HISTORY_TIMESTAMP: ids[names.HISTORY_TIMESTAMP],
            names.REQUEST_TIMESTAMP: ids[names.REQUEST_TIMESTAMP],
        }
        for name in (names.HISTORY_ITEM_ID, names.CANDIDATE_ITEM_ID):
            found[name] = self._strings(names.ITEM_VOCABULARY, names.FIRST_ITEM_ID, ids[name])
        for name in (names.HISTORY_QUERY, names.QUERY):
            found[name] = self._strings(names.QUERY_VOCABULARY, names.FIRST_QUERY_ID, ids[name])
        attributes = ids[names.USER_ATTRIBUTES]
        found[names.USER_ATTRIBUTES] = self._strings(names.ATTRIBUTE_VOCABULARY, names.FIRST_ATTRIBUTE_ID, attributes)
        return found

    def _items(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        place = np.searchsorted(self._steps, rng.random(shape), side="right")
        return (names.FIRST_ITEM_ID + np.minimum(place, len(self._steps) - 1)).astype(np.int32)

    def _strings(self, vocabulary: str, first: int, ids: np.ndarray) -> np.ndarray:
        """Ids of any shape -> bytes; ids below `first` mean nothing typed, or padding, and become empty."""
        if vocabulary not in self._vocabularies:
            entries = [entry.encode() for entry in read_entries(self._assets / vocabulary)]
            self._vocabularies[vocabulary] = np.array([b""] * first + entries, np.object_)
        table = self._vocabularies[vocabulary]
        found = np.full(ids.shape, b"\xe2\x80\xa6in no vocabulary", np.object_)
        known = ids < len(table)
        found[known] = table[ids[known]]
        return found


def examples(raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The input of `examples` for some inputs of `serving_default`; TensorFlow is loaded, whose proto it is.

    Args:
      raw: input name -> array of B rows.

    Returns:
      {"examples": (B,) objects}.
    """
    from tensorflow.core.example import example_pb2

    found = np.empty(len(raw[names.QUERY]), np.object_)
    for row in range(len(found)):
        example = example_pb2.Example()
        for name, values in raw.items():
            feature, flat = example.features.feature[name], np.ravel(values[row]).tolist()
            if values.dtype == np.object_:
                feature.bytes_list.value.extend(flat)
            else:
                feature.int64_list.value.extend(flat)
        found[row] = example.SerializeToString()
    return {_EXAMPLES: found}


def _queries(rng: np.random.Generator, shape: tuple[int, ...], rows: int) -> np.ndarray:
    typed = rng.integers(names.FIRST_QUERY_ID, max(rows, names.FIRST_QUERY_ID + 1), shape)
    browsing = rng.random(shape) < 0.5
    return np.where(browsing | (rows <= names.FIRST_QUERY_ID), names.EMPTY_QUERY_ID, typed).astype(np.int32)


def serialized(
    drawer: Drawer, signature: str, shape: Shape, packed: bool, count: int, seed: int, model_name: str
) -> list[bytes]:
    """Serialized PredictRequests; the same seed gives the same users for every signature and encoding.

    Args:
      drawer: of the model.
      signature: one of `SIGNATURES`.
      shape: B, L, N.
      packed: numbers as raw bytes rather than one by one.
      count: how many.
      seed: of the draws.
      model_name: as the server names the model.

    Raises:
      DrawError: a signature whose inputs are not known here.
    """
    if signature not in SIGNATURES:
        raise DrawError(
            f"no requests can be drawn for signature {signature!r}; expected one of {', '.join(SIGNATURES)}."
        )
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        ids = drawer.ids(rng, shape)
        inputs = ids if signature in _BY_IDS else drawer.raw(ids)
        if signature == _EXAMPLES:
            inputs = examples(inputs)
        found.append(build_request(inputs, model_name, signature, packed=packed).SerializeToString())
    return found
