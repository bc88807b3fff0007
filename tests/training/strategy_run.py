"""One training in a process of its own, for tests/training/test_strategy.py: few steps of a toy model on replicas.

python -m tests.training.strategy_run STAGE STRATEGY OUT: two logical CPUs where the strategy is `mirrored`; TF_CONFIG
where it names a cluster. OUT gets the losses of every epoch and the trained weights.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np

from seminar_tf.training import strategy as strategies
from seminar_tf.training.loop import Monitor, compile_model, make_deterministic, train
from seminar_tf.training.state import TrainingState
from tests.models import toy

import tensorflow as tf  # isort: skip  (seminar_tf settles the Keras version before)

TRAIN = dataclasses.replace(
    toy.TRAIN, listwise_weight=0.5, clip_norm=0.5, learning_rate=0.01, epochs=2, patience=2, steps_per_checkpoint=2
)


class Batches:
    """Three batches an epoch, the last of them short and odd."""

    rows, steps = 25, 3

    def epoch(self, number: int, first_step: int = 0) -> tf.data.Dataset:
        """A pure function of its arguments."""
        parts = [toy.batch(10 * number + step, rows=5 if step == 2 else 10) for step in range(self.steps)]
        spec = {name: tf.TensorSpec([None, *value.shape[1:]], value.dtype) for name, value in parts[0].items()}
        dataset = None
        for part in parts[first_step:]:
            one = tf.data.Dataset.from_tensors(part)
            dataset = one if dataset is None else dataset.concatenate(one)
        assert dataset is not None
        return dataset.map(lambda batch: {name: tf.ensure_shape(batch[name], spec[name].shape) for name in spec})


def build(stage: str) -> tf.keras.Model:
    """A PSU, or SEMINAR with dropout."""
    return toy.psu(train=TRAIN) if stage == "psu" else toy.seminar(train=TRAIN, dropout=0.3)


def main(stage: str, name: str, out: Path) -> None:
    """Trains two epochs and writes what came of it."""
    task = strategies.read_task(name)
    if name == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    make_deterministic(1)
    strategy = strategies.make_strategy(name, task)
    config = dataclasses.replace(TRAIN, strategy=name)
    with strategy.scope():
        model = build(stage)
        compile_model(model, config)
    folder = out.parent / f"state-{stage}-{name}"
    state = TrainingState(folder, model, task)
    scores = iter([1.0, 2.0])

    def evaluate() -> dict[str, float]:
        # The chief's word counts: other workers would choose another epoch.
        return {"score": next(scores) if task.is_chief else -next(scores)}

    result = train(model, Batches(), config, evaluate, Monitor("score", True), state, out.parent / f"logs-{out.stem}")
    alone = state.alone(lambda: build(stage))
    weights = {f"w{n}": value.numpy() for n, value in enumerate(alone.trainable_variables)}
    history = json.dumps([record["losses"] for record in result.history])
    np.savez(out, history=history, best=result.best_epoch, replicas=strategy.num_replicas_in_sync, **weights)
    strategies.barrier(strategy)
    state.remove()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
