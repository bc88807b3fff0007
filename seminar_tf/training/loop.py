"""Training, epoch by epoch, on Keras' `fit`: resumes after a kill, stops early, keeps the best weights."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf

from seminar_tf.config import TrainConfig
from seminar_tf.training.callbacks import CheckpointCallback, KeepLosses, TrainingError, check_finite, mean_losses
from seminar_tf.training.inputs import Epochs
from seminar_tf.training.shares import distribute
from seminar_tf.training.state import TrainingState
from seminar_tf.training.strategy import agree, is_asynchronous
from seminar_tf.training.tensorboard import StepLog, TrainingLog

logger = logging.getLogger(__name__)

Evaluate = Callable[[], dict[str, float]]


@dataclass(frozen=True)
class Monitor:
    """The eval metric that decides which epoch is best.

    Attributes:
      name: of the metric.
      higher_is_better: whether it is a score or a loss.
    """

    name: str
    higher_is_better: bool


@dataclass(frozen=True)
class TrainingResult:
    """What a training came to.

    Attributes:
      epochs: epochs run.
      steps: optimizer steps taken.
      rows: requests of an epoch.
      seconds: training time, evaluations among it, over all resumes; what a kill made undone is not in it.
      best_epoch: the epoch, from 0, with the best eval metric; -1 where nothing was evaluated.
      losses: mean losses of the last epoch; empty where there was none.
      eval: eval metrics of the epoch whose weights the model now has; empty where there was none.
      history: record of every epoch.
    """

    epochs: int
    steps: int
    rows: int
    seconds: float
    best_epoch: int
    losses: dict[str, float]
    eval: dict[str, float]
    history: list[dict[str, Any]] = field(default_factory=list)


def make_deterministic(seed: int) -> None:
    """Makes every op of this process repeatable: same inputs, same bits. Call it before a model is built."""
    tf.keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def compile_model(model: tf.keras.Model, config: TrainConfig) -> None:
    """Gives the model its optimizer (Adam), with all its variables, so that a checkpoint can be restored.

    Under a strategy, call it in the strategy's scope, as the model was built.
    """
    optimizer: tf.keras.optimizers.Optimizer = tf.keras.optimizers.Adam(config.learning_rate)
    if tf.keras.mixed_precision.global_policy().compute_dtype == "float16":
        optimizer = tf.keras.mixed_precision.LossScaleOptimizer(optimizer)
    model.compile(optimizer=optimizer, jit_compile=config.jit_compile)
    model.optimizer.build(model.trainable_variables)


def train(
    model: tf.keras.Model,
    data: Epochs,
    config: TrainConfig,
    evaluate: Evaluate,
    monitor: Monitor,
    state: TrainingState,
    log_folder: str | Path,
    log_epoch: Callable[[TrainingLog, int], None] | None = None,
) -> TrainingResult:
    """Trains a model, from wherever `state` stands.

    Args:
      model: compiled by `compile_model`; its metrics are its losses.
      data: train batches.
      config: epochs, patience, checkpoints.
      evaluate: computes eval metrics with the present weights; empty where there is nothing to evaluate.
      monitor: the metric that early stopping follows.
      state: of this model.
      log_folder: TensorBoard logs.
      log_epoch: writes more to the log at the end of an epoch, given the optimizer's step.

    Returns:
      The result; the model has the best epoch's weights if `config.patience` is set, else the last one's.

    Raises:
      TrainingError: a loss is not finite, or early stopping has no metric to follow.
    """
    strategy = model.distribute_strategy
    log = TrainingLog(log_folder if state.is_chief else None)
    for record in state.history:
        log.epoch(record)
    while int(state.epoch) < config.epochs and not int(state.stopped):
        epoch = int(state.epoch)
        _fit_epoch(model, data, config, state, epoch, log)
        losses = mean_losses(model)
        check_finite(model, epoch, int(state.step))
        # Workers must not differ in when they stop.
        metrics = agree(strategy, evaluate())
        _remember_best(config, state, monitor, metrics)
        steps = int(tf.convert_to_tensor(model.optimizer.iterations))
        record = {"epoch": epoch, "steps": steps, "losses": losses, "eval": metrics}
        log.epoch(record)
        if log_epoch is not None:
            log_epoch(log, steps)
        state.end_epoch(record)
        logger.info("epoch %d: losses %s, eval %s", epoch, _short(losses), _short(metrics))
    log.flush()
    return _finish(model, data, config, state)


def _fit_epoch(
    model: tf.keras.Model, data: Epochs, config: TrainConfig, state: TrainingState, epoch: int, log: TrainingLog
) -> None:
    """Runs what is left of an epoch."""
    strategy = model.distribute_strategy
    if is_asynchronous(strategy):
        return _fit_asynchronous(model, data, config, state, epoch)
    first = int(state.step)
    if first >= data.steps:
        return
    callbacks = [
        KeepLosses(state),
        CheckpointCallback(state, config.steps_per_checkpoint),
        StepLog(log, config.batch_size),
    ]
    model.fit(
        distribute(strategy, lambda: data.epoch(epoch, first)),
        steps_per_epoch=None if strategy.num_replicas_in_sync == 1 else data.steps - first,
        initial_epoch=epoch,
        epochs=epoch + 1,
        callbacks=callbacks,
        verbose=0,
        shuffle=False,
    )


def _fit_asynchronous(
    model: tf.keras.Model, data: Epochs, config: TrainConfig, state: TrainingState, epoch: int
) -> None:
    """The same in stretches between checkpoints: a step is only scheduled when its callbacks run, so that they can
    tell nothing of it; at the end of `fit` all steps are done."""
    while (first := int(state.step)) < data.steps:
        stretch = min(config.steps_per_checkpoint, data.steps - first)
        model.fit(
            # Every stretch starts over at another place of the epoch's batches.
            distribute(model.distribute_strategy, partial(data.epoch, epoch, first)),
            steps_per_epoch=stretch,
            initial_epoch=epoch,
            epochs=epoch + 1,
            callbacks=[KeepLosses(state)],
            verbose=0,
        )
        state.step.assign_add(stretch)
        check_finite(model, epoch, int(state.step))
        if int(state.step) < data.steps:
            state.save()


def _remember_best(config: TrainConfig, state: TrainingState, monitor: Monitor, metrics: dict[str, float]) -> None:
    """Early stopping: takes note of the epoch's metric, and of its weights where they are the best so far."""
    if monitor.name not in metrics:
        if config.patience:
            raise TrainingError(
                f"patience is {config.patience}, but there is no eval target to compute {monitor.name} from. Set "
                "patience to 0, or give the dataset users with at least 3 targets."
            )
        return
    value, best = metrics[monitor.name], float(state.best)
    better = value > best if monitor.higher_is_better else value < best
    if int(state.best_epoch) < 0 or better:
        state.best.assign(value)
        state.best_epoch.assign(state.epoch)
        state.wait.assign(0)
        if config.patience:
            state.save_best()
        return
    state.wait.assign_add(1)
    if config.patience and int(state.wait) >= config.patience:
        logger.info("no better %s than %.5f for %d epochs: stopping", monitor.name, best, int(state.wait))
        state.stopped.assign(1)


def _finish(model: tf.keras.Model, data: Epochs, config: TrainConfig, state: TrainingState) -> TrainingResult:
    steps = int(tf.convert_to_tensor(model.optimizer.iterations))
    last: dict[str, Any] = state.history[-1] if state.history else {"losses": {}, "eval": {}}
    kept = last
    if config.patience and state.history:
        state.restore_best()
        kept = state.history[int(state.best_epoch)]
    return TrainingResult(
        epochs=len(state.history),
        steps=steps,
        rows=data.rows,
        seconds=float(state.seconds),
        best_epoch=int(state.best_epoch),
        losses=last["losses"],
        eval=kept["eval"],
        history=state.history,
    )


def _short(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.5g}" for name, value in values.items())
