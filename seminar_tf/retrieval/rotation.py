"""Linear maps before product quantization, under which it loses less (spec section 6)."""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np

from seminar_tf.retrieval.codebook import CodebookError, one_thread

# Share of the targets' mean energy that every direction is given: the pairs that are kept are attended to, too.
_RIDGE = 0.2
_OPQ_ROUNDS = 20


@dataclass(frozen=True)
class Rotation:
    """A map and its inverse; vectors are quantized as x @ forward.

    Attributes:
      forward: (d, d') float32, d' at least d.
      back: (d', d) float32, forward @ back = 1; decoded vectors go back by it, and a target's inner product with a
        decoded pair is that of target @ back^T with what was decoded.
    """

    forward: np.ndarray
    back: np.ndarray

    @classmethod
    def none(cls, dim: int) -> Rotation:
        """The identity."""
        return cls(np.eye(dim, dtype=np.float32), np.eye(dim, dtype=np.float32))


def opq(vectors: np.ndarray, subvectors: int) -> Rotation:
    """OPQ: the rotation under which the squared error is least (Ge et al., CVPR 2013), by faiss.

    Args:
      vectors: (n, d), at least 256 of them.
      subvectors: S, which divides d.

    Raises:
      CodebookError: fewer vectors than centroids.
    """
    if len(vectors) < 256:
        raise CodebookError(f"OPQ: {len(vectors)} vectors, expected at least 256. Set retrieval.rotation to none.")
    matrix = faiss.OPQMatrix(vectors.shape[1], subvectors)
    matrix.niter = _OPQ_ROUNDS
    with one_thread():
        matrix.train(np.ascontiguousarray(vectors, np.float32))
    rotation = faiss.vector_to_array(matrix.A).reshape(matrix.d_out, matrix.d_in)
    return Rotation(np.asarray(rotation.T, np.float32), np.asarray(rotation, np.float32))


def weighted(vectors: np.ndarray, targets: np.ndarray, subvectors: int) -> Rotation:
    """The map under which scores, not vectors, lose little, and each code carries as many bits as any other.

    An error e of a pair changes the score of a target t by t . e, on average by |e T| with T the root of the targets'
    second moment: so vectors are quantized as x T. There the principal axes are given to sub-vectors by the bits they
    are worth at one common error (reverse water-filling), the largest first and each to the sub-vector that has least.
    A sub-vector of one strong axis and one of four weak ones then cost a byte each. Places left over stay zero, which
    costs nothing: d' = S W, W twice what d / S would be.

    Args:
      vectors: (n, d) what is to be quantized.
      targets: (m, d) targets' sides of scores, x_t A.
      subvectors: S.
    """
    dim = vectors.shape[1]
    energy, axes = np.linalg.eigh(_moment(targets))
    root = np.sqrt(np.maximum(energy, 0.0) + _RIDGE * energy.mean() + 1e-12)
    towards, away = (axes * root) @ axes.T, (axes / root) @ axes.T
    spread, principal = np.linalg.eigh(_moment(vectors @ towards))
    places = _placed(np.maximum(spread, 1e-12 * spread.max() + 1e-30), subvectors, 2 * -(-dim // subvectors))
    forward, back = towards @ principal @ places, places.T @ principal.T @ away
    # One scale for all, so that centroids are of the vectors' own size.
    scale = np.linalg.norm(forward) / dim**0.5
    return Rotation((forward / scale).astype(np.float32), (back * scale).astype(np.float32))


def _moment(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, np.float64)
    return np.asarray(x.T @ x / max(len(x), 1))


def _placed(spread: np.ndarray, subvectors: int, width: int) -> np.ndarray:
    """(d, S W) with a one in each row: where each axis goes."""
    bits = _bits(spread, 8.0 * subvectors)
    taken, load = np.zeros(subvectors, int), np.zeros(subvectors)
    places = np.zeros((len(spread), subvectors * width))
    for axis in np.argsort(-spread, kind="stable"):
        open_ = np.flatnonzero(taken < width)
        chosen = open_[np.lexsort((taken[open_], load[open_]))[0]]
        places[axis, chosen * width + taken[chosen]] = 1.0
        taken[chosen] += 1
        load[chosen] += bits[axis]
    return places


def _bits(spread: np.ndarray, total: float) -> np.ndarray:
    """Bits of each axis at one common error: max(0, log2(variance / error) / 2), `total` in all."""
    low, high = np.log2(spread.min()) - 64.0, np.log2(spread.max())
    for _ in range(60):
        level = (low + high) / 2
        spent = np.maximum(0.0, (np.log2(spread) - level) / 2).sum()
        low, high = (level, high) if spent > total else (low, level)
    return np.asarray(np.maximum(0.0, (np.log2(spread) - low) / 2))
