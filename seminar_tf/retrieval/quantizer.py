"""Codes of every item and query, a codebook a channel, one rotation for all of them (spec section 6)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from seminar_tf.features import names
from seminar_tf.features.npz import save_npz
from seminar_tf.layers.masking import NEGATIVE
from seminar_tf.retrieval.codebook import Codebook, CodebookError, CodebookQuality, fit_codebook
from seminar_tf.retrieval.rotation import Rotation, opq, weighted
from seminar_tf.retrieval.tables import GsuTables

_SAMPLE = 20_000  # vectors and targets that a rotation is fitted on


@dataclass(frozen=True)
class QuantizedTables:
    """GsuTables with codes in the place of vectors.

    Attributes:
      channels: names of the M+1 channels, query first.
      item_centroids: (M, S, C, d' / S) float32, of rotated vectors.
      query_centroids: (S_q, C, d' / S_q) float32.
      item_codes: (V, M, S) uint8. query_codes: (Q, S_q) uint8.
      item_logit, query_logit: as in GsuTables; a channel that is missing has codes too, and weight 0.
      rotation: (d, d') float32, vectors are quantized as x @ rotation. back: (d', d), its inverse (Rotation).
      fold: (d, d) float32, A.
    """

    channels: tuple[str, ...]
    item_centroids: np.ndarray
    query_centroids: np.ndarray
    item_codes: np.ndarray
    query_codes: np.ndarray
    item_logit: np.ndarray
    query_logit: np.ndarray
    rotation: np.ndarray
    back: np.ndarray
    fold: np.ndarray

    @property
    def size(self) -> int:
        """C."""
        return int(self.item_centroids.shape[2])

    @property
    def dim(self) -> int:
        """d."""
        return int(self.rotation.shape[0])

    @property
    def bytes_per_pair(self) -> float:
        """What a pair of a history takes: a byte a code, and its M+1 gate weights in float16."""
        codes = self.item_codes[0].size + self.query_codes[0].size
        return float(codes + 2 * len(self.channels))

    @property
    def held_bytes(self) -> float:
        """What a table of them holds for an item and a query: their codes, and a float32 gate logit a channel."""
        return float(self.item_codes[0].size + self.query_codes[0].size + 4 * len(self.channels))

    def codebook(self, channel: int) -> Codebook:
        """The codebook of a channel, query first."""
        return Codebook(self.item_centroids[channel - 1] if channel else self.query_centroids)

    def decoded(self) -> GsuTables:
        """The tables that the codes stand for, in the unrotated space."""
        back = self.back
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
    tables: GsuTables,
    subvectors: int = 8,
    size: int = 256,
    rotation: str = "none",
    seed: int = 0,
    query_subvectors: int | None = None,
) -> tuple[QuantizedTables, dict[str, CodebookQuality]]:
    """Fits a codebook a channel on the catalog's and the queries' vectors, and encodes them.

    Args:
      tables: vectors of every item and query; no user's data is in them (known fault 9).
      subvectors: S of every item channel.
      size: C. Where there are fewer queries than this, every query is a centroid of its own.
      rotation: none, opq or weighted (retrieval/rotation.py); one for all channels, so that it is absorbed in the
        target's side once.
      seed: of the k-means.
      query_subvectors: S_q of the query channel; None takes S.

    Returns:
      The codes, and how good they are by channel; the quality of a channel is of the vectors that are present.

    Raises:
      CodebookError: an item channel that has fewer vectors than centroids.
    """
    rows = present_vectors(tables)
    turned = fit_rotation(tables, subvectors, rotation, seed)
    query, *items = rows.items()
    books = [_fit_few(query[1] @ turned.forward, query_subvectors or subvectors, size, seed, query[0])]
    books += [fit_codebook(vectors @ turned.forward, subvectors, size, seed, name) for name, vectors in items]
    return encode(tables, books, turned)


def fit_rotation(tables: GsuTables, subvectors: int, kind: str, seed: int = 0) -> Rotation:
    """The rotation of all channels; arguments as in `quantize`.

    Raises:
      CodebookError: too few vectors, or an unknown kind.
    """
    if kind not in ("none", "opq", "weighted"):
        raise CodebookError(f"rotation {kind!r}, expected none, opq or weighted.")
    if kind == "none":
        return Rotation.none(tables.dim)
    rng = np.random.default_rng(seed)
    every = np.concatenate(list(present_vectors(tables).values()))
    vectors = every[rng.choice(len(every), min(len(every), _SAMPLE), replace=False)]
    if kind == "opq":
        return opq(vectors, subvectors)
    # Targets: items of the catalog, half of them browsed, half of them searched for by some known query.
    items = np.flatnonzero((tables.item_logit > NEGATIVE).any(axis=1))
    items = items[rng.choice(len(items), min(len(items), _SAMPLE), replace=False)]
    queries = np.where(
        rng.random(len(items)) < 0.5, names.EMPTY_QUERY_ID, rng.integers(1, len(tables.query), len(items))
    )
    return weighted(vectors, tables.targets(items, queries), subvectors)


def present_vectors(tables: GsuTables) -> dict[str, np.ndarray]:
    """Channel name, query first, -> (n, d) vectors of the items or queries that have the channel."""
    rows = {tables.channels[0]: tables.query[tables.query_logit > NEGATIVE]}
    for m, name in enumerate(tables.channels[1:]):
        rows[name] = tables.item[tables.item_logit[:, m] > NEGATIVE, m]
    return rows


def encode(
    tables: GsuTables, books: list[Codebook], rotation: Rotation
) -> tuple[QuantizedTables, dict[str, CodebookQuality]]:
    """Codes of all vectors by given codebooks.

    Args:
      tables: vectors of every item and query.
      books: a codebook a channel, query first, of rotated vectors.
      rotation: of all channels.

    Returns:
      As `quantize`.
    """
    present = present_vectors(tables).items()
    quality = {name: _quality(book, rows, rotation) for book, (name, rows) in zip(books, present) if len(rows)}
    items = [book.encode(tables.item[:, m] @ rotation.forward) for m, book in enumerate(books[1:])]
    codes = QuantizedTables(
        channels=tables.channels,
        item_centroids=np.stack([book.centroids for book in books[1:]]),
        query_centroids=books[0].centroids,
        item_codes=np.stack(items, axis=1),
        query_codes=books[0].encode(tables.query @ rotation.forward),
        item_logit=tables.item_logit,
        query_logit=tables.query_logit,
        rotation=rotation.forward,
        back=rotation.back,
        fold=tables.fold,
    )
    return codes, quality


def _quality(book: Codebook, vectors: np.ndarray, rotation: Rotation) -> CodebookQuality:
    """Of vectors in their own space, whatever the rotation does to lengths."""
    rotated = vectors @ rotation.forward
    error = ((vectors - book.decode(book.encode(rotated)) @ rotation.back) ** 2).sum(axis=1).mean()
    return replace(book.quality(rotated), error=float(error / max((vectors**2).sum(axis=1).mean(), 1e-30)))


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
