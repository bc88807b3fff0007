"""One task of a parameter server cluster, for tests/training/test_parameter_server.py; TF_CONFIG says which.

python -m tests.training.server_run STAGE OUT: the chief trains and writes what came of it; others serve it.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from seminar_tf.training import strategy as strategies
from seminar_tf.training.loop import Monitor, compile_model, train
from seminar_tf.training.state import TrainingState
from tests.models import toy
from tests.training.strategy_run import TRAIN, Batches, build

import tensorflow as tf  # isort: skip  (seminar_tf settles the Keras version before)


def main(stage: str, out: Path) -> None:
    """Trains a few epochs with tables of 20 rows or more in shards."""
    task = strategies.read_task("parameter_server")
    if strategies.is_server("parameter_server", task):
        strategies.serve(task)
    strategy = strategies.parameter_server(task, table_rows=20, shard_bytes=64)
    config = dataclasses.replace(TRAIN, strategy="parameter_server", epochs=4, patience=0)
    with strategy.scope():
        model = build(stage)
        compile_model(model, config)
    table = model.pairs.item_table if stage == "seminar" else model.item_channels.attributes.ids.embeddings
    shards = [shard.device for shard in table.variables]
    state = TrainingState(out.parent / "state", model, task)
    result = train(model, Batches(), config, dict, Monitor("score", True), state, out.parent / "logs")
    resumed = TrainingState(out.parent / "state", model, task)
    alone = state.alone(lambda: build(stage))
    scores = alone({name: tf.constant(value) for name, value in toy.batch(3).items()})
    finite = bool(tf.reduce_all(tf.math.is_finite(scores["click"] if stage == "seminar" else scores)))
    report = {
        "losses": [record["losses"]["loss"] for record in result.history],
        "steps": result.steps,
        "shards": shards,
        "shapes": [shard.shape.as_list() for shard in table.variables],
        "finite": finite,
        "resumed": resumed.resumed and int(resumed.epoch),
    }
    out.write_text(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
