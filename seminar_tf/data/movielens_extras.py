"""What may lie beside a MovieLens folder's files: image vectors (.npy pair) and texts (JSON), by movie id."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from seminar_tf.data.dataset import DatasetError


@dataclass(frozen=True)
class ItemExtras:
    """Vectors and texts of some items.

    Attributes:
      rows: item id -> row of `vectors`.
      vectors: (rows, dim) float32; dim is 0 where there are none.
      texts: item id -> text; empty where there are none.
    """

    rows: dict[str, int] = field(default_factory=dict)
    vectors: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def has_vectors(self) -> bool:
        """Whether there are vectors at all."""
        return self.vectors.size > 0

    def vectors_of(self, ids: list[str]) -> pa.ListArray:
        """The items' vectors, null for an item without one: list of float32, one for each of `ids`."""
        rows = np.array([self.rows.get(i, -1) for i in ids], np.int64)
        present, dim = rows >= 0, self.vectors.shape[1]
        offsets = np.concatenate([[0], np.cumsum(present * dim)])
        nullable = pa.array(offsets, pa.int32(), mask=np.append(~present, False))
        return pa.ListArray.from_arrays(nullable, pa.array(self.vectors[rows[present]].reshape(-1)))


def load_extras(
    src: Path, vectors: tuple[Path, Path] | None, texts: Path | None, find_vectors: bool, find_texts: bool
) -> ItemExtras:
    """Reads vectors and texts.

    Args:
      src: folder that is looked through where no file is named.
      vectors: .npy of ids, (n,) integers, and .npy of vectors, (n, dim) floats.
      texts: JSON object, id -> text.
      find_vectors, find_texts: whether to look through `src`.

    Raises:
      DatasetError: a choice is ambiguous, or a file is not of that form.
    """
    if vectors is None and find_vectors:
        vectors = _find_vectors(src)
    if texts is None and find_texts:
        found = sorted(src.glob("*.json"))
        if len(found) > 1:
            raise DatasetError(f"{src} holds several JSON files ({_names(found)}); name the texts with --texts.")
        texts = found[0] if found else None
    rows, matrix = _load_vectors(*vectors) if vectors else ({}, np.zeros((0, 0), np.float32))
    return ItemExtras(rows, matrix, _load_texts(texts) if texts else {})


def _find_vectors(src: Path) -> tuple[Path, Path] | None:
    ids = sorted(src.glob("*_ids.npy"))
    values = sorted(path for path in src.glob("*.npy") if path not in ids)
    if not ids and not values:
        return None
    if len(ids) == 1 and len(values) == 1:
        return ids[0], values[0]
    raise DatasetError(
        f"{src}: expected one *_ids.npy and one other .npy with a vector for each id; found ids in "
        f"{_names(ids)} and vectors in {_names(values)}. Name the two with --vectors IDS VECTORS, or pass --no-vectors."
    )


def _load_vectors(ids_file: Path, values_file: Path) -> tuple[dict[str, int], np.ndarray]:
    ids, values = _load_npy(ids_file), _load_npy(values_file)
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
        raise DatasetError(f"{ids_file}: expected ids, shape (n,) of integers; found {ids.shape} of {ids.dtype}.")
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.floating) or len(values) != len(ids):
        raise DatasetError(
            f"{values_file}: expected ({len(ids)}, dim) floats, a vector for each id of {ids_file.name}; "
            f"found {values.shape} of {values.dtype}."
        )
    rows = {str(movie): row for row, movie in enumerate(ids.tolist())}
    if len(rows) != len(ids):
        raise DatasetError(f"{ids_file}: {len(ids) - len(rows)} ids occur more than once.")
    return rows, values.astype(np.float32)


def _load_npy(path: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: not a readable .npy file of plain numbers ({error}).") from error


def _load_texts(path: Path) -> dict[str, str]:
    try:
        texts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: not a readable JSON file ({error}).") from error
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise DatasetError(f'{path}: expected a JSON object from movie id to text, such as {{"1": "..."}}.')
    return texts


def _names(paths: list[Path]) -> str:
    return ", ".join(path.name for path in paths) or "none"
