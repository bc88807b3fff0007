"""AUC, GAUC, log loss and calibration on logged impressions as a TFMA metric: `seminar_tf.evaluation.impressions`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types

from seminar_tf.evaluation import impressions

IMPRESSION_OUTPUT = "impression"
USER = "user"
_PENDING = 1_000


class ImpressionMetrics(tfma.metrics.Metric):
    """All metrics of the output `impression`, whose label and prediction hold a number for each task.

    Emits `impressions.metric_names`: bare names for the primary task, `<task>_` before those of others. A NaN label is
    unknown; a NaN prediction is of a task that the model does not have (a baseline of another day): such rows are left
    out for the task. Every figure is exact, so the accumulator keeps the rows: 8 + 8 x tasks bytes an impression and
    slice it lies in; `evaluation.max_requests` bounds them.
    """

    def __init__(self, tasks: Sequence[str], primary: str, name: str = "impressions") -> None:
        """Takes the tasks, in the order of labels and predictions, and the one whose metrics have no prefix."""
        super().__init__(_computations, tasks=list(tasks), primary=primary, name=name)


def _computations(
    tasks: list[str],
    primary: str,
    name: str = "impressions",
    model_names: list[str] | None = None,
    output_names: list[str] | None = None,
) -> list[metric_types.MetricComputation]:
    return [
        metric_types.MetricComputation(
            keys=_keys(tasks, primary, model_name, output_name),
            preprocessors=[
                metric_types.StandardMetricInputsPreprocessor(
                    include_filter={tfma.FEATURES_KEY: {USER: {}}}, include_default_inputs=True
                )
            ],
            combiner=ImpressionCombiner(tasks, primary, model_name, output_name),
        )
        for model_name in model_names or [""]
        for output_name in output_names or [""]
    ]


def _keys(tasks: Sequence[str], primary: str, model_name: str, output_name: str) -> list[metric_types.MetricKey]:
    # TFMA looks thresholds up under keys that leave weighting open; False would never be found.
    return [
        metric_types.MetricKey(name=n, model_name=model_name, output_name=output_name, example_weighted=None)
        for n in impressions.metric_names(tasks, primary)
    ]


class _Accumulator:
    """Impressions, and those that wait to join them.

    Attributes:
      parts: (users (n,) uint64, labels (n, tasks) float32, predictions (n, tasks) float32) each.
      pending: (user, labels, predictions) of single impressions.
    """

    __slots__ = ("parts", "pending")

    def __init__(self) -> None:
        self.parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.pending: list[tuple[int, np.ndarray, np.ndarray]] = []

    def settle(self) -> None:
        """Moves the pending impressions into the parts."""
        if self.pending:
            users, labels, predictions = zip(*self.pending)
            columns = np.array(users, np.uint64), np.stack(labels), np.stack(predictions)
            self.parts.append((columns[0], columns[1].astype(np.float32), columns[2].astype(np.float32)))
            self.pending = []


class ImpressionCombiner(beam.CombineFn):
    """Collects impressions; the figures are NumPy's over all of them."""

    def __init__(self, tasks: Sequence[str], primary: str, model_name: str, output_name: str) -> None:
        self.tasks = tuple(tasks)
        self.primary = primary
        self.model_name = model_name
        self.output_name = output_name

    def create_accumulator(self) -> _Accumulator:
        return _Accumulator()

    def add_input(self, accumulator: _Accumulator, element: Mapping[str, Any]) -> _Accumulator:
        label, prediction = element[tfma.LABELS_KEY], element[tfma.PREDICTIONS_KEY]
        if self.model_name:
            prediction = prediction[self.model_name]
        if self.output_name:
            label, prediction = label[self.output_name], prediction[self.output_name]
        user = int(element[tfma.FEATURES_KEY][USER][0])
        accumulator.pending.append((user, np.asarray(label), np.asarray(prediction)))
        if len(accumulator.pending) >= _PENDING:
            accumulator.settle()
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[_Accumulator]) -> _Accumulator:
        result = self.create_accumulator()
        for accumulator in accumulators:
            accumulator.settle()
            result.parts.extend(accumulator.parts)
        return result

    def compact(self, accumulator: _Accumulator) -> _Accumulator:
        """Makes one part of all: few large arrays travel better than many small ones."""
        accumulator.settle()
        if len(accumulator.parts) > 1:
            users, labels, predictions = (np.concatenate(columns) for columns in zip(*accumulator.parts))
            accumulator.parts = [(users, labels, predictions)]
        return accumulator

    def extract_output(self, accumulator: _Accumulator) -> dict[metric_types.MetricKey, float]:
        parts = self.compact(accumulator).parts
        none = np.empty((0, len(self.tasks)), np.float32)
        users, labels, predictions = parts[0] if parts else (np.empty(0, np.uint64), none, none)
        # An order of the rows' own: no sum depends on how Beam merged them.
        order = np.lexsort((*labels.T, *predictions.T, users))
        users, labels, predictions = users[order], labels[order], predictions[order]
        labels = np.where(np.isnan(predictions), np.float32(np.nan), labels)
        found = impressions.Impressions(users, self.tasks, labels, predictions).metrics(self.primary)
        return {key: found[key.name] for key in _keys(self.tasks, self.primary, self.model_name, self.output_name)}
