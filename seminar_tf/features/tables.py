"""Catalog and query features as dense arrays indexed by id: what the encoders gather from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class ItemFeatures:
    """One row an item id, in [0, V): padding, vocabulary, OOV buckets. Rows without a feature are zeros.

    Attributes:
      tokens: (V, T) int32 token ids, 0 is padding.
      attributes: (V, A) int32 attribute ids, 0 is padding.
      numeric: (V, F) float32, scaled; F may be 0.
      image: (V, S, S, 3) uint8 pixels, or (V, P, D) float32 patches, or (V, D) float32 vectors; D is 0 where the data
        has no images.
      text_vector: (V, D) float32; D is 0 where titles and texts are tokens only.
      has_text, has_image, has_attributes: (V,) bool, whether the item has that modality.
      known: (V,) bool, True for rows of the vocabulary (real items), False for padding and OOV buckets.
      count: (V,) int64, times the item is a pair of the train segments.
    """

    tokens: np.ndarray
    attributes: np.ndarray
    numeric: np.ndarray
    image: np.ndarray
    text_vector: np.ndarray
    has_text: np.ndarray
    has_image: np.ndarray
    has_attributes: np.ndarray
    known: np.ndarray
    count: np.ndarray

    @classmethod
    def counted(cls, known: np.ndarray, count: np.ndarray) -> ItemFeatures:
        """Features of no modality: all that a ranker on tables reads of items.

        Args:
          known: (V,) bool.
          count: (V,) int64.
        """
        rows = len(known)
        floats, ids, none = np.zeros((rows, 0), np.float32), np.zeros((rows, 0), np.int32), np.zeros(rows, bool)
        return cls(ids, ids, floats, floats, floats, none, none, none, known, count)

    def save(self, path: str | Path) -> None:
        """Writes every array to an .npz file."""
        np.savez(path, **{f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, path: str | Path) -> ItemFeatures:
        """Reads what `save` wrote."""
        with np.load(path) as arrays:
            return cls(**{f.name: arrays[f.name] for f in fields(cls)})


@dataclass(frozen=True)
class QueryFeatures:
    """One row a query id, in [0, Q): padding, the empty query, vocabulary, OOV buckets.

    Attributes:
      tokens: (Q, T) int32 token ids, 0 is padding.
      known: (Q,) bool, True for rows of the vocabulary.
      count: (Q,) int64, times the query is in a pair of the train segments.
    """

    tokens: np.ndarray
    known: np.ndarray
    count: np.ndarray

    def save(self, path: str | Path) -> None:
        """Writes every array to an .npz file."""
        np.savez(path, **{f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, path: str | Path) -> QueryFeatures:
        """Reads what `save` wrote."""
        with np.load(path) as arrays:
            return cls(**{f.name: arrays[f.name] for f in fields(cls)})
