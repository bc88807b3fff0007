"""NDCG@k, HIT@k and MRR as a TFMA metric: the same numbers as `seminar_tf.evaluation.metrics`, summed by Beam."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types

from seminar_tf.evaluation import metrics
from seminar_tf.evaluation.ranks import Ranks

RANK_OUTPUT = "rank"
USER_BUCKET = "user_bucket"
USER_BUCKETS = 50
REQUESTS = "requests"
STANDARD_ERROR = "_standard_error"
_PENDING = 1_000


class RankingMetrics(tfma.metrics.Metric):
    """All ranking metrics of the output `rank`, whose prediction is (higher, ties) of one target.

    Emits `ndcg_at_<k>`, `hit_at_<k>`, `mrr`, each also with `_standard_error`, and `requests`, how many were ranked.
    Targets that are not positive have an empty prediction and are passed over.
    """

    def __init__(self, cutoffs: Sequence[int] = (5, 10, 50), name: str = "ranking") -> None:
        """Takes the k of NDCG@k and HIT@k; `name` is not used by the metrics it emits."""
        super().__init__(_computations, cutoffs=list(cutoffs), name=name)


def _computations(
    cutoffs: list[int],
    name: str = "ranking",
    model_names: list[str] | None = None,
    output_names: list[str] | None = None,
) -> list[metric_types.MetricComputation]:
    return [
        metric_types.MetricComputation(
            keys=_keys(cutoffs, model_name, output_name),
            preprocessors=[
                metric_types.StandardMetricInputsPreprocessor(
                    include_filter={tfma.FEATURES_KEY: {USER_BUCKET: {}}}, include_default_inputs=True
                )
            ],
            combiner=RankingCombiner(cutoffs, model_name, output_name),
        )
        for model_name in model_names or [""]
        for output_name in output_names or [""]
    ]


def _keys(cutoffs: Sequence[int], model_name: str, output_name: str) -> list[metric_types.MetricKey]:
    means = metrics.metric_names(cutoffs)
    # TFMA looks thresholds up under keys that leave weighting open; False would never be found.
    return [
        metric_types.MetricKey(name=n, model_name=model_name, output_name=output_name, example_weighted=None)
        for n in (*means, *(mean + STANDARD_ERROR for mean in means), REQUESTS)
    ]


class _Accumulator:
    """Sums by user bucket, and the ranks that wait to be summed.

    Attributes:
      sums: (buckets, 1 + metrics) float64: requests, then the sum of each metric.
      pending: (bucket, higher, ties) of requests not yet in `sums`.
    """

    __slots__ = ("pending", "sums")

    def __init__(self, columns: int) -> None:
        self.sums = np.zeros((USER_BUCKETS, columns))
        self.pending: list[tuple[int, int, int]] = []


class RankingCombiner(beam.CombineFn):
    """Means of the ranking metrics, with standard errors by a jackknife that leaves out one user bucket at a time.

    Requests of one user fall in one bucket, so that the error counts users, not requests: sqrt((G-1)/G sum_g (m_(g) -
    mean of m_(.))^2) over the G buckets that hold requests, m_(g) being the mean without bucket g.
    """

    def __init__(self, cutoffs: Sequence[int], model_name: str, output_name: str) -> None:
        self.cutoffs = tuple(cutoffs)
        self.model_name = model_name
        self.output_name = output_name

    def create_accumulator(self) -> _Accumulator:
        return _Accumulator(1 + len(metrics.metric_names(self.cutoffs)))

    def add_input(self, accumulator: _Accumulator, element: Mapping[str, Any]) -> _Accumulator:
        rank = element[tfma.PREDICTIONS_KEY]
        for name in (self.model_name, self.output_name):
            rank = rank[name] if name else rank
        if len(rank):
            bucket = int(element[tfma.FEATURES_KEY][USER_BUCKET][0])
            accumulator.pending.append((bucket, int(rank[0]), int(rank[1])))
            if len(accumulator.pending) >= _PENDING:
                self.compact(accumulator)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[_Accumulator]) -> _Accumulator:
        result = self.create_accumulator()
        for accumulator in accumulators:
            result.sums += self.compact(accumulator).sums
        return result

    def compact(self, accumulator: _Accumulator) -> _Accumulator:
        """Moves the pending ranks into the sums."""
        if accumulator.pending:
            bucket, higher, ties = np.array(accumulator.pending, np.int64).T
            values = metrics.per_request(Ranks(higher, ties), self.cutoffs)
            np.add.at(accumulator.sums, bucket, np.stack([np.ones(len(bucket)), *values.values()], axis=1))
            accumulator.pending = []
        return accumulator

    def extract_output(self, accumulator: _Accumulator) -> dict[metric_types.MetricKey, float]:
        sums = self.compact(accumulator).sums
        total = sums.sum(axis=0)
        means = total[1:] / total[0] if total[0] else np.full(len(total) - 1, np.nan)
        values = [*means, *_jackknife(sums), total[0]]
        names = metrics.metric_names(self.cutoffs)
        if total[0]:
            model = f"model {self.model_name}" if self.model_name else "means"
            metrics.check_invariants({name: np.asarray(mean) for name, mean in zip(names, means)}, model)
        return {key: float(value) for key, value in zip(_keys(self.cutoffs, self.model_name, self.output_name), values)}


def _jackknife(sums: np.ndarray) -> np.ndarray:
    """Standard error of each mean from (buckets, 1 + metrics) sums; NaN with fewer than two buckets in use."""
    used = sums[sums[:, 0] > 0]
    if len(used) < 2:
        return np.full(sums.shape[1] - 1, np.nan)
    left = used.sum(axis=0) - used
    means = left[:, 1:] / left[:, :1]
    error: np.ndarray = np.sqrt((len(used) - 1) / len(used) * np.sum((means - means.mean(axis=0)) ** 2, axis=0))
    return error
