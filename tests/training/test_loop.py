"""Early stopping goes back to the best epoch; what is not finite is never saved; TensorBoard gets its files."""

import json

import numpy as np
import pytest
import tensorflow as tf

from seminar_tf.config import TrainConfig
from seminar_tf.models.base import MultiLossModel
from seminar_tf.training.callbacks import TrainingError
from seminar_tf.training.loop import Monitor, compile_model, train
from seminar_tf.training.state import TrainingState
from seminar_tf.training.tensorboard import TrainingLog, gate_log, write_projector


class Line(MultiLossModel):
    """y = w x, with the squared error as its only loss."""

    def __init__(self):
        super().__init__(seed=0, term_weights={"error": 1.0})
        self.w = tf.Variable(0.0, name="w")

    def compute_losses(self, batch, step_seed, training=True):
        return {"error": tf.reduce_mean((self.w * batch["x"] - batch["y"]) ** 2)}


class Data:
    """Four equal batches an epoch."""

    rows, steps = 8, 4

    def __init__(self, y=1.0):
        self._y = y

    def epoch(self, number, first_step=0):
        batch = {"x": tf.ones([4, 2]), "y": tf.fill([4, 2], self._y)}
        return tf.data.Dataset.from_tensor_slices(batch).skip(first_step)


def build(tmp_path, config):
    model = Line()
    compile_model(model, config)
    return model, TrainingState(tmp_path / "state", model)


def evaluator(model, scores):
    """Gives the scores one by one, and keeps the weight that each was given for."""
    seen = []

    def evaluate():
        seen.append(float(model.w))
        return {"score": scores[len(seen) - 1]}

    return evaluate, seen


def test_early_stopping_restores_the_best_weights(tmp_path):
    config = TrainConfig(epochs=9, patience=2, batch_size=2, learning_rate=0.1)
    model, state = build(tmp_path, config)
    evaluate, seen = evaluator(model, [0.1, 0.5, 0.4, 0.5, 0.9])
    result = train(model, Data(), config, evaluate, Monitor("score", True), state, tmp_path / "logs")
    assert (result.epochs, result.best_epoch, result.steps) == (4, 1, 16)
    assert result.eval == {"score": 0.5}
    assert float(model.w) == seen[1] != seen[3]
    assert [path.name for path in sorted(state.folder.glob("best-*.index"))] == ["best-1.index"]


def test_a_loss_is_better_when_lower(tmp_path):
    config = TrainConfig(epochs=3, patience=3, batch_size=2)
    model, state = build(tmp_path, config)
    evaluate, seen = evaluator(model, [0.3, 0.1, 0.2])
    result = train(model, Data(), config, evaluate, Monitor("score", False), state, tmp_path / "logs")
    assert result.best_epoch == 1 and float(model.w) == seen[1]


def test_without_patience_all_epochs_run_and_the_last_weights_stay(tmp_path):
    config = TrainConfig(epochs=3, batch_size=2)
    model, state = build(tmp_path, config)
    evaluate, seen = evaluator(model, [0.3, 0.2, 0.1])
    result = train(model, Data(), config, evaluate, Monitor("score", True), state, tmp_path / "logs")
    assert result.epochs == 3 and float(model.w) == seen[2] and result.eval == {"score": 0.1}


def test_no_epoch_leaves_the_model_as_it_starts(tmp_path):
    config = TrainConfig(epochs=0, patience=1, batch_size=2)
    model, state = build(tmp_path, config)
    before = float(model.w)
    result = train(model, Data(), config, dict, Monitor("score", True), state, tmp_path / "logs")
    assert (result.epochs, result.steps, result.best_epoch, result.losses, result.eval) == (0, 0, -1, {}, {})
    assert float(model.w) == before


def test_a_finished_state_trains_no_more(tmp_path):
    config = TrainConfig(epochs=2, patience=1, batch_size=2)
    model, state = build(tmp_path, config)
    evaluate, _ = evaluator(model, [0.3, 0.2])
    first = train(model, Data(), config, evaluate, Monitor("score", True), state, tmp_path / "logs")
    again, restored = build(tmp_path, config)
    assert restored.resumed
    second = train(again, Data(), config, lambda: {}, Monitor("score", True), restored, tmp_path / "logs2")
    assert first == second and float(again.w) == float(model.w)


def test_early_stopping_without_eval_targets_is_an_error(tmp_path):
    config = TrainConfig(epochs=2, patience=1, batch_size=2)
    model, state = build(tmp_path, config)
    with pytest.raises(TrainingError, match="no eval target"):
        train(model, Data(), config, lambda: {}, Monitor("score", True), state, tmp_path / "logs")


def test_a_loss_that_is_not_finite_is_refused_and_not_saved(tmp_path):
    config = TrainConfig(epochs=1, batch_size=2, steps_per_checkpoint=2)
    model, state = build(tmp_path, config)
    with pytest.raises(TrainingError, match=r"loss, error is not finite at epoch 0, step 2"):
        train(model, Data(float("inf")), config, lambda: {}, Monitor("score", True), state, tmp_path / "logs")
    assert not list(state.folder.rglob("*.index"))


def read_tags(folder):
    tags = set()
    for file in folder.glob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            tags |= {value.tag for value in event.summary.value}
    return tags


def test_tensorboard_holds_losses_metrics_speed_and_gates(tmp_path):
    config = TrainConfig(epochs=6, batch_size=2)
    model, state = build(tmp_path, config)

    class Gates:
        def gate_weights(self, items, queries):
            return np.full((len(items), 2), 0.5)

    gates = gate_log(Gates(), ("query", "text"), np.ones(5, bool), np.ones(3, bool), 0)
    train(model, Data(), config, lambda: {"score": 1.0}, Monitor("score", True), state, tmp_path / "logs", gates)
    tags = read_tags(tmp_path / "logs")
    assert {"epoch/loss", "epoch/error", "eval/score", "gate_browse/query", "gate_search_mean/text"} <= tags


def test_projector(tmp_path):
    present = np.array([[True, True], [False, True]])
    write_projector(tmp_path, ("text", "image"), np.ones((2, 2, 3), np.float32), present, ["a\tb", ""])
    assert (tmp_path / "items_text.tsv").read_text().split("\n")[:2] == ["1\t1\t1", ""]
    assert (tmp_path / "items_image_titles.tsv").read_text() == "a b\n-\n"
    assert 'tensor_path: "items_image.tsv"' in (tmp_path / "projector_config.pbtxt").read_text()


def test_the_history_is_json(tmp_path):
    config = TrainConfig(epochs=1, batch_size=2)
    model, state = build(tmp_path, config)
    train(model, Data(), config, lambda: {"score": 1.0}, Monitor("score", True), state, tmp_path / "logs")
    (record,) = json.loads((state.folder / "history.json").read_text())
    assert record["steps"] == 4 and set(record["losses"]) == {"loss", "error"}
    assert TrainingLog(tmp_path / "other").epoch(record) is None
