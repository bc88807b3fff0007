"""What TensorBoard shows of a training run: losses, metrics, gate weights, speed, pictures, and item vectors."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorboard.plugins.projector import ProjectorConfig

from seminar_tf.features import names

PROJECTED_ITEMS = 5_000
GATE_SAMPLE = 2_000
STEPS_PER_LOG = 20


class Gated(Protocol):
    """A model with a channel gate."""

    def gate_weights(self, item_ids: tf.Tensor, query_ids: tf.Tensor) -> tf.Tensor:
        """gamma of pairs, (n, M+1), query first."""


class TrainingLog:
    """Writes scalars and histograms of one run. Steps on the x axis are optimizer steps."""

    def __init__(self, folder: str | Path | None) -> None:
        """Args:
        folder: of the event files; None writes none, as workers other than the chief do.
        """
        writes = folder is not None
        self._writer = tf.summary.create_file_writer(str(folder)) if writes else tf.summary.create_noop_writer()

    def scalars(self, prefix: str, values: dict[str, float], step: int) -> None:
        """Writes `<prefix>/<name>` of every value."""
        with self._writer.as_default():
            for name, value in values.items():
                tf.summary.scalar(f"{prefix}/{name}", value, step=step)

    def epoch(self, record: dict[str, Any]) -> None:
        """Writes the record of a finished epoch, of this process or of the killed one that it goes on from."""
        self.scalars("epoch", record["losses"], record["steps"])
        self.scalars("eval", record["eval"], record["steps"])
        self.flush()

    def gates(self, prefix: str, channels: Sequence[str], weights: np.ndarray, step: int) -> None:
        """Writes mean and histogram of the gate's weights, (n, channels), by channel."""
        with self._writer.as_default():
            for column, channel in enumerate(channels):
                tf.summary.scalar(f"{prefix}_mean/{channel}", float(weights[:, column].mean()), step=step)
                tf.summary.histogram(f"{prefix}/{channel}", weights[:, column], step=step)

    def image(self, name: str, pixels: np.ndarray, step: int) -> None:
        """Writes one picture, (height, width, 3) uint8 RGB."""
        with self._writer.as_default():
            tf.summary.image(name, pixels[np.newaxis], step=step)

    def flush(self) -> None:
        """Makes everything so far visible."""
        self._writer.flush()


class StepLog(tf.keras.callbacks.Callback):
    """Logs losses (means over the epoch so far), learning rate and speed every STEPS_PER_LOG steps."""

    _supports_tf_logs = True

    def __init__(self, log: TrainingLog, batch_size: int) -> None:
        """Args:
        log: where to write.
        batch_size: requests of a step.
        """
        super().__init__()
        self._log = log
        self._batch_size = batch_size
        self._since = time.monotonic()
        self._steps = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock."""
        self._since, self._steps = time.monotonic(), 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes where the step is due."""
        self._steps += 1
        if self._steps < STEPS_PER_LOG:
            return
        step = int(tf.convert_to_tensor(self.model.optimizer.iterations))
        now = time.monotonic()
        self._log.scalars("train", {name: float(value) for name, value in (logs or {}).items()}, step)
        rate = self._steps * self._batch_size / max(now - self._since, 1e-9)
        speed = {
            "learning_rate": float(tf.convert_to_tensor(self.model.optimizer.learning_rate)),
            "examples_per_second": rate,
        }
        self._log.scalars("run", speed, step)
        self._since, self._steps = now, 0


def gate_log(
    model: Gated, channels: Sequence[str], known_items: np.ndarray, known_queries: np.ndarray, seed: int
) -> Callable[[TrainingLog, int], None]:
    """What logs the gate over a fixed sample of items, as browsed and, where there are queries, as searched.

    Args:
      model: the model.
      channels: names of its channels, query first.
      known_items: (V,) bool by item id.
      known_queries: (Q,) bool by query id.
      seed: of the sample.

    Returns:
      A function of (log, step).
    """
    rng = np.random.default_rng(seed)
    items = _sample(rng, np.flatnonzero(known_items), GATE_SAMPLE)
    queries = np.flatnonzero(known_queries)
    samples = {"gate_browse": np.full(len(items), names.EMPTY_QUERY_ID)}
    if len(queries):
        samples["gate_search"] = rng.choice(queries, len(items))

    def write(log: TrainingLog, step: int) -> None:
        for prefix, query_ids in samples.items():
            weights = model.gate_weights(tf.constant(items, tf.int32), tf.constant(query_ids, tf.int32))
            log.gates(prefix, channels, np.asarray(weights), step)

    return write


def write_projector(
    folder: str | Path, channels: Sequence[str], vectors: np.ndarray, present: np.ndarray, titles: Sequence[str]
) -> None:
    """Writes item vectors for TensorBoard's projector, one tensor a channel.

    Args:
      folder: log folder.
      channels: names of the M channels.
      vectors: (n, M, d) float32, at most PROJECTED_ITEMS are written: the first ones.
      present: (n, M) bool, whether the item has the channel; it is left out of the tensor of one it lacks.
      titles: n labels.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = ProjectorConfig()
    for column, channel in enumerate(channels):
        rows = np.flatnonzero(present[:PROJECTED_ITEMS, column])
        if not len(rows):
            continue
        np.savetxt(folder / f"items_{channel}.tsv", vectors[rows, column], fmt="%.5g", delimiter="\t")
        labels = [" ".join(titles[row].split()) or "-" for row in rows]
        (folder / f"items_{channel}_titles.tsv").write_text("\n".join(labels) + "\n", encoding="utf-8")
        embedding = config.embeddings.add()
        embedding.tensor_name = f"item {channel}"
        embedding.tensor_path = f"items_{channel}.tsv"
        embedding.metadata_path = f"items_{channel}_titles.tsv"
    (folder / "projector_config.pbtxt").write_text(text_format.MessageToString(config))


def _sample(rng: np.random.Generator, ids: np.ndarray, count: int) -> np.ndarray:
    return ids if len(ids) <= count else np.sort(rng.choice(ids, count, replace=False))
