"""How true items are ranked: among the whole catalog, or among drawn negatives, by any model that gives scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from seminar_tf.config import EvaluationConfig
from seminar_tf.evaluation.candidates import Negatives, draw_negatives, negatives_of
from seminar_tf.evaluation.ranks import count_ranks
from seminar_tf.evaluation.requests import Request
from seminar_tf.features import names

__all__ = ["CANDIDATES_PER_CALL", "POSITIVE", "Outcome", "RankingModel", "assemble", "draw_negatives", "rank"]

POSITIVE = 0.5
REQUESTS_PER_BATCH = 32
# Of full ranking. Few requests at once: with many, what a ranker keeps of each pair of request and candidate leaves the
# caches of a CPU (32 took 1.3 times as long). Many candidates: each call reads the histories anew.
REQUESTS_PER_FULL_BATCH = 2
CANDIDATES_PER_CALL = 2_000
_SCORES_IN_MEMORY = 1 << 24


class RankingModel(Protocol):
    """What the protocol needs of a model.

    Attributes:
      history_length: L, pairs of history that a batch carries for this model.
    """

    history_length: int

    def score(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        """Scores the candidates of a batch (the batch dict of docs/model.md). Returns (B, N) float32."""
        ...


@dataclass(frozen=True)
class Outcome:
    """What a model made of the targets of one request.

    Attributes:
      higher, ties: (T,) int64, the target's rank among the candidates; -1 for targets that are not positive.
      score: (T,) float32, the target's own score.
    """

    higher: np.ndarray
    ties: np.ndarray
    score: np.ndarray


def assemble(requests: Sequence[Request], history_length: int) -> dict[str, np.ndarray]:
    """The batch dict of requests, without candidates: histories right-padded with 0 to L, newest pairs last.

    Args:
      requests: B requests, which may carry more history than L; the newest L pairs are taken.
      history_length: L.

    Returns:
      history_item_id, history_query int32 (B, L), history_timestamp int64 (B, L), query int32 (B,), request_timestamp
      int64 (B,), user_attributes int32 (B, A), A being the widest of the batch and at least 1.
    """
    size = len(requests)
    width = max([1, *(len(r.user_attributes) for r in requests)])
    batch = {
        names.HISTORY_ITEM_ID: np.zeros((size, history_length), np.int32),
        names.HISTORY_QUERY: np.zeros((size, history_length), np.int32),
        names.HISTORY_TIMESTAMP: np.zeros((size, history_length), np.int64),
        names.QUERY: np.array([r.request_query for r in requests], np.int32),
        names.REQUEST_TIMESTAMP: np.array([r.request_timestamp for r in requests], np.int64),
        names.USER_ATTRIBUTES: np.zeros((size, width), np.int32),
    }
    for row, request in enumerate(requests):
        keep = slice(max(0, len(request.item) - history_length), None)
        pairs = len(request.item[keep])
        batch[names.HISTORY_ITEM_ID][row, :pairs] = request.item[keep]
        batch[names.HISTORY_QUERY][row, :pairs] = request.query[keep]
        batch[names.HISTORY_TIMESTAMP][row, :pairs] = request.timestamp[keep]
        batch[names.USER_ATTRIBUTES][row, : len(request.user_attributes)] = request.user_attributes
    return batch


def rank(
    model: RankingModel,
    requests: Sequence[Request],
    catalog: np.ndarray,
    config: EvaluationConfig,
    seed: int,
    split: str,
    item_count: np.ndarray | None = None,
) -> Iterator[Outcome]:
    """Ranks every positive target of the requests and scores every target.

    Args:
      model: the model.
      requests: the requests.
      catalog: (V,) int32 ids of all real items, ascending. A target outside it is a candidate for itself only.
      config: full, sampled or popular candidates, negatives, whether items of the visible history are left out.
      seed: seed of the drawn negatives.
      split: name of the evaluated split.
      item_count: (rows,) train count of each item id; needed for popular candidates only.

    Yields:
      One outcome a request, in order.

    Raises:
      CandidateError: popular candidates without usable counts.
      ScoreError: the model scores a candidate NaN.
    """
    size = REQUESTS_PER_BATCH
    negatives = None if config.candidates == "full" else negatives_of(config, catalog, item_count)
    if negatives is None:
        size = max(1, min(REQUESTS_PER_FULL_BATCH, _SCORES_IN_MEMORY // len(catalog)))
    for first in range(0, len(requests), size):
        batch = requests[first : first + size]
        if negatives is None:
            yield from _rank_full(model, batch, catalog, config.exclude_history)
        else:
            yield from _rank_sampled(model, batch, negatives, config, seed, split)


def _rank_full(
    model: RankingModel, requests: Sequence[Request], catalog: np.ndarray, exclude_history: bool
) -> Iterator[Outcome]:
    targets = np.unique(np.concatenate([r.target_item for r in requests]))
    ids = np.union1d(catalog, targets).astype(np.int32)
    scores = _score_ids(model, assemble(requests, model.history_length), ids)
    in_catalog = np.isin(ids, catalog)
    for row, request in enumerate(requests):
        allowed = in_catalog & ~np.isin(ids, request.item) if exclude_history else in_catalog
        index = np.searchsorted(ids, request.target_item)
        yield _outcome(request, np.broadcast_to(scores[row], (len(index), len(ids))), index, allowed[None, :])


def _score_ids(model: RankingModel, batch: dict[str, np.ndarray], ids: np.ndarray) -> np.ndarray:
    """Scores the same candidates for every request. Returns (B, N) float32.

    Every call has the same shape: kernels may round differently for another width, which would break ties between
    items of different calls.
    """
    size = len(batch[names.QUERY])
    width = min(CANDIDATES_PER_CALL, len(ids))
    scores = np.empty((size, len(ids)), np.float32)
    for first in range(0, len(ids), width):
        chunk = ids[first : first + width]
        padded = np.zeros(width, np.int32)
        padded[: len(chunk)] = chunk
        candidates = np.ascontiguousarray(np.broadcast_to(padded, (size, width)))
        scores[:, first : first + len(chunk)] = model.score({**batch, names.CANDIDATE_ITEM_ID: candidates})[
            :, : len(chunk)
        ]
    return scores


def _rank_sampled(
    model: RankingModel,
    requests: Sequence[Request],
    negatives: Negatives,
    config: EvaluationConfig,
    seed: int,
    split: str,
) -> Iterator[Outcome]:
    rows = [(request, n) for request in requests for n in range(len(request.target_item))]
    candidates = np.zeros((len(rows), 1 + config.negatives), np.int32)
    for row, (request, n) in enumerate(rows):
        target = int(request.target_item[n])
        candidates[row, 0] = target
        if request.target_label[n] > POSITIVE:
            exclude = request.item if config.exclude_history else np.empty(0, np.int32)
            drawn = negatives.draw(request, target, config.negatives, seed, split, exclude)
            candidates[row, 1 : 1 + len(drawn)] = drawn
    scores = np.concatenate(
        [
            model.score(
                {
                    **assemble(
                        [request for request, _ in rows[first : first + REQUESTS_PER_BATCH]], model.history_length
                    ),
                    names.CANDIDATE_ITEM_ID: candidates[first : first + REQUESTS_PER_BATCH],
                }
            )
            for first in range(0, len(rows), REQUESTS_PER_BATCH)
        ]
    )
    first = 0
    for request in requests:
        end = first + len(request.target_item)
        index = np.zeros(end - first, np.int64)
        yield _outcome(request, scores[first:end], index, candidates[first:end] != names.PADDING_ID)
        first = end


def _outcome(request: Request, scores: np.ndarray, index: np.ndarray, allowed: np.ndarray) -> Outcome:
    """Outcome of T targets from (T, N) scores, each target's column, and the (T or 1, N) candidates."""
    allowed = np.broadcast_to(allowed, scores.shape)
    positive = np.flatnonzero(request.target_label > POSITIVE)
    higher, ties = np.full(len(index), -1, np.int64), np.full(len(index), -1, np.int64)
    ranks = count_ranks(scores[positive], index[positive], allowed[positive], [request.name] * len(positive))
    higher[positive], ties[positive] = ranks.higher, ranks.ties
    return Outcome(higher, ties, scores[np.arange(len(index)), index])
