"""Calibration in training: which rows count, what is written, and where the plot puts its marks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from seminar_tf.evaluation.calibration import Reliability, reliability
from seminar_tf.training import calibration_plot as plot
from seminar_tf.training.calibration import CalibrationReader, calibration_log
from seminar_tf.training.tensorboard import TrainingLog

LOGITS = np.random.default_rng(0).normal(size=50).astype(np.float32)
BLUE = (31, 90, 160)


class Table:
    """Logits by item id; "like" has the negative ones."""

    def __init__(self) -> None:
        self.table = tf.Variable(LOGITS)

    def logits(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        logits = tf.gather(self.table, batch["candidate_item_id"])
        return {"click": logits, "like": -logits}


def _batches(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (23, 4)).astype(np.float32)
    return {
        "candidate_item_id": rng.integers(0, 50, (23, 4)).astype(np.int32),
        "label_click": np.where(rng.random((23, 4)) < 0.3, np.nan, labels).astype(np.float32),
        "label_like": np.full((23, 4), np.nan, np.float32),
    }


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_real_candidates_with_a_known_label_are_read_with_the_present_weights(seed: int) -> None:
    model, arrays = Table(), _batches(seed)
    reader = CalibrationReader(model.logits, tf.data.Dataset.from_tensor_slices(arrays).batch(5), ("click", "like"))
    for shift in (0.0, 1.0):
        model.table.assign(LOGITS + shift)
        labels, p = [], []
        for row, column in np.ndindex(23, 4):
            item, label = arrays["candidate_item_id"][row, column], arrays["label_click"][row, column]
            if item > 0 and label == label:
                labels.append(label)
                p.append(1 / (1 + np.exp(-float(LOGITS[item] + shift))))
        found, wanted = reader.read(), reliability(np.array(labels), np.array(p))
        assert found["click"].rows == len(labels) and found["like"].rows == 0
        assert found["click"].mean_predicted == pytest.approx(np.mean(p), abs=1e-6)
        assert found["click"].expected_error == pytest.approx(wanted.expected_error, abs=1e-6)


def test_a_task_without_labels_writes_nothing_and_one_with_writes_all(tmp_path: Path) -> None:
    data = tf.data.Dataset.from_tensor_slices(_batches(3)).batch(5)
    write, log = calibration_log(Table().logits, data, ("click", "like")), TrainingLog(tmp_path)
    write(log, 7)
    log.flush()
    events = EventAccumulator(str(tmp_path), {"tensors": 0}).Reload()
    tags = {"calibration/click", "calibration/click_expected_error", "calibration/click_predicted_to_observed"}
    assert set(events.Tags()["tensors"]) == tags
    (image,) = events.Tensors("calibration/click")
    assert image.step == 7 and tf.make_ndarray(image.tensor_proto)[2].startswith(b"\x89PNG")


def test_points_intervals_bars_and_the_diagonal_are_where_they_belong() -> None:
    found = Reliability(
        count=np.array([100, 50]),
        low=np.array([0.0, 0.4]),
        high=np.array([0.2, 0.9]),
        predicted=np.array([0.1, 0.6]),
        observed=np.array([0.3, 0.5]),
    )
    pixels = plot.calibration_plot(found, "click")
    assert pixels.shape == (plot.HEIGHT, plot.WIDTH, 3) and pixels.dtype == np.uint8
    top = plot.axis_ticks(max(0.6, found.interval()[1].max()))[-1]
    low, high = found.interval()
    for n in range(2):
        column = plot.x_pixel(found.predicted[n] / top)
        for value in (found.observed[n], low[n], high[n]):
            assert tuple(pixels[plot.y_pixel(value / top), column]) == BLUE
        beyond = [plot.y_pixel(low[n] / top) + 4, plot.y_pixel(high[n] / top) - 4]
        assert all(tuple(pixels[row, column]) != BLUE for row in beyond)
    for share in (0.05, 0.9):  # no mark is near
        row, column = plot.y_pixel(share), plot.x_pixel(share)
        assert pixels[row - 1 : row + 2, column - 1 : column + 2].max(axis=2).min() < 90
    bar = plot.x_pixel(0.5 / top)  # of the second bin, half as high as the first
    height = plot.COUNT_BOTTOM - plot.COUNT_TOP
    assert (pixels[plot.COUNT_BOTTOM - height // 2 + 4, bar] < 250).any()
    assert (pixels[plot.COUNT_BOTTOM - height // 2 - 4, bar - 2 : bar + 2] > 220).all()


def test_a_plot_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="no row to draw for click"):
        plot.calibration_plot(reliability(np.zeros(0), np.zeros(0)), "click")


@pytest.mark.parametrize("highest", [1e-4, 0.0031, 0.09, 0.1, 0.35, 0.5, 0.97, 1.0])
def test_ticks_reach_the_highest_value_in_few_round_steps(highest: float) -> None:
    ticks = plot.axis_ticks(highest)
    assert ticks[0] == 0 and ticks[-2] < highest <= ticks[-1] + 1e-12 <= 1 + 1e-9
    assert 4 <= len(ticks) - 1 <= 10
