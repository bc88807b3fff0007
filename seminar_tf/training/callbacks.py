"""Keras callbacks of the training loop: checkpoints in the middle of an epoch, and losses that outlive a kill."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from seminar_tf.training.state import TrainingState


class TrainingError(RuntimeError):
    """Training that cannot go on; the message says where and what to do."""


class CheckpointCallback(tf.keras.callbacks.Callback):
    """Saves the state each so many steps, and refuses to save one whose loss is not finite."""

    # Losses stay tensors between checkpoints: turning them into numbers would wait for the step.
    _supports_tf_logs = True

    def __init__(self, state: TrainingState, steps_per_checkpoint: int) -> None:
        """Args:
        state: where to save; its `step` is kept up to date.
        steps_per_checkpoint: steps of an epoch between checkpoints.
        """
        super().__init__()
        self._state = state
        self._every = steps_per_checkpoint

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Counts the step; saves on every `steps_per_checkpoint`-th of the epoch."""
        step = int(self._state.step.assign_add(1))
        if step % self._every == 0:
            check_finite(self.model, int(self._state.epoch), step)
            self._state.save()


class KeepLosses(tf.keras.callbacks.Callback):
    """Puts the running means of a resumed epoch back: Keras resets them when an epoch begins."""

    def __init__(self, state: TrainingState) -> None:
        """Args:
        state: as it was restored.
        """
        super().__init__()
        self._state = state
        self._saved: list[np.ndarray] | None = None

    def set_model(self, model: tf.keras.Model) -> None:
        """Takes the values before Keras resets them."""
        super().set_model(model)
        if int(self._state.step):
            self._saved = [
                tf.convert_to_tensor(variable).numpy() for metric in model.metrics for variable in metric.variables
            ]

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Restores them, once."""
        if self._saved is not None:
            variables = [variable for metric in self.model.metrics for variable in metric.variables]
            for variable, value in zip(variables, self._saved):
                variable.assign(value)
            self._saved = None


def mean_losses(model: tf.keras.Model) -> dict[str, float]:
    """Every loss and the total, averaged over the steps of the epoch so far."""
    return {metric.name: float(metric.result()) for metric in model.metrics}


def check_finite(model: tf.keras.Model, epoch: int, step: int) -> None:
    """Raises TrainingError where a loss is NaN or infinite, so that no such state is ever saved."""
    bad = [name for name, value in mean_losses(model).items() if not math.isfinite(value)]
    if bad:
        raise TrainingError(
            f"loss {', '.join(bad)} is not finite at epoch {epoch}, step {step}. Lower learning_rate or clip_norm, or "
            "switch mixed_precision off."
        )
