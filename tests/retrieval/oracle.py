"""Random tables with structure, and every method's scores written out pair by pair."""

from __future__ import annotations

import numpy as np

from seminar_tf.layers.masking import NEGATIVE
from seminar_tf.retrieval.tables import GsuTables


def tables(seed: int, items: int = 600, queries: int = 300, dim: int = 16, clusters: int = 0) -> GsuTables:
    """Three item channels, a quarter of them missing; id 0 is padding, query 1 the empty query.

    With `clusters`, vectors lie near so many centres, as trained ones do.
    """
    rng = np.random.default_rng(seed)

    def vectors(count: int) -> np.ndarray:
        noise = rng.normal(size=(count, dim))
        if not clusters:
            return noise
        return rng.normal(size=(clusters, dim))[rng.integers(0, clusters, count)] + 0.1 * noise

    item = np.stack([vectors(items) for _ in range(3)], axis=1)
    present = rng.random((items, 3)) < 0.75
    present[:, 2] = True
    present[0] = False
    query_present = np.arange(queries) > 0
    return GsuTables(
        channels=("query", "text", "image", "attributes"),
        item=(item * present[..., np.newaxis]).astype(np.float32),
        item_logit=np.where(present, rng.normal(size=(items, 3)), NEGATIVE).astype(np.float32),
        query=(vectors(queries) * query_present[:, np.newaxis]).astype(np.float32),
        query_logit=np.where(query_present, rng.normal(size=queries), NEGATIVE).astype(np.float32),
        fold=(rng.normal(size=(dim, dim)) / dim**0.5).astype(np.float32),
    )


def ids(seed: int, t: GsuTables, rows: int = 2, length: int = 40, candidates: int = 3) -> tuple[np.ndarray, ...]:
    """History items and queries (B, L), target items and queries (B, N), int32."""
    rng = np.random.default_rng(seed)

    def draw(high: int, width: int) -> np.ndarray:
        return rng.integers(1, high, (rows, width)).astype(np.int32)

    items, queries = len(t.item), len(t.query)
    return draw(items, length), draw(queries, length), draw(items, candidates), draw(queries, candidates)


def pair(t: GsuTables, item: int, query: int) -> tuple[np.ndarray, np.ndarray]:
    """Channel vectors (M+1, d) and gamma (M+1,) of one pair, in float64."""
    logits = np.concatenate([[t.query_logit[query]], t.item_logit[item]]).astype(np.float64)
    weights = np.where(logits > NEGATIVE, np.exp(logits), 0.0)
    vectors = np.concatenate([t.query[query][np.newaxis], t.item[item]]).astype(np.float64)
    return vectors, weights / weights.sum()


def scores(t: GsuTables, history: tuple[np.ndarray, np.ndarray], targets: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """x_t A x of every target and pair, one by one: (B, N, L)."""
    found = np.zeros((*targets[0].shape, history[0].shape[1]))
    for b, n, place in np.ndindex(*found.shape):
        x, gamma = pair(t, history[0][b, place], history[1][b, place])
        y, own = pair(t, targets[0][b, n], targets[1][b, n])
        found[b, n, place] = (own @ y) @ t.fold.astype(np.float64) @ (gamma @ x)
    return found
