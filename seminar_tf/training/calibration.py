"""Holds a model's predicted probabilities against the labels of eval requests, after each epoch, in TensorBoard."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf
from scipy.special import expit

from seminar_tf.evaluation.calibration import Reliability, reliability
from seminar_tf.features import names
from seminar_tf.training.calibration_plot import calibration_plot
from seminar_tf.training.tensorboard import TrainingLog

logger = logging.getLogger(__name__)

Logits = Callable[[Mapping[str, tf.Tensor]], Mapping[str, tf.Tensor]]


class CalibrationReader:
    """Runs a model over labelled requests and bins its probabilities, task by task."""

    def __init__(self, logits: Logits, data: tf.data.Dataset, tasks: Sequence[str]) -> None:
        """Args:
        logits: of a batch with the model's present weights (`LiveRanker.logits`): task -> (B, N).
        data: batches with `label_<task>`, NaN where unknown.
        tasks: label tasks.
        """
        self._data = data
        self._tasks = tuple(tasks)
        self._logits = logits

    def read(self) -> dict[str, Reliability]:
        """task -> bins over all real candidates with a known label, with the model's present weights."""
        found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {task: [] for task in self._tasks}
        for batch in self._data:
            real = batch[names.CANDIDATE_ITEM_ID].numpy() != names.PADDING_ID
            logits = self._logits(batch)
            for task in self._tasks:
                labels = batch[names.label(task)].numpy()
                rows = real & np.isfinite(labels)
                # Not tf.sigmoid: equal logits must stay equal, which its vector lanes do not promise to the last bit.
                found[task].append((labels[rows], expit(logits[task].numpy()[rows].astype(np.float64))))
        return {task: reliability(*(np.concatenate(x) for x in zip(*parts))) for task, parts in found.items()}


def calibration_log(logits: Logits, data: tf.data.Dataset, tasks: Sequence[str]) -> Callable[[TrainingLog, int], None]:
    """What logs calibration: `calibration/<task>_expected_error`, `calibration/<task>_predicted_to_observed` (left out
    where nothing came true) and the picture `calibration/<task>`. A task without a known label has none of them.

    Args:
      logits: of a batch with the model's present weights (`LiveRanker.logits`): task -> (B, N).
      data: batches with `label_<task>`, NaN where unknown; the same in every epoch, so that epochs compare.
      tasks: label tasks.

    Returns:
      A function of (log, step).
    """
    reader = CalibrationReader(logits, data, tasks)

    def write(log: TrainingLog, step: int) -> None:
        for task, found in reader.read().items():
            if not found.rows:
                continue
            values = {f"{task}_expected_error": found.expected_error, f"{task}_predicted_to_observed": found.ratio}
            log.scalars("calibration", {name: value for name, value in values.items() if np.isfinite(value)}, step)
            log.image(f"calibration/{task}", calibration_plot(found, f"{task}, step {step:,}"), step)
            logger.info("calibration of %s: %s", task, ", ".join(f"{k} {v:.4f}" for k, v in values.items()))

    return write
