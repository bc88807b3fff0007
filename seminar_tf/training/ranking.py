"""Metrics of a model in memory, by the Evaluator's own protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf
from scipy.special import expit

from seminar_tf.config import EvaluationConfig
from seminar_tf.evaluation import metrics
from seminar_tf.evaluation.protocol import RankingModel, rank
from seminar_tf.evaluation.ranks import Ranks
from seminar_tf.evaluation.requests import Request
from seminar_tf.evaluation.slices import slice_columns, slice_means
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
        self._task = task
        # One trace for every width of candidates and attributes, and for all who ask: tracing takes seconds.
        self._every = tf.function(
            lambda batch: {name: tf.cast(x, tf.float32) for name, x in model(batch, training=False).items()},
            input_signature=[{name: tf.TensorSpec(shape, dtype) for name, (shape, dtype) in _BATCH.items()}],
            autograph=False,
        )

    def logits(self, batch: Mapping[str, np.ndarray | tf.Tensor]) -> dict[str, tf.Tensor]:
        """Logits of the candidates by every task of the model: task -> (B, N) float32."""
        found: dict[str, tf.Tensor] = self._every({name: tf.convert_to_tensor(batch[name]) for name in _BATCH})
        return found

    def score(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        """Logits of the candidates, (B, N) float32: they rank as probabilities do."""
        return np.asarray(self.logits(batch)[self._task])

    def task_scores(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Probabilities of the candidates by every task of the model: task -> (B, N) float64."""
        # Not tf.sigmoid: equal logits must stay equal, which its vector lanes do not promise to the last bit.
        return {task: expit(x.numpy().astype(np.float64)) for task, x in self.logits(batch).items()}


@dataclass(frozen=True)
class TargetMetrics:
    """Metrics of the positive targets of requests, in their order.

    Attributes:
      users: (T,) bytes. items: (T,) int32.
      values: metric -> (T,) float64.
      slices: slice feature -> (T,) str (`evaluation.slices`); empty where no train counts were given.
    """

    users: np.ndarray
    items: np.ndarray
    values: dict[str, np.ndarray]
    slices: dict[str, np.ndarray] = field(default_factory=dict)

    def means(self) -> dict[str, float]:
        """metric -> mean over all targets; InvariantError where they contradict each other (known fault 8)."""
        found = {name: float(value.mean()) for name, value in self.values.items()}
        metrics.check_invariants({name: np.asarray(mean) for name, mean in found.items()}, "means")
        return found

    def slice_means(self) -> dict[str, dict[str, float]]:
        """`feature:value` -> metric -> mean, with `targets`; the invariants hold in every slice or InvariantError."""
        return slice_means(self.values, self.slices)


def target_metrics(
    model: RankingModel,
    requests: Sequence[Request],
    catalog: np.ndarray,
    config: EvaluationConfig,
    seed: int,
    split: str,
    item_count: np.ndarray | None = None,
) -> TargetMetrics | None:
    """Ranks every positive target; arguments as in `ranking_metrics`. None where no target is positive."""
    outcomes = list(rank(model, requests, catalog, config, seed, split, item_count)) if requests else []
    if not outcomes:
        return None
    higher, ties = (np.concatenate([getattr(o, name) for o in outcomes]) for name in ("higher", "ties"))
    positive = higher >= 0
    if not positive.any():
        return None
    items = np.concatenate([request.target_item for request in requests])
    users = np.repeat([request.user for request in requests], [len(request.target_item) for request in requests])
    values = metrics.per_request(Ranks(higher[positive], ties[positive]), config.cutoffs)
    slices = {} if item_count is None else slice_columns(requests, item_count)
    return TargetMetrics(
        users[positive], items[positive], values, {name: column[positive] for name, column in slices.items()}
    )


def ranking_metrics(
    model: RankingModel,
    requests: Sequence[Request],
    catalog: np.ndarray,
    config: EvaluationConfig,
    seed: int,
    split: str,
    item_count: np.ndarray | None = None,
) -> dict[str, float]:
    """Means over the positive targets of requests.

    Args:
      model: the model.
      requests: of one split.
      catalog: (V,) int32 ids of all real items, ascending.
      config: how to rank, and the cutoffs.
      seed: of sampled candidates.
      split: name of the split, whose samples are apart from those of others.
      item_count: (rows,) train count of each item id; popular candidates and slices need it.

    Returns:
      NDCG and HIT at each cutoff, and MRR; empty where no target is positive.
    """
    found = target_metrics(model, requests, catalog, config, seed, split, item_count)
    return {} if found is None else found.means()
