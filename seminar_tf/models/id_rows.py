"""Rows of ids between two vocabularies: what a table that was trained with the one is worth under the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seminar_tf.features import names
from seminar_tf.features.vocabulary import FeatureSizes, read_entries

# Id space -> (vocabulary file, first id of the vocabulary).
SPACES = {
    "items": (names.ITEM_VOCABULARY, names.FIRST_ITEM_ID),
    "queries": (names.QUERY_VOCABULARY, names.FIRST_QUERY_ID),
    "tokens": (names.TOKEN_VOCABULARY, names.FIRST_TOKEN_ID),
    "attributes": (names.ATTRIBUTE_VOCABULARY, names.FIRST_ATTRIBUTE_ID),
}
# No such id in the old space.
UNKNOWN = -1


@dataclass(frozen=True)
class IdSpace:
    """One id space: padding (and the empty query), vocabulary, OOV buckets.

    Attributes:
      entries: the vocabulary, in id order.
      first: its first id.
      buckets: OOV buckets behind it.
    """

    entries: Sequence[str]
    first: int
    buckets: int

    @property
    def rows(self) -> int:
        """Ids, all in all."""
        return self.first + len(self.entries) + self.buckets


def read_spaces(folder: str | Path, sizes: FeatureSizes) -> dict[str, IdSpace]:
    """The id spaces of a model.

    Args:
      folder: of its vocabulary files: `assets` of a SavedModel, or `transform_fn/assets` of a TransformGraph.
      sizes: rows of its tables.

    Raises:
      FileNotFoundError: a vocabulary is missing.
      ValueError: a vocabulary is longer than the table.
    """
    found = {}
    for name, (file, first) in SPACES.items():
        path = Path(folder) / file
        if not path.exists():
            raise FileNotFoundError(f"vocabulary {file!r} is not at {path}.")
        entries = read_entries(path)
        buckets = getattr(sizes, name) - first - len(entries)
        if buckets < 0:
            raise ValueError(f"{path} has {len(entries)} entries, the model's table {getattr(sizes, name)} rows.")
        found[name] = IdSpace(entries, first, buckets)
    return found


def earlier_rows(old: IdSpace, new: IdSpace) -> np.ndarray:
    """Where each id of a new space was in an old one.

    Returns:
      [new.rows] int64, UNKNOWN where the old space had no such id. OOV buckets are the same where there are as many of
      them, for they go by the hash of the text modulo their number.
    """
    rows = np.full(new.rows, UNKNOWN, np.int64)
    rows[: new.first] = np.arange(new.first)
    if len(old.entries) and len(new.entries):
        # large_string: the text of a vocabulary of millions is over 2 GiB.
        known = pc.index_in(pa.array(new.entries, pa.large_string()), pa.array(old.entries, pa.large_string()))
        place = known.fill_null(UNKNOWN).to_numpy(zero_copy_only=False).astype(np.int64)
        rows[new.first : new.first + len(place)] = np.where(place == UNKNOWN, UNKNOWN, place + old.first)
    if old.buckets == new.buckets:
        rows[new.rows - new.buckets :] = np.arange(old.rows - old.buckets, old.rows)
    return rows


def carry_over(old: np.ndarray, new: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A table that keeps what the old one knows.

    Args:
      old: [old rows, ...]. new: [new rows, ...], as it is initialised.
      rows: [new rows], as `earlier_rows` gives them.

    Returns:
      [new rows, ...]: old[rows] where that is known, else new.
    """
    made = np.array(new)
    known = rows != UNKNOWN
    made[known] = old[rows[known]]
    return made
