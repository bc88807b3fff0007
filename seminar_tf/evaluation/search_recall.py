"""What a served search finds of the pairs that exact attention would keep, and what that costs in NDCG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

import seminar_tf  # noqa: F401  (settles the Keras version before TensorFlow loads)
from seminar_tf.evaluation import protocol
from seminar_tf.evaluation.requests import Request
from seminar_tf.evaluation.saved_model import SavedModelRanker
from seminar_tf.export.inputs import INDEXED, PAIR_POSITION, SEARCH_SIGNATURE
from seminar_tf.export.restored import restore_ranker
from seminar_tf.features import names
from seminar_tf.models.seminar import Seminar
from seminar_tf.models.table_ranker import TableRanker

import tensorflow as tf  # isort: skip

_BATCH = 16


@dataclass(frozen=True)
class Found:
    """What the search found for some requests.

    Attributes:
      pairs: (R,) int64 visible pairs of each request, at most the served L.
      recall: (R,) float64, mean over a request's targets (and heads) of the share of the K best pairs that were found.
    """

    pairs: np.ndarray
    recall: np.ndarray

    @classmethod
    def nothing(cls, requests: int) -> Found:
        """Of requests in which nothing had to be searched for."""
        return cls(np.zeros(requests, np.int64), np.ones(requests))


def found_share(positions: np.ndarray, scores: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Share of the K pairs of largest score that a search has found, ties with the K-th counted as found.

    Args:
      positions: (R, K) int, positions of the pairs found; -1 is none.
      scores: (R, L) float32 exact scores; those of padding are below all others.
      valid: (R,) pairs that are no padding. Where there are fewer than K, all of them are wanted.

    Returns:
      (R,) float64; 1 where there is nothing to find.
    """
    wanted = np.minimum(np.minimum(positions.shape[1], valid), scores.shape[1])
    last = np.maximum(wanted - 1, 0)
    # Only the places that are asked for are put in order.
    ordered = -np.partition(-scores, np.unique(last), axis=1)
    least = np.take_along_axis(ordered, last[:, np.newaxis], axis=1)
    # Rounding may part equal scores.
    near = 1e-4 * (1e-6 + np.abs(least))
    values = np.take_along_axis(scores, np.maximum(positions, 0).astype(np.int64), axis=1)
    good = (values >= least - near) & (positions >= 0)
    share = np.minimum(good.sum(axis=1), wanted) / np.maximum(wanted, 1)
    return np.where(wanted > 0, share, 1.0)


def exact_model(path: str) -> TableRanker:
    """The trained model with exact attention over its vectors, of a model that was trained on codes too.

    Raises:
      MetadataError: the SavedModel has no float tables.
    """
    model = restore_ranker(path)
    model.pairs.codes = None
    return model


def search_recall(
    exact: Seminar, served: SavedModelRanker, requests: Sequence[Request], candidates: int, seed: int, split: str
) -> Found:
    """Recall@K of a served model's search against exact attention.

    Args:
      exact: `exact_model`.
      served: the model that is to be served.
      requests: with at least the served L of history where there is so much.
      candidates: targets of each request: its first target, and others drawn from the catalog.
      seed: of the draw. split: of the requests.

    Returns:
      Recall by request.

    Raises:
      MetadataError: the served model has no search signature.
    """
    metadata, search = served.metadata, served.signature(SEARCH_SIGNATURE)
    specs = {name: tf.TensorSpec([None] * len(given.shape), given.dtype) for name, given in INDEXED.items()}
    exactly = tf.function(exact.search_scores, input_signature=[specs], autograph=False)
    length = metadata.model.serving_history_length
    pairs, recalls = [], []
    for batch in _batches(requests, metadata.catalog, candidates, length, seed, split):
        given = {name: tf.constant(batch[name]) for name in INDEXED}
        scores, positions = exactly(given).numpy(), search(**given)[PAIR_POSITION].numpy()
        valid = (batch[names.HISTORY_ITEM_ID] > 0).sum(axis=1)
        # (B, N, ..): every target, and every head that chooses for itself, is a row.
        lists = int(np.prod(scores.shape[1:-1]))
        rows = (scores.reshape(-1, scores.shape[-1]), positions.reshape(-1, positions.shape[-1]))
        share = found_share(rows[1], rows[0], np.repeat(valid, lists))
        pairs.append(valid)
        recalls.append(share.reshape(len(valid), lists).mean(axis=1))
    none = np.empty(0)
    return Found(np.concatenate([none.astype(np.int64), *pairs]), np.concatenate([none, *recalls]))


def _batches(
    requests: Sequence[Request], catalog: np.ndarray, candidates: int, length: int, seed: int, split: str
) -> Iterator[dict[str, np.ndarray]]:
    """Batches of ids with candidates, each request's first target before those drawn."""
    for first in range(0, len(requests), _BATCH):
        some = requests[first : first + _BATCH]
        ids = np.zeros((len(some), candidates), np.int32)
        for row, request in enumerate(some):
            target = int(request.target_item[0])
            drawn = protocol.draw_negatives(
                request, target, catalog, candidates - 1, seed, f"{split}/recall", np.empty(0, np.int32)
            )
            ids[row] = np.resize(np.append(target, drawn), candidates)
        yield {**protocol.assemble(some, length), names.CANDIDATE_ITEM_ID: ids}
