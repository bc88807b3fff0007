"""AUC, GAUC, log loss and calibration on logged impressions: what was shown, taken or not, task by task.

These are apart from ranking among drawn negatives: a drawn item was never shown, so nothing is known of it, while a
logged one has a label. Every row is one candidate of one logged request whose label is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from seminar_tf.evaluation.calibration import reliability
from seminar_tf.evaluation.metrics import auc, log_loss
from seminar_tf.evaluation.protocol import REQUESTS_PER_BATCH, assemble
from seminar_tf.evaluation.ranks import ScoreError
from seminar_tf.evaluation.requests import Request, SegmentError
from seminar_tf.features import names

AUC, GAUC, LOG_LOSS = "auc", "gauc", "log_loss"
EXPECTED_ERROR, RATIO = "expected_error", "predicted_to_observed"
MEAN_LABEL, MEAN_PREDICTION = "mean_label", "mean_prediction"
IMPRESSIONS, ONE_CLASS_USERS = "impressions", "one_class_users"
METRICS = (AUC, GAUC, LOG_LOSS, EXPECTED_ERROR, RATIO, MEAN_LABEL, MEAN_PREDICTION, IMPRESSIONS, ONE_CLASS_USERS)


class TaskModel(Protocol):
    """What scoring impressions needs of a model.

    Attributes:
      history_length: L, pairs of history that a batch carries for this model.
    """

    history_length: int

    def task_scores(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Probabilities of the candidates of a batch (the batch dict of docs/model.md). Returns task -> (B, N)."""
        ...


@dataclass(frozen=True)
class UserAuc:
    """AUC within each user.

    Attributes:
      users: (U,) users, ascending.
      auc: (U,) float64; NaN for a user whose impressions are all of one class.
      impressions: (U,) int64.
    """

    users: np.ndarray
    auc: np.ndarray
    impressions: np.ndarray

    @property
    def gauc(self) -> float:
        """sum_u n_u AUC_u / sum_u n_u over the users of both classes; NaN where there is none."""
        both = ~np.isnan(self.auc)
        if not both.any():
            return float("nan")
        return float(np.average(self.auc[both], weights=self.impressions[both]))

    @property
    def one_class(self) -> int:
        """Users left out of GAUC since their impressions are all of one class."""
        return int(np.isnan(self.auc).sum())


@dataclass(frozen=True)
class Impressions:
    """Scored candidates of logged requests.

    Attributes:
      users: (R,) bytes.
      tasks: names of the tasks.
      labels: (R, tasks) float32, NaN where unknown.
      scores: (R, tasks) float, probabilities.
    """

    users: np.ndarray
    tasks: tuple[str, ...]
    labels: np.ndarray
    scores: np.ndarray

    def metrics(self, primary: str, rows: np.ndarray | None = None) -> dict[str, float]:
        """All metrics of all tasks under their reported names.

        Args:
          primary: the task whose metrics have no prefix.
          rows: (R,) bool or indices of the rows to take, such as those of a slice; all when None.
        """
        taken = np.arange(len(self.users)) if rows is None else rows
        found = {}
        for n, task in enumerate(self.tasks):
            values = impression_metrics(self.labels[taken, n], self.scores[taken, n], self.users[taken])
            found.update({metric_name(metric, task, primary): value for metric, value in values.items()})
        return found


def metric_name(metric: str, task: str, primary: str) -> str:
    """Reported name of a task's metric: `auc` of the primary task, `like_auc` of another."""
    return metric if task == primary else f"{task}_{metric}"


def metric_names(tasks: Sequence[str], primary: str) -> tuple[str, ...]:
    """All names of the tasks' metrics, task by task."""
    return tuple(metric_name(metric, task, primary) for task in tasks for metric in METRICS)


def user_auc(labels: np.ndarray, scores: np.ndarray, users: np.ndarray) -> UserAuc:
    """AUC of every user at once, ties counting one half (Mann-Whitney on mean ranks within the user).

    Args:
      labels: (R,) above 0.5 is positive.
      scores: (R,) float.
      users: (R,) user of each impression.

    Returns:
      One row a user.
    """
    ids, index = np.unique(users, return_inverse=True)
    order = np.lexsort((scores, index))
    user, score = index[order], np.asarray(scores)[order]
    positive = np.asarray(labels)[order] > 0.5
    count = np.bincount(user, minlength=len(ids))
    wins = np.bincount(user, weights=positive, minlength=len(ids))
    # Runs of one user and one score share the mean of their ranks, counted from 1 within the user.
    begins = np.append(True, (user[1:] != user[:-1]) | (score[1:] != score[:-1])) if len(user) else np.empty(0, bool)
    starts = np.flatnonzero(begins)
    lengths = np.diff(np.append(starts, len(user)))
    middle = np.repeat(starts + (lengths - 1) / 2, lengths) - (np.cumsum(count) - count)[user] + 1
    rank_sum = np.bincount(user, weights=middle * positive, minlength=len(ids))
    pairs = wins * (count - wins)
    area = np.where(pairs > 0, (rank_sum - wins * (wins + 1) / 2) / np.maximum(pairs, 1), np.nan)
    return UserAuc(ids, area, count.astype(np.int64))


def impression_metrics(labels: np.ndarray, scores: np.ndarray, users: np.ndarray) -> dict[str, float]:
    """All metrics of one task.

    Args:
      labels: (R,) in [0, 1], NaN where unknown; such rows are left out. Above 0.5 came true; log loss and the mean
        label take the number itself.
      scores: (R,) probabilities.
      users: (R,) user of each impression.

    Returns:
      The names of `METRICS` -> value, in that order; NaN where a metric is not defined (AUC of one class).

    Raises:
      ValueError: a score is no probability.
    """
    known = ~np.isnan(labels)
    y, p, u = np.asarray(labels)[known], np.asarray(scores)[known], np.asarray(users)[known]
    bins, by_user = reliability(y, p), user_auc(y, p, u)
    return {
        AUC: auc(y, p),
        GAUC: by_user.gauc,
        LOG_LOSS: log_loss(y, p),
        EXPECTED_ERROR: bins.expected_error,
        RATIO: bins.ratio,
        MEAN_LABEL: float(np.mean(y, dtype=np.float64)) if len(y) else float("nan"),
        MEAN_PREDICTION: bins.mean_predicted,
        IMPRESSIONS: float(len(y)),
        ONE_CLASS_USERS: float(by_user.one_class),
    }


def score_targets(model: TaskModel, requests: Sequence[Request], tasks: Sequence[str]) -> list[np.ndarray]:
    """What a model gives every target of the requests.

    Args:
      model: the model.
      requests: the requests.
      tasks: the wanted tasks, all of which the model has.

    Returns:
      (T, tasks) float for each request.

    Raises:
      ScoreError: a probability is NaN, or the model lacks a task.
    """
    found: list[np.ndarray] = []
    for first in range(0, len(requests), REQUESTS_PER_BATCH):
        batch = requests[first : first + REQUESTS_PER_BATCH]
        widest = max(len(request.target_item) for request in batch)
        # Powers of two: few shapes, so few traces and roundings.
        candidates = np.zeros((len(batch), max(8, 1 << (widest - 1).bit_length())), np.int32)
        for row, request in enumerate(batch):
            candidates[row, : len(request.target_item)] = request.target_item
        given = model.task_scores({**assemble(batch, model.history_length), names.CANDIDATE_ITEM_ID: candidates})
        missing = [task for task in tasks if task not in given]
        if missing:
            raise ScoreError(f"the model scores {sorted(given)}, not {missing}: ask for tasks that it was trained on.")
        scores = np.stack([given[task] for task in tasks], axis=2)
        for row, request in enumerate(batch):
            own = scores[row, : len(request.target_item)]
            if np.isnan(own).any():
                raise ScoreError(f"request {request.name}: the model gave NaN for {int(np.isnan(own).sum())} targets.")
            found.append(own)
    return found


def score_impressions(model: TaskModel, requests: Sequence[Request], tasks: Sequence[str]) -> Impressions:
    """Scores the logged impressions of requests that carry all tasks' labels.

    Args:
      model: the model.
      requests: whose `labels` are (T, tasks) in the order of `tasks` (`load_requests` with `every_label`).
      tasks: the tasks.

    Returns:
      One row a target, in the order of the requests.

    Raises:
      SegmentError: a request carries no labels, or those of another number of tasks.
      ScoreError: see `score_targets`.
    """
    labels = []
    for request in requests:
        shape, wanted = None if request.labels is None else request.labels.shape, (len(request.target_item), len(tasks))
        if shape != wanted:
            raise SegmentError(
                f"request {request.name} has labels of shape {shape}, expected {wanted}: one for each target and task "
                f"of {list(tasks)}. Load requests with every_label=True."
            )
        labels.append(request.labels)
    none = np.empty((0, len(tasks)), np.float32)
    scores = score_targets(model, requests, tasks)
    users = np.repeat(
        np.array([r.user for r in requests], object), np.array([len(r.target_item) for r in requests], np.int64)
    )
    return Impressions(users, tuple(tasks), np.concatenate([none, *labels]), np.concatenate([none, *scores]))
