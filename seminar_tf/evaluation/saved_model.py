"""An exported ranker behind the protocol's interface, and ids translated from one model's vocabulary to another's."""

from __future__ import annotations

import filecmp
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import seminar_tf  # noqa: F401  (settles the Keras version before TensorFlow loads)
from seminar_tf.export.inputs import INDEXED_SIGNATURE, SCORE_PREFIX
from seminar_tf.export.metadata import MetadataError, ModelMetadata
from seminar_tf.features import names
from seminar_tf.features.vocabulary import read_entries

import tensorflow as tf  # isort: skip


@dataclass(frozen=True)
class IdMaps:
    """Ids of one model's vocabularies -> ids of another's; None where the vocabularies are the same.

    Attributes:
      items: (rows of the first model,) int32.
      queries, attributes: the same for queries and attributes.
    """

    items: np.ndarray | None = None
    queries: np.ndarray | None = None
    attributes: np.ndarray | None = None

    def apply(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The batch in the second model's ids."""
        by_name = {
            names.HISTORY_ITEM_ID: self.items,
            names.CANDIDATE_ITEM_ID: self.items,
            names.HISTORY_QUERY: self.queries,
            names.QUERY: self.queries,
            names.USER_ATTRIBUTES: self.attributes,
        }
        maps = {name: table for name, table in by_name.items() if table is not None and name in batch}
        return {name: maps[name][value] if name in maps else value for name, value in batch.items()}


def id_maps(from_model: str | Path, to_model: str | Path) -> IdMaps:
    """How ids of `from_model`'s vocabularies read in those of `to_model`.

    The transformed examples carry the newest vocabulary's ids, but a model blessed yesterday was trained with
    yesterday's. A term that the other model does not know goes to the OOV bucket that the other model's own lookup
    would give it; a term that already is an OOV bucket keeps its bucket.

    Args:
      from_model: SavedModel folder of the model whose ids the examples carry.
      to_model: SavedModel folder of the other model.

    Returns:
      The maps.

    Raises:
      MetadataError: a model has no metadata or no vocabulary file in its assets.
    """
    one, other = ModelMetadata.load(from_model), ModelMetadata.load(to_model)

    def table(name: str, first: int, rows: int, other_rows: int) -> np.ndarray | None:
        here, there = _asset(from_model, name), _asset(to_model, name)
        if rows == other_rows and filecmp.cmp(here, there, shallow=False):
            return None
        return _translate(read_entries(here), read_entries(there), first, rows, other_rows)

    return IdMaps(
        items=table(names.ITEM_VOCABULARY, names.FIRST_ITEM_ID, one.sizes.items, other.sizes.items),
        queries=table(names.QUERY_VOCABULARY, names.FIRST_QUERY_ID, one.sizes.queries, other.sizes.queries),
        attributes=table(
            names.ATTRIBUTE_VOCABULARY, names.FIRST_ATTRIBUTE_ID, one.sizes.attributes, other.sizes.attributes
        ),
    )


def _asset(model: str | Path, name: str) -> Path:
    path = Path(model) / "assets" / name
    if not path.exists():
        raise MetadataError(f"{path} does not exist: without its vocabulary the model's ids have no meaning.")
    return path


def _translate(here: list[str], there: list[str], first: int, rows: int, other_rows: int) -> np.ndarray:
    """Row map of one id space: reserved ids stay, then the vocabulary, then the OOV buckets."""
    buckets = other_rows - first - len(there)
    index = {term: n for n, term in enumerate(there)}
    # tf.lookup.StaticVocabularyTable hashes what it does not know in just this way.
    hashed = tf.strings.to_hash_bucket_fast(here, buckets).numpy() if here else np.empty(0, np.int64)
    vocabulary = [index.get(term, len(there) + int(bucket)) for term, bucket in zip(here, hashed)]
    oov = len(there) + np.arange(rows - first - len(here)) % buckets
    return np.concatenate([np.arange(first), first + np.array(vocabulary, np.int64), first + oov]).astype(np.int32)


class SavedModelRanker:
    """Calls the `rank_indexed` signature of an exported model.

    Attributes:
      metadata: what the model says of itself.
      history_length: L of its evaluation requests.
    """

    def __init__(self, path: str | Path, maps: IdMaps | None = None) -> None:
        """Loads the model.

        Args:
          path: SavedModel folder.
          maps: translation of the batch's ids into the model's; None when they are the model's own.

        Raises:
          MetadataError: the folder has no metadata, or the model lacks the signature or its primary output.
        """
        self.metadata = ModelMetadata.load(path)
        self.history_length = self.metadata.history_length
        self._maps = maps or IdMaps()
        self._output = SCORE_PREFIX + self.metadata.primary_task
        # The loaded object is kept: its signatures hold variables by weak reference only.
        self._model = tf.saved_model.load(str(path))
        self._path = path
        self._call = self.signature(INDEXED_SIGNATURE)
        if self._output not in self._call.structured_outputs:
            raise MetadataError(
                f"{path}: signature {INDEXED_SIGNATURE!r} gives {sorted(self._call.structured_outputs)}, expected "
                f"{self._output!r}, the scores of the primary task."
            )
        self._inputs: dict[str, tf.TensorSpec] = self._call.structured_input_signature[1]

    def signature(self, name: str) -> Any:
        """A signature of the model, which takes tensors by name in the model's own ids.

        Raises:
          MetadataError: it has none of that name.
        """
        if name not in self._model.signatures:
            raise MetadataError(f"{self._path} has signatures {sorted(self._model.signatures)}, expected {name!r}.")
        return self._model.signatures[name]

    def score(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        """Scores of the primary task.

        Args:
          batch: the batch dict, with candidate_item_id (B, N).

        Returns:
          (B, N) float32.
        """
        scores: np.ndarray = self._run(batch)[self._output].numpy()
        return scores

    def task_scores(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Probabilities of every task of the model: task -> (B, N) float32; `batch` as in `score`."""
        found = self._run(batch)
        return {
            name.removeprefix(SCORE_PREFIX): value.numpy()
            for name, value in found.items()
            if name.startswith(SCORE_PREFIX)
        }

    def _run(self, batch: dict[str, np.ndarray]) -> dict[str, tf.Tensor]:
        translated = self._maps.apply(batch)
        missing = self._inputs.keys() - translated.keys()
        if missing:
            raise MetadataError(
                f"signature {INDEXED_SIGNATURE!r} wants {sorted(missing)}, which evaluation does not have; it has "
                f"{sorted(translated)}."
            )
        feed = {
            name: tf.constant(_fit(translated[name], spec), dtype=spec.dtype) for name, spec in self._inputs.items()
        }
        outputs: dict[str, tf.Tensor] = self._call(**feed)
        return outputs


def _fit(value: np.ndarray, spec: tf.TensorSpec) -> np.ndarray:
    """Pads or cuts the second dimension where the signature fixes it (user_attributes)."""
    if value.ndim < 2 or spec.shape.rank is None or spec.shape[1] is None or spec.shape[1] == value.shape[1]:
        return value
    fitted = np.zeros((len(value), spec.shape[1]), value.dtype)
    width = min(spec.shape[1], value.shape[1])
    fitted[:, :width] = value[:, :width]
    return fitted
