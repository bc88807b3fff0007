"""Codes of every item and query, a codebook a channel, and at wish one OPQ rotation for all (spec section 6)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seminar_tf.features.npz import save_npz
from seminar_tf.layers.masking import NEGATIVE
from seminar_tf.retrieval.codebook import Codebook, CodebookError, CodebookQuality, fit_codebook, fit_rotation
from seminar_tf.retrieval.tables import GsuTables


@dataclass(frozen=True)
class QuantizedTables:
    """GsuTables with codes in the place of vectors.

    Attributes:
      channels: names of the M+1 channels, query first.
      centroids: (M+1, S, C, d / S) float32, of rotated vectors.
      item_codes: (V, M, S) uint8. query_codes: (Q, S) uint8.
      item_logit, query_logit: as in GsuTables; a channel that is missing has codes too, and weight 0.
      rotation: (d, d) float32, the identity without OPQ; vectors are rotated by x @ R.
      fold: (d, d) float32, A.
    """

    channels: tuple[str, ...]
    centroids: np.ndarray
    item_codes: np.ndarray
    query_codes: np.ndarray
    item_logit: np.ndarray
    query_logit: np.ndarray
    rotation: np.ndarray
    fold: np.ndarray

    @property
    def subvectors(self) -> int:
        """S, N_bit of the paper."""
        return int(self.centroids.shape[1])

    @property
    def size(self) -> int:
        """C."""
        return int(self.centroids.shape[2])

    @property
    def dim(self) -> int:
        """d."""
        return int(self.centroids.shape[1] * self.centroids.shape[3])

    def codebook(self, channel: int) -> Codebook:
        """The codebook of a channel, query first."""
        return Codebook(self.centroids[channel])

    def decoded(self) -> GsuTables:
        """The tables that the codes stand for, in the unrotated space."""
        back = self.rotation.T
        items = np.stack([self.codebook(m + 1).decode(self.item_codes[:, m]) for m in range(len(self.channels) - 1)], 1)
        present = self.item_logit > NEGATIVE
        query = self.codebook(0).decode(self.query_codes) @ back
        return GsuTables(
            channels=self.channels,
            item=np.where(present[..., np.newaxis], items @ back, 0.0).astype(np.float32),
            item_logit=self.item_logit,
            query=np.where((self.query_logit > NEGATIVE)[:, np.newaxis], query, 0.0).astype(np.float32),
            query_logit=self.query_logit,
            fold=self.fold,
        )

    def save(self, path: str | Path) -> None:
        """Writes an .npz file, whole or not at all."""
        save_npz(path, vars(self) | {"channels": np.array(self.channels)})

    @classmethod
    def load(cls, path: str | Path) -> QuantizedTables:
        """Reads what `save` wrote."""
        with np.load(path) as arrays:
            values = {name: arrays[name] for name in arrays.files if name != "channels"}
            return cls(channels=tuple(str(name) for name in arrays["channels"]), **values)


def quantize(
    tables: GsuTables, subvectors: int = 8, size: int = 256, rotate: bool = False, seed: int = 0
) -> tuple[QuantizedTables, dict[str, CodebookQuality]]:
    """Fits a codebook a channel on the catalog's and the queries' vectors, and encodes them.

    Args:
      tables: vectors of every item and query; no user's data is in them (known fault 9).
      subvectors: S of every channel.
      size: C. Where there are fewer queries than this, every query is a centroid of its own.
      rotate: OPQ, one rotation for all channels, so that it is absorbed in the target's side once.
      seed: of the k-means.

    Returns:
      The codes, and how good they are by channel; the quality of a channel is of the vectors that are present.

    Raises:
      CodebookError: an item channel that has fewer vectors than centroids.
    """
    rows = {tables.channels[0]: tables.query[tables.query_logit > NEGATIVE]}
    for m, name in enumerate(tables.channels[1:]):
        rows[name] = tables.item[tables.item_logit[:, m] > NEGATIVE, m]
    rotation = np.eye(tables.dim, dtype=np.float32)
    if rotate:
        rotation = fit_rotation(np.concatenate(list(rows.values())), subvectors)
    codebooks, quality = [], {}
    for channel, (name, vectors) in enumerate(rows.items()):
        rotated = vectors @ rotation
        book = (_fit_few if channel == 0 else fit_codebook)(rotated, subvectors, size, seed, name)
        codebooks.append(book)
        if len(rotated):
            quality[name] = book.quality(rotated)
    items = [book.encode(tables.item[:, m] @ rotation) for m, book in enumerate(codebooks[1:])]
    codes = QuantizedTables(
        channels=tables.channels,
        centroids=np.stack([book.centroids for book in codebooks]),
        item_codes=np.stack(items, axis=1),
        query_codes=codebooks[0].encode(tables.query @ rotation),
        item_logit=tables.item_logit,
        query_logit=tables.query_logit,
        rotation=rotation,
        fold=tables.fold,
    )
    return codes, quality


def _fit_few(vectors: np.ndarray, subvectors: int, size: int, seed: int, name: str) -> Codebook:
    """`fit_codebook` for queries, of which there may be fewer than centroids: then every vector is its own centroid."""
    if len(vectors) >= size:
        return fit_codebook(vectors, subvectors, size, seed, name)
    dim = vectors.shape[1]
    if dim % subvectors:
        raise CodebookError(f"{name}: {subvectors} sub-vectors do not divide the {dim} dimensions.")
    own = vectors if len(vectors) else np.zeros((1, dim), np.float32)
    filled = own[np.arange(size) % len(own)]
    return Codebook(np.ascontiguousarray(filled.reshape(size, subvectors, -1).transpose(1, 0, 2), np.float32))
