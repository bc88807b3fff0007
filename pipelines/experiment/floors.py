"""Rankers without training, which a trained one has to beat: popularity, and neighbours of the newest items."""

from __future__ import annotations

import numpy as np
from scipy import sparse

import seminar_tf  # noqa: F401  (settles the Keras version before TensorFlow loads)
from pipelines.experiment.layout import Transformed
from seminar_tf.config import PipelineConfig
from seminar_tf.data.dataset import DatasetSpec
from seminar_tf.evaluation.protocol import RankingModel
from seminar_tf.features import names
from seminar_tf.features.vocabulary import feature_sizes, read_vocabulary
from seminar_tf.training.records import Segments, concatenate, read_segments

NEWEST = 10
_KEPT_CELLS = 1 << 26  # cosines kept, 8 bytes each
_BLOCK_CELLS = 1 << 25  # cosines held at once


class Popularity:
    """Scores an item by its pairs in the train split.

    Attributes:
      history_length: 1, histories are not read.
    """

    history_length = 1

    def __init__(self, counts: np.ndarray) -> None:
        """Args: counts: (rows of the item id space,) train pairs of each item."""
        self._counts = counts.astype(np.float32)

    def score(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        """(B, N) candidates -> (B, N) float32 counts."""
        scores: np.ndarray = self._counts[batch[names.CANDIDATE_ITEM_ID]]
        return scores


class ItemNeighbours:
    """Scores an item by its cosine similarity to the newest items of the history, the n-th newest with weight 1 / n.

    The cosine of two items is of their columns in the 0-1 matrix of users by items: users of both over the root of the
    product of each one's users. An item is no neighbour of its own, and items of the history come last: whoever rates
    films rates each once. Small catalogs keep every cosine, large ones those of the nearest items.

    Attributes:
      history_length: L, pairs whose items come last.
    """

    def __init__(
        self, segments: Segments, rows: int, history_length: int, newest: int = NEWEST, neighbours: int = 0
    ) -> None:
        """Args:
        segments: of the train split.
        rows: of the item id space.
        history_length: L.
        newest: pairs of the history that count.
        neighbours: that each item keeps; 0 takes as many as fit in memory.
        """
        self.history_length, self._newest = history_length, newest
        neighbours = neighbours or max(1, _KEPT_CELLS // rows)
        user = np.repeat(np.unique(segments.user_id, return_inverse=True)[1], np.diff(segments.pair_splits))
        ones = np.ones(len(user), np.float32)
        seen = sparse.csc_matrix((ones, (user, segments.item)), (int(user.max()) + 1, rows))
        seen.data[:] = 1.0  # once a user, however often
        norms = np.sqrt(np.maximum(np.asarray(seen.sum(axis=0)).ravel(), 1.0))
        columns = (seen @ sparse.diags(1.0 / norms)).tocsc()
        block = max(1, _BLOCK_CELLS // rows)
        self._near = sparse.vstack(
            [_nearest(columns, np.arange(n, min(n + block, rows)), neighbours) for n in range(0, rows, block)]
        ).tocsr()

    def score(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        """(B, L) histories and (B, N) candidates -> (B, N) float32."""
        history, candidates = batch[names.HISTORY_ITEM_ID], batch[names.CANDIDATE_ITEM_ID]
        lengths = (history > 0).sum(axis=1)
        age = lengths[:, None] - np.arange(history.shape[1])[None, :]
        counts = (history > 0) & (age <= self._newest)
        weights = np.where(counts, 1.0 / np.maximum(age, 1), 0.0).astype(np.float32)
        rows = np.repeat(np.arange(len(history)), history.shape[1])
        profile = sparse.csr_matrix(
            (weights.ravel(), (rows, history.ravel())), (len(history), self._near.shape[0]), dtype=np.float32
        )
        scores = (profile @ self._near).toarray()
        scores[rows[history.ravel() > 0], history[history > 0]] = -1.0
        picked: np.ndarray = scores[np.arange(len(history))[:, None], candidates].astype(np.float32)
        return picked


def _nearest(columns: sparse.csc_matrix, items: np.ndarray, neighbours: int) -> sparse.csr_matrix:
    """(n, rows) cosines of some items to their nearest others."""
    cosines = (columns[:, items].T @ columns).toarray()
    cosines[np.arange(len(items)), items] = 0.0
    count = min(neighbours, cosines.shape[1])
    near = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
    values = np.take_along_axis(cosines, near, axis=1)
    rows = np.repeat(np.arange(len(items)), count)
    found = sparse.csr_matrix((values.ravel(), (rows, near.ravel())), cosines.shape, dtype=np.float32)
    found.eliminate_zeros()
    return found


def floor(
    name: str, data: Transformed, config: PipelineConfig, spec: DatasetSpec
) -> tuple[RankingModel, np.ndarray, np.ndarray]:
    """Makes a floor from the train split.

    Args:
      name: of seminar_tf.config.experiment.FLOORS.
      data: transformed examples.
      config: of the dataset.
      spec: of the dataset.

    Returns:
      The ranker, the ids of all real items, (V,) int32, and train pairs by item id, (rows,) int64.
    """
    rows = feature_sizes(data.graph, config.features).items
    known = len(read_vocabulary(data.graph, names.ITEM_VOCABULARY))
    segments = concatenate(list(read_segments(data.files("train"), spec.tasks)))
    catalog = np.arange(names.FIRST_ITEM_ID, names.FIRST_ITEM_ID + known, dtype=np.int32)
    counts = np.bincount(segments.item, minlength=rows)
    made: RankingModel
    made = Popularity(counts) if name == "popularity" else ItemNeighbours(segments, rows, config.model.history_length)
    return made, catalog, counts
