"""Segments in, ranks out: the TFMA extractor that makes requests, ranks their targets, and says what was found.

Each extract that leaves is one target of one test request:
  features: the slice features, the user's hash for GAUC, and the user's bucket for standard errors;
  labels: `rank` (1,) ones, which no metric reads, and, with impression metrics, `impression` (tasks,), the target's
    label for each task, NaN where unknown;
  predictions: by model when there are two, `rank` (2,) higher and ties, or (0,) when the target is not positive, and
    `impression` (tasks,), the probabilities that the model gives the target, NaN for a task that it does not have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from apache_beam.utils import shared

from components.evaluator.impression_metrics import IMPRESSION_OUTPUT, USER
from components.evaluator.ranking_metrics import RANK_OUTPUT, USER_BUCKET, USER_BUCKETS
from components.evaluator.records import read_segments
from components.evaluator.sampling import SmallestHashes, user_hash
from components.evaluator.slices import slice_features
from seminar_tf.evaluation import protocol
from seminar_tf.evaluation.impressions import score_targets
from seminar_tf.evaluation.requests import Request, Segment, cut_requests
from seminar_tf.evaluation.saved_model import SavedModelRanker, id_maps
from seminar_tf.export.metadata import ModelMetadata

SPLIT = "test"
STAGE_NAME = "ExtractRankings"
_BATCH = 128


@dataclass(frozen=True)
class ModelPath:
    """A model under evaluation: TFMA's name for it, empty when it is alone, and its SavedModel folder."""

    name: str
    path: str


class ExtractRankings(beam.PTransform):
    """Extracts of Arrow batches of all segments -> one extract a target of the test split.

    The candidate model's metadata says how requests are made: which task, which candidates, how many requests.
    """

    def __init__(self, models: Sequence[ModelPath], impression_tasks: Sequence[str] = ()) -> None:
        """Args:
        models: the candidate first: the examples carry its ids.
        impression_tasks: tasks of which labels and probabilities are wanted; none where targets are events.
        """
        super().__init__()
        self.models = tuple(models)
        self.impression_tasks = tuple(impression_tasks)

    def expand(self, extracts: beam.PCollection) -> beam.PCollection:
        every = [ModelMetadata.load(model.path) for model in self.models]
        candidate = every[0]
        length = max(metadata.history_length for metadata in every)
        salt = f"{candidate.seed}/evaluation/{SPLIT}"
        segments = extracts | "ReadSegments" >> beam.FlatMap(
            _read, task=candidate.primary_task, tasks=self.impression_tasks, length=length
        )
        if candidate.evaluation.max_requests:
            chosen = (
                segments
                | "CountRequests" >> beam.FlatMap(_draw, salt=salt)
                | "ChooseUsers" >> beam.CombineGlobally(SmallestHashes(candidate.evaluation.max_requests))
            )
            segments = segments | "KeepChosen" >> beam.Filter(
                lambda element, users: element[0] in users, users=beam.pvalue.AsSingleton(chosen)
            )
        return (
            segments
            | "JoinSegments" >> beam.GroupByKey()
            | "CutRequests" >> beam.FlatMap(_cut, length=length)
            | "BatchRequests" >> beam.BatchElements(min_batch_size=_BATCH, max_batch_size=_BATCH)
            | "Rank" >> beam.ParDo(_RankFn(self.models, salt, self.impression_tasks))
        )


def _read(extract: dict[str, Any], task: str, tasks: tuple[str, ...], length: int) -> Iterator[tuple[bytes, Segment]]:
    for user, segment in read_segments(extract[tfma.ARROW_RECORD_BATCH_KEY], task, tasks):
        # The train split holds everyone's past; what test requests can see of it is its newest end.
        yield user, segment if segment.split == SPLIT else segment.newest(length)


def _draw(element: tuple[bytes, Segment], salt: str) -> Iterator[tuple[int, bytes, int]]:
    user, segment = element
    positive = int(np.count_nonzero(segment.target_label > protocol.POSITIVE))
    if segment.split == SPLIT and positive:
        yield user_hash(user, salt), user, positive


def _cut(element: tuple[bytes, Iterable[Segment]], length: int) -> list[Request]:
    user, segments = element
    return cut_requests(user, list(segments), SPLIT, length)


class _RankFn(beam.DoFn):
    """Ranks batches of requests with every model."""

    def __init__(self, models: Sequence[ModelPath], salt: str, tasks: tuple[str, ...]) -> None:
        self._models = tuple(models)
        self._salt = salt
        self._tasks = tasks
        # One copy of each model in a process, however many threads work in it.
        self._shared = shared.Shared()

    def setup(self) -> None:
        self._rankers: _Rankers = self._shared.acquire(lambda: _Rankers(self._models))

    def process(self, requests: Sequence[Request]) -> Iterator[dict[str, Any]]:
        metadata = self._rankers.candidate
        counts = metadata.item_count
        outcomes = [
            list(protocol.rank(ranker, requests, metadata.catalog, metadata.evaluation, metadata.seed, SPLIT, counts))
            for ranker in self._rankers.rankers
        ]
        scores = [self._scores(ranker, requests) for ranker in self._rankers.rankers]
        for row, request in enumerate(requests):
            user = user_hash(request.user, self._salt)
            who = {USER: np.array([user], np.uint64), USER_BUCKET: np.array([user % USER_BUCKETS])}
            for n, item in enumerate(request.target_item):
                labels = {RANK_OUTPUT: np.ones(1)}
                predictions = {
                    model.name: {RANK_OUTPUT: _rank(outcome[row], n)} for model, outcome in zip(self._models, outcomes)
                }
                if self._tasks:
                    assert request.labels is not None
                    labels[IMPRESSION_OUTPUT] = request.labels[n]
                    for model, score in zip(self._models, scores):
                        predictions[model.name][IMPRESSION_OUTPUT] = score[row][n]
                yield {
                    tfma.FEATURES_KEY: {**slice_features(request, int(counts[item])), **who},
                    tfma.LABELS_KEY: labels,
                    tfma.PREDICTIONS_KEY: predictions if len(self._models) > 1 else predictions[self._models[0].name],
                }

    def _scores(self, ranker: SavedModelRanker, requests: Sequence[Request]) -> list[np.ndarray]:
        """(T, tasks) probabilities for each request, NaN for tasks that the model does not have."""
        known = [n for n, task in enumerate(self._tasks) if task in ranker.metadata.tasks]
        result = [np.full((len(r.target_item), len(self._tasks)), np.nan, np.float32) for r in requests]
        if known:
            for all_tasks, own in zip(result, score_targets(ranker, requests, [self._tasks[n] for n in known])):
                all_tasks[:, known] = own
        return result


class _Rankers:
    """The loaded models, the candidate first."""

    def __init__(self, models: Sequence[ModelPath]) -> None:
        first = models[0].path
        self.rankers = [SavedModelRanker(first)]
        self.rankers += [SavedModelRanker(model.path, id_maps(first, model.path)) for model in models[1:]]
        self.candidate = self.rankers[0].metadata


def _rank(outcome: protocol.Outcome, n: int) -> np.ndarray:
    ranked = outcome.higher[n] >= 0
    return np.array([outcome.higher[n], outcome.ties[n]] if ranked else [], np.int64)
