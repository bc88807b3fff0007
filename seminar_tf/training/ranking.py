"""NDCG of a model in training, by the Evaluator's own protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from seminar_tf.config import EvaluationConfig
from seminar_tf.evaluation import metrics
from seminar_tf.evaluation.protocol import RankingModel, rank
from seminar_tf.evaluation.ranks import Ranks
from seminar_tf.evaluation.requests import Request
from seminar_tf.features import names

_BATCH = {
    names.HISTORY_ITEM_ID: ((None, None), tf.int32),
    names.HISTORY_QUERY: ((None, None), tf.int32),
    names.HISTORY_TIMESTAMP: ((None, None), tf.int64),
    names.CANDIDATE_ITEM_ID: ((None, None), tf.int32),
    names.QUERY: ((None,), tf.int32),
    names.REQUEST_TIMESTAMP: ((None,), tf.int64),
    names.USER_ATTRIBUTES: ((None, None), tf.int32),
}


class LiveRanker:
    """A model in memory, behind the interface that the evaluation protocol ranks by.

    Attributes:
      history_length: L.
    """

    def __init__(self, model: tf.keras.Model, task: str, history_length: int) -> None:
        """Args:
        model: its call gives task -> logits (B, N).
        task: whose scores rank.
        history_length: L.
        """
        self.history_length = history_length
        # One trace for every width of candidates and attributes.
        signature = [{name: tf.TensorSpec(shape, dtype) for name, (shape, dtype) in _BATCH.items()}]
        self._logits = tf.function(
            lambda batch: model(batch, training=False)[task], input_signature=signature, autograph=False
        )

    def score(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        """Logits of the candidates, (B, N) float32: they rank as probabilities do."""
        return np.asarray(self._logits({name: tf.constant(batch[name]) for name in _BATCH}), np.float32)


@dataclass(frozen=True)
class TargetMetrics:
    """Metrics of the positive targets of requests, in their order.

    Attributes:
      users: (T,) bytes. items: (T,) int32.
      values: metric -> (T,) float64.
    """

    users: np.ndarray
    items: np.ndarray
    values: dict[str, np.ndarray]


def target_metrics(
    model: RankingModel,
    requests: Sequence[Request],
    catalog: np.ndarray,
    config: EvaluationConfig,
    seed: int,
    split: str,
) -> TargetMetrics | None:
    """Ranks every positive target; arguments as in `ranking_metrics`. None where no target is positive."""
    outcomes = list(rank(model, requests, catalog, config, seed, split)) if requests else []
    if not outcomes:
        return None
    higher, ties = (np.concatenate([getattr(o, name) for o in outcomes]) for name in ("higher", "ties"))
    positive = higher >= 0
    if not positive.any():
        return None
    items = np.concatenate([request.target_item for request in requests])
    users = np.repeat([request.user for request in requests], [len(request.target_item) for request in requests])
    values = metrics.per_request(Ranks(higher[positive], ties[positive]), config.cutoffs)
    return TargetMetrics(users[positive], items[positive], values)


def ranking_metrics(
    model: RankingModel,
    requests: Sequence[Request],
    catalog: np.ndarray,
    config: EvaluationConfig,
    seed: int,
    split: str,
) -> dict[str, float]:
    """Means over the positive targets of requests.

    Args:
      model: the model.
      requests: of one split.
      catalog: (V,) int32 ids of all real items, ascending.
      config: how to rank, and the cutoffs.
      seed: of sampled candidates.
      split: name of the split, whose samples are apart from those of others.

    Returns:
      NDCG and HIT at each cutoff, and MRR; empty where no target is positive.
    """
    found = target_metrics(model, requests, catalog, config, seed, split)
    return {} if found is None else {name: float(value.mean()) for name, value in found.values.items()}
