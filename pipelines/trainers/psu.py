"""The first Trainer: pretrains the PSU and writes the channel tables that SEMINAR starts from (spec section 4)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.trainers import warm
from pipelines.trainers.common import (
    TrainerInputs,
    item_labels,
    precision,
    start,
    trainer_inputs,
    write_report,
    write_staged,
)
from seminar_tf.features.tables import ItemFeatures, QueryFeatures
from seminar_tf.models.channel_tables import ChannelTables
from seminar_tf.models.psu import PSU
from seminar_tf.training.blocks import sequence_block
from seminar_tf.training.cutters import WindowCutter
from seminar_tf.training.inputs import MemoryEpochs, corpus_epochs, read_corpus
from seminar_tf.training.loop import Monitor, TrainingResult, compile_model, train
from seminar_tf.training.requests import join_sequences, load_users
from seminar_tf.training.shares import distribute
from seminar_tf.training.state import TrainingState
from seminar_tf.training.strategy import barrier, is_asynchronous
from seminar_tf.training.tensorboard import PROJECTED_ITEMS, gate_log, write_projector

TABLES_FILE = "channel_tables.npz"
ITEMS_FILE = "items.npz"
QUERIES_FILE = "queries.npz"


def run_fn(fn_args: Any) -> None:
    """Trains the PSU and writes its artifact.

    Args:
      fn_args: tfx.components.FnArgs, see `common.trainer_inputs`.
    """
    inputs = trainer_inputs(fn_args, "psu")
    task, strategy = start(inputs)
    items, queries = inputs.items(), inputs.queries()

    def build() -> PSU:
        return PSU(inputs.config.model, inputs.train, inputs.sizes, items, queries, inputs.config.seed)

    with precision(inputs.train):
        with strategy.scope():
            model = build()
        if inputs.warm_model:
            fill = partial(warm.fill_psu, folder=inputs.warm_model, transform_dir=inputs.transform_dir)
            warm.start(model, build, fill, warm.passage(inputs.state_dir, task))
        with strategy.scope():
            compile_model(model, inputs.train)
        state = TrainingState(inputs.state_dir, model, task)
        result = _train(inputs, model, state, items, queries)
        alone = state.alone(build)
        tables = alone.channel_tables()
        if not (inputs.train.epochs or inputs.warm_model):
            # Nothing was pretrained: SEMINAR takes the untrained encoders' vectors, and starts all else by itself.
            tables = replace(tables, weights={})
    if task.is_chief:
        write_staged(inputs.output_dir, lambda folder: _write_model(inputs, folder, alone, tables, items, queries))
        _write_projector(inputs, tables, items)
        write_report(inputs, result, state.resumed)
    barrier(strategy)
    state.remove()


def _train(
    inputs: TrainerInputs, model: PSU, state: TrainingState, items: ItemFeatures, queries: QueryFeatures
) -> TrainingResult:
    config, tasks = inputs.train, inputs.spec.tasks
    cutter = WindowCutter(inputs.config.model.history_length, inputs.config.features.max_attributes)
    fresh = bool(inputs.warm_model and config.epochs) and config.warm_windows == "targets"
    to_block = partial(sequence_block, stride=config.window_stride, from_targets=fresh)
    corpus = read_corpus(inputs.files["train"], tasks, to_block, config.memory_pairs)
    data = corpus_epochs(corpus, tasks, to_block, cutter, config.batch_size, inputs.config.seed, config.shuffle_buffer)
    strategy = model.distribute_strategy
    held_out = _eval_windows(inputs, cutter)
    cached = held_out.epoch(0).cache() if held_out is not None else None

    def evaluate() -> dict[str, float]:
        # The means of the train losses have been read by now; evaluation may reset them.
        if held_out is None:
            return {}
        # Workers of parameter servers make batches of their own.
        batches = distribute(strategy, lambda: held_out.epoch(0) if is_asynchronous(strategy) else cached)
        return dict(model.evaluate(batches, steps=held_out.steps, verbose=0, return_dict=True))

    gates = gate_log(model, ("query", *model.channels), items.known, queries.known, inputs.config.seed)
    return train(model, data, config, evaluate, Monitor("loss", False), state, inputs.run_dir, gates)


def _eval_windows(inputs: TrainerInputs, cutter: WindowCutter) -> MemoryEpochs | None:
    """The newest window of each eval user, whose held-out pair training has not seen; None without such users."""
    if not inputs.files["eval"]:
        return None
    users = load_users(inputs.files, "eval", inputs.spec.tasks, inputs.train.max_eval_requests, inputs.config.seed)
    block = sequence_block(join_sequences(users), stride=1, limit=1)
    windows = MemoryEpochs(block, cutter, inputs.train.batch_size, inputs.config.seed)
    return windows if windows.rows else None


class ItemVectors(tf.Module):
    """The PSU's SavedModel: channel vectors of items by id. Ids outside the table give those of padding."""

    def __init__(self, tables: ChannelTables) -> None:
        super().__init__()
        self._item = tf.Variable(tables.item, trainable=False)
        self._mask = tf.Variable(tables.item_mask, trainable=False)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="item_id")])
    def lookup(self, item_id: tf.Tensor) -> dict[str, tf.Tensor]:
        """(B,) int32 ids -> `vectors` (B, M, d) float32 and `present` (B, M) bool."""
        known = tf.where((item_id >= 0) & (item_id < tf.shape(self._item)[0]), item_id, 0)
        return {"vectors": tf.gather(self._item, known), "present": tf.gather(self._mask, known)}


def _write_model(
    inputs: TrainerInputs, folder: Path, model: PSU, tables: ChannelTables, items: ItemFeatures, queries: QueryFeatures
) -> None:
    module = ItemVectors(tables)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.lookup})
    tables.save(folder / TABLES_FILE)
    items.save(folder / ITEMS_FILE)
    queries.save(folder / QUERIES_FILE)
    warm.write_psu(folder, model, inputs.spec.numeric, inputs.transform_dir)


def _write_projector(inputs: TrainerInputs, tables: ChannelTables, items: ItemFeatures) -> None:
    """The most frequent items' vectors."""
    known = np.flatnonzero(items.known)
    shown = known[np.argsort(-items.count[known], kind="stable")][:PROJECTED_ITEMS]
    labels = item_labels(inputs, items, shown)
    write_projector(inputs.run_dir, tables.channels, tables.item[shown], tables.item_mask[shown], labels)
