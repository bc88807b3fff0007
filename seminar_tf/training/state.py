"""The state of a training run on disk: what a killed run goes on from, bit for bit.

A checkpoint holds the model, the optimizer, the running means of the losses, the place in the epoch and what early
stopping remembers. TensorFlow names a new checkpoint in the folder's `checkpoint` file only when all of it is
written, so a kill at any moment leaves the one before.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import tensorflow as tf

from seminar_tf.training.strategy import Task, is_replicated

logger = logging.getLogger(__name__)

_HISTORY = "history.json"
_KEPT = 2


def state_key(*parts: str | Iterable[str]) -> str:
    """Names the folder of a state by everything that the training depends on.

    Args:
      *parts: texts (configuration, base model, code fingerprint) or lists of them (input files).

    Returns:
      32 hexadecimal digits; a change in any part, or a move between parts, gives others.
    """
    text = json.dumps([part if isinstance(part, str) else list(part) for part in parts])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class TrainingState:
    """Checkpoints of one run in one folder.

    Attributes:
      epoch: the epoch in progress, from 0; int64 variable.
      step: batches of it that are done; int64 variable.
      best: best eval metric so far; float64 variable.
      best_epoch: the epoch it is of, -1 before the first evaluation; int64 variable.
      wait: evaluations since then; int64 variable.
      stopped: 1 once early stopping has ended the training; int64 variable.
      seconds: time that this state was open, up to the last `save`, over all resumes; float64 variable.
      history: one record a finished epoch, as JSON can hold it.
      resumed: whether a checkpoint was found.
      is_chief: whether this process' files count.
    """

    def __init__(self, folder: str | Path, model: tf.keras.Model, task: Task | None = None) -> None:
        """Opens the folder, and restores the model and the rest where it holds a checkpoint.

        Args:
          folder: made where it does not exist; one that all workers see.
          model: a compiled model with all its variables, the optimizer's among them.
          task: of this process among several workers. All of them save at the same moments, because reading what is
            spread over them takes them all, but only the chief's files count: the others' go to a folder beside.
        """
        self.folder = Path(folder)
        task = task or Task()
        self.is_chief = task.is_chief
        self._written = self.folder if self.is_chief else self.folder / f".{task.role}-{task.index}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._model = model
        self._replicated = is_replicated(model.distribute_strategy)
        self.epoch, self.step, self.wait, self.stopped = (tf.Variable(0, dtype=tf.int64) for _ in range(4))
        self.best_epoch = tf.Variable(-1, dtype=tf.int64)
        self.best, self.seconds = (tf.Variable(0.0, dtype=tf.float64) for _ in range(2))
        self._told = time.monotonic()
        self.history: list[dict[str, Any]] = []
        checkpoint = tf.train.Checkpoint(
            model=model,
            optimizer=model.optimizer,
            losses=list(model.metrics),
            epoch=self.epoch,
            step=self.step,
            best=self.best,
            best_epoch=self.best_epoch,
            wait=self.wait,
            stopped=self.stopped,
            seconds=self.seconds,
        )
        latest = tf.train.latest_checkpoint(str(self.folder / "latest"))
        self._manager = tf.train.CheckpointManager(checkpoint, str(self._written / "latest"), max_to_keep=_KEPT)
        self.resumed = latest is not None
        if self.resumed:
            checkpoint.restore(latest).assert_existing_objects_matched()
            epoch = int(self.epoch)
            self.history = json.loads((self.folder / _HISTORY).read_text())[:epoch] if epoch else []
            logger.info("going on from epoch %d, step %d (%s)", epoch, int(self.step), self.folder)

    def save(self) -> None:
        """Writes a checkpoint; the oldest beyond two goes."""
        now = time.monotonic()
        self.seconds.assign_add(now - self._told)
        self._told = now
        self._manager.save()

    def end_epoch(self, record: dict[str, Any]) -> None:
        """Moves on to the next epoch and saves.

        Args:
          record: what the epoch came to, as JSON can hold it.
        """
        self.history.append(record)
        if self.is_chief:
            partial = self.folder / f"{_HISTORY}.partial"
            partial.write_text(json.dumps(self.history))
            # Before the checkpoint: a kill in between leaves one record too many, which a resume cuts off.
            os.replace(partial, self.folder / _HISTORY)
        self.epoch.assign_add(1)
        self.step.assign(0)
        self.save()
        self._drop_old_best()

    def save_best(self) -> None:
        """Writes the weights as those of `best_epoch`; they count once the next checkpoint is saved."""
        self._weights().write(str(self._written / self._best_path().name))

    def restore_best(self) -> None:
        """Sets the weights to those of `best_epoch`."""
        self._weights().read(str(self._best_path())).assert_consumed()

    def alone(self, build: Callable[[], tf.keras.Model]) -> tf.keras.Model:
        """The model without a strategy, for export: its own if it has none, else a copy in plain, whole variables.

        Args:
          build: makes the same model again; called outside any scope.
        """
        if not self._replicated:
            return self._model
        path = str(self._written / "final")
        tf.train.Checkpoint(model=self._model).write(path)
        plain = build()
        # The optimizer stays behind.
        tf.train.Checkpoint(model=plain).read(path).assert_existing_objects_matched().expect_partial()
        return plain

    def remove(self) -> None:
        """Deletes the folder: the run's result is written elsewhere."""
        shutil.rmtree(self._written, ignore_errors=True)

    def _weights(self) -> tf.train.Checkpoint:
        return tf.train.Checkpoint(weights=list(self._model.weights))

    def _best_path(self) -> Path:
        return self.folder / f"best-{int(self.best_epoch)}"

    def _drop_old_best(self) -> None:
        for file in self._written.glob("best-*"):
            if file.name.split(".")[0] != self._best_path().name:
                file.unlink()
