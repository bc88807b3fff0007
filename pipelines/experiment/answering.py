"""What jobs ask of a ranker, trained or not: ranks of targets, and scores of logged impressions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pipelines.experiment.layout import CANDIDATE_SEED, Asked, AskedImpressions, Question, Ranks, Scored, Transformed
from seminar_tf.evaluation.impressions import score_targets
from seminar_tf.evaluation.protocol import RankingModel
from seminar_tf.evaluation.requests import Request
from seminar_tf.evaluation.saved_model import SavedModelRanker
from seminar_tf.evaluation.slices import REQUEST_KIND, slice_columns
from seminar_tf.export.metadata import primary_of
from seminar_tf.features import names
from seminar_tf.features.npz import save_npz
from seminar_tf.training.ranking import target_metrics
from seminar_tf.training.requests import load_requests, load_users


def answer(
    question: Question,
    ranker: RankingModel,
    data: Transformed,
    tasks: Sequence[str],
    catalog: np.ndarray,
    counts: np.ndarray,
    path: Path,
) -> None:
    """Ranks or scores, and writes what came of it.

    Args:
      question: what is asked.
      ranker: any.
      data: transformed examples.
      tasks: label tasks of the dataset.
      catalog: ids of all real items.
      counts: train pairs by item id, by which popular candidates are drawn.
      path: file to write.
    """
    if isinstance(question, AskedImpressions):
        save_npz(path, asdict(scored(ranker, _load(data, tasks, question, every_label=True), tasks, counts)))
    else:
        save_npz(path, ranks(ranker, split_requests(data, tasks, question), catalog, counts, question).arrays())


def split_requests(data: Transformed, tasks: Sequence[str], asked: Asked) -> list[Request]:
    """The requests of a split, the same whichever model ranks.

    Args:
      data: transformed examples.
      tasks: label tasks; the targets' labels are the primary one's.
      asked: which split, how many, how much history.
    """
    return _load(data, tasks, asked, max_requests=asked.evaluation.max_requests)


def _load(
    data: Transformed, tasks: Sequence[str], asked: Question, max_requests: int = 0, every_label: bool = False
) -> list[Request]:
    visible = {s: data.files(s) for s in names.SEGMENT_SPLITS}
    users = load_users(visible, asked.split, tuple(tasks), max_requests, CANDIDATE_SEED)
    return load_requests(users, tasks.index(primary_of(tasks)), asked.history_length, every_label)


def ranks(
    ranker: RankingModel, requests: list[Request], catalog: np.ndarray, counts: np.ndarray, asked: Asked
) -> Ranks:
    """Ranks every positive target.

    Args:
      ranker: any.
      requests: of the split.
      catalog: ids of all real items.
      counts: train pairs by item id.
      asked: what is ranked.

    Returns:
      The metrics of each target, and its slices.

    Raises:
      ValueError: no target is positive.
    """
    found = target_metrics(ranker, requests, catalog, asked.evaluation, CANDIDATE_SEED, asked.split, counts)
    if found is None:
        raise ValueError(
            f"no target of split {asked.split} is positive: there is nothing to rank. Are there users with 3 events "
            "or more?"
        )
    return Ranks(found.users, found.items, found.values, found.slices)


def scored(ranker: RankingModel, requests: list[Request], tasks: Sequence[str], counts: np.ndarray) -> Scored:
    """Scores every logged impression whose label of the primary task is known.

    Args:
      ranker: an exported model, which gives probabilities, or a floor, which gives what it ranks by.
      requests: of the split, with every task's labels.
      tasks: their tasks.
      counts: train pairs by item id.

    Raises:
      ValueError: no impression has such a label.
    """
    task, column = primary_of(tasks), tasks.index(primary_of(tasks))
    model = ranker if isinstance(ranker, SavedModelRanker) else _Unscaled(ranker, task)
    found = score_targets(model, requests, [task])
    labels = np.concatenate([np.empty(0, np.float32), *(r.labels[:, column] for r in requests if r.labels is not None)])
    known = ~np.isnan(labels)
    if not known.any():
        raise ValueError(
            f"no logged impression of the split has a label of task {task!r}: there is nothing to measure. Does the "
            "requests table reach the split's time?"
        )
    kinds = slice_columns(requests, counts)[REQUEST_KIND]
    users = np.repeat([request.user for request in requests], [len(request.target_item) for request in requests])
    return Scored(users[known], kinds[known], labels[known], np.concatenate(found)[known, 0])


class _Unscaled:
    """A floor behind the interface of models that score tasks.

    Attributes:
      history_length: of the floor.
    """

    def __init__(self, ranker: RankingModel, task: str) -> None:
        self.history_length = ranker.history_length
        self._ranker, self._task = ranker, task

    def task_scores(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """task -> (B, N) of what the floor ranks by."""
        return {self._task: self._ranker.score(batch)}
