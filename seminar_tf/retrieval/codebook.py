"""Product quantization of one channel: k-means centroids of each sub-vector, fitted by faiss."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import faiss
import numpy as np

_ROWS = 65_536  # vectors whose distances are held at once


class CodebookError(ValueError):
    """Vectors that no codebook can be fitted on; the message says how many there are and how many are needed."""


@dataclass(frozen=True)
class CodebookQuality:
    """How well codes stand for the vectors they were fitted on.

    Attributes:
      vectors: how many they are.
      error: mean squared reconstruction error over the mean squared norm; 0 is exact.
      dead: centroids that no vector has, of S C.
      entropy: mean over sub-vectors of the codes' entropy, in bits; log2(C) at most.
    """

    vectors: int
    error: float
    dead: int
    entropy: float


@dataclass(frozen=True)
class Codebook:
    """Centroids of a channel's sub-vectors.

    Attributes:
      centroids: (S, C, d / S) float32, C at most 256.
    """

    centroids: np.ndarray

    @property
    def subvectors(self) -> int:
        """S, N_bit of the paper."""
        return int(self.centroids.shape[0])

    @property
    def size(self) -> int:
        """C, centroids of each sub-vector."""
        return int(self.centroids.shape[1])

    @property
    def dim(self) -> int:
        """d, width of the vectors."""
        return int(self.centroids.shape[0] * self.centroids.shape[2])

    def encode(self, vectors: np.ndarray) -> np.ndarray:
        """(n, d) float32 -> (n, S) uint8, the nearest centroid of each sub-vector."""
        parts = self._split(vectors)
        codes = np.empty((len(vectors), self.subvectors), np.uint8)
        for first in range(0, len(vectors), _ROWS):
            rows = slice(first, first + _ROWS)
            for s, centroids in enumerate(self.centroids):
                # |x - c|^2 without |x|^2, which is the same for every centroid.
                distance = (centroids**2).sum(axis=1) - 2.0 * parts[rows, s] @ centroids.T
                codes[rows, s] = distance.argmin(axis=1)
        return codes

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """(..., S) uint8 -> (..., d) float32."""
        parts = self.centroids[np.arange(self.subvectors), codes]
        return np.asarray(parts.reshape(*codes.shape[:-1], self.dim))

    def quality(self, vectors: np.ndarray) -> CodebookQuality:
        """Of the codes of some vectors, (n, d)."""
        codes = self.encode(vectors)
        error = float(((vectors - self.decode(codes)) ** 2).sum(axis=1).mean())
        counts = np.stack([np.bincount(codes[:, s], minlength=self.size) for s in range(self.subvectors)])
        shares = counts / counts.sum(axis=1, keepdims=True)
        bits = -(shares * np.log2(np.maximum(shares, 1e-30))).sum(axis=1)
        scale = float((vectors**2).sum(axis=1).mean())
        return CodebookQuality(len(vectors), error / max(scale, 1e-30), int((counts == 0).sum()), float(bits.mean()))

    def _split(self, vectors: np.ndarray) -> np.ndarray:
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise ValueError(f"Codebook: vectors have shape {vectors.shape}, expected (n, {self.dim}).")
        return np.asarray(vectors, np.float32).reshape(len(vectors), self.subvectors, -1)


def fit_codebook(
    vectors: np.ndarray, subvectors: int, size: int = 256, seed: int = 0, name: str = "vectors"
) -> Codebook:
    """Fits the centroids of each sub-vector by k-means.

    Args:
      vectors: (n, d), of the catalog or of the known queries, never of evaluated users (known fault 9).
      subvectors: S, which divides d.
      size: C, a power of 2 up to 256.
      seed: of the k-means.
      name: of the channel, for messages.

    Raises:
      CodebookError: fewer vectors than centroids, or numbers that do not fit.
    """
    n, dim = vectors.shape
    if dim % subvectors:
        raise CodebookError(f"{name}: {subvectors} sub-vectors do not divide the {dim} dimensions.")
    if size not in (2, 4, 8, 16, 32, 64, 128, 256):
        raise CodebookError(f"{name}: {size} centroids, expected a power of 2 from 2 to 256.")
    if n < size:
        most = 1 << (n.bit_length() - 1) if n > 1 else 0
        mend = f"Set retrieval.centroids to {most} or less" if most else "Leave the channel out of model.channels"
        raise CodebookError(f"{name}: {n} vectors for {size} centroids. {mend}, or fuse the channels (retrieval.fuse).")
    quantizer = faiss.ProductQuantizer(dim, subvectors, size.bit_length() - 1)
    quantizer.cp.seed = seed
    quantizer.cp.min_points_per_centroid = 1  # no warning; the quality report says what came of it
    with one_thread():
        quantizer.train(np.ascontiguousarray(vectors, np.float32))
    centroids = faiss.vector_to_array(quantizer.centroids).reshape(subvectors, size, dim // subvectors)
    return Codebook(centroids.astype(np.float32))


@contextmanager
def one_thread() -> Iterator[None]:
    """faiss on one thread: catalogs are small for it, and threads that wait for each other spin."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
