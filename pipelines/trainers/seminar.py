"""The second Trainer: fine-tunes SEMINAR, or the rival that model.ranker names, on the PSU's tables and exports it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.trainers import warm
from pipelines.trainers.common import TrainerInputs, precision, start, trainer_inputs, write_report
from pipelines.trainers.psu import ITEMS_FILE, QUERIES_FILE, TABLES_FILE
from seminar_tf.evaluation.metrics import ndcg_name
from seminar_tf.evaluation.requests import Request
from seminar_tf.export.metadata import PRIMARY_TASK
from seminar_tf.export.signatures import export_ranker
from seminar_tf.features import names
from seminar_tf.features.categories import item_categories
from seminar_tf.features.tables import ItemFeatures, QueryFeatures
from seminar_tf.features.vocabulary import read_vocabulary
from seminar_tf.models.channel_tables import ChannelTables
from seminar_tf.models.rankers import make_ranker, reads_categories
from seminar_tf.models.seminar import Seminar
from seminar_tf.models.table_ranker import TableRanker
from seminar_tf.retrieval.served import start_codes
from seminar_tf.training.blocks import candidate_width, request_block
from seminar_tf.training.calibration import calibration_log
from seminar_tf.training.cutters import RequestCutter
from seminar_tf.training.inputs import Epochs, MemoryEpochs, corpus_epochs, read_corpus
from seminar_tf.training.loop import Monitor, TrainingResult, compile_model, train
from seminar_tf.training.negatives import NegativeSampler
from seminar_tf.training.ranking import LiveRanker, ranking_metrics
from seminar_tf.training.requests import UserSegments, join_targets, load_requests, load_users
from seminar_tf.training.state import TrainingState
from seminar_tf.training.strategy import barrier
from seminar_tf.training.tensorboard import TrainingLog, gate_log

MONITOR = Monitor(ndcg_name(10), True)


def run_fn(fn_args: Any) -> None:
    """Trains the ranker and exports it.

    Args:
      fn_args: tfx.components.FnArgs, see `common.trainer_inputs`; base_model is the PSU's SavedModel folder.

    Raises:
      ValueError: there is no base model, or it is no PSU; or no item has a category that the ranker needs.
    """
    inputs = trainer_inputs(fn_args, "seminar")
    task, strategy = start(inputs)
    base = _base_model(inputs)
    items, queries = ItemFeatures.load(base / ITEMS_FILE), QueryFeatures.load(base / QUERIES_FILE)
    tables = ChannelTables.load(base / TABLES_FILE)

    build = ranker_builder(inputs, tables, items)

    with precision(inputs.train):
        with strategy.scope():
            model = build()
        if inputs.warm_model:
            fill = partial(warm.fill_ranker, folder=inputs.warm_model, transform_dir=inputs.transform_dir)
            warm.start(model, build, fill, warm.passage(inputs.state_dir, task))
        with strategy.scope():
            if isinstance(model, Seminar) and inputs.config.retrieval.train_codes:
                start_codes(model, inputs.config.retrieval, inputs.config.seed)
            compile_model(model, inputs.train)
        state = TrainingState(inputs.state_dir, model, task)
        result = _train(inputs, model, state, tables, items, queries)
        alone = state.alone(build)
        if task.is_chief:
            export_ranker(alone, inputs.transform_dir, inputs.config, inputs.spec.tasks, inputs.output_dir, items.count)
            write_report(inputs, result, state.resumed)
    barrier(strategy)
    state.remove()


def ranker_builder(inputs: TrainerInputs, tables: ChannelTables, items: ItemFeatures) -> Callable[[], TableRanker]:
    """What makes the ranker of the configuration, the same each time.

    Raises:
      ValueError: no item has an attribute with `model.rivals.category_prefix`, and the ranker reads such.
    """
    config, categories = inputs.config, None
    if reads_categories(config.model):
        attributes = read_vocabulary(inputs.transform_dir, names.ATTRIBUTE_VOCABULARY)
        categories = item_categories(items, attributes, config.model.rivals.category_prefix)

    def build() -> TableRanker:
        return make_ranker(
            config.model,
            inputs.sizes,
            inputs.spec.tasks,
            tables,
            items,
            config.seed,
            inputs.train,
            config.retrieval,
            categories,
        )

    return build


def _train(
    inputs: TrainerInputs,
    model: TableRanker,
    state: TrainingState,
    tables: ChannelTables,
    items: ItemFeatures,
    queries: QueryFeatures,
) -> TrainingResult:
    seed = inputs.config.seed
    data = train_data(inputs, items)
    users = _eval_users(inputs)
    requests = _eval_requests(inputs, users)
    ranker = LiveRanker(model, primary_task(inputs.spec.tasks), inputs.config.model.history_length)
    catalog = np.flatnonzero(items.known).astype(np.int32)

    def evaluate() -> dict[str, float]:
        return ranking_metrics(ranker, requests, catalog, inputs.config.evaluation, seed, "eval", items.count)

    logs = [gate_log(model, ("query", *tables.channels), items.known, queries.known, seed)]
    if users is not None:
        logs.append(calibration_log(ranker.logits, calibration_data(inputs, items, users), inputs.spec.tasks))

    def log_epoch(log: TrainingLog, step: int) -> None:
        for write in logs:
            write(log, step)

    return train(model, data, inputs.train, evaluate, MONITOR, state, inputs.run_dir, log_epoch)


def train_data(inputs: TrainerInputs, items: ItemFeatures) -> Epochs:
    """Requests of the train split, with drawn negatives where targets are events."""
    config, tasks, seed = inputs.train, inputs.spec.tasks, inputs.config.seed
    to_block = partial(request_block, grouped=inputs.uses_requests)
    corpus = read_corpus(inputs.files["train"], tasks, to_block, config.memory_pairs)
    drawn = config.impression_negatives if inputs.uses_requests else config.negatives
    cutter = _cutter(inputs, items, corpus.width, drawn, "train")
    return corpus_epochs(corpus, tasks, to_block, cutter, config.batch_size, seed, config.shuffle_buffer)


def calibration_data(inputs: TrainerInputs, items: ItemFeatures, users: UserSegments) -> tf.data.Dataset:
    """The eval requests whose predicted probabilities are held against what came true, the same in every epoch.

    Where targets are candidates of logged requests: all candidates of the requests with a known label, and none drawn;
    with `impression_negatives` the base rate of training is lower than theirs. Where targets are events: each eval
    positive with as many negatives as in training, drawn from eval's own stream, so that the base rate is training's.
    """
    config = inputs.train
    block = request_block(join_targets(users), grouped=inputs.uses_requests)
    drawn = 0 if inputs.uses_requests else config.negatives
    cutter = _cutter(inputs, items, candidate_width(block), drawn, "eval")
    return MemoryEpochs(block, cutter, config.batch_size, inputs.config.seed).epoch(0)


def primary_task(tasks: tuple[str, ...]) -> str:
    """The task whose scores rank items."""
    return PRIMARY_TASK if PRIMARY_TASK in tasks else tasks[0]


def _cutter(inputs: TrainerInputs, items: ItemFeatures, width: int, drawn: int, split: str) -> RequestCutter:
    config = inputs.train
    return RequestCutter(
        length=inputs.config.model.history_length,
        attributes=inputs.config.features.max_attributes,
        tasks=inputs.spec.tasks,
        width=width,
        drawn=drawn,
        sampler=NegativeSampler(items.known, items.count, config.popular_negatives, config.popularity_power),
        seed=inputs.config.seed,
        split=split,
    )


def _eval_users(inputs: TrainerInputs) -> UserSegments | None:
    """Users with eval targets; None where there is none."""
    if not inputs.files["eval"]:
        return None
    config = inputs.train
    users = load_users(inputs.files, "eval", inputs.spec.tasks, config.max_eval_requests, inputs.config.seed)
    return users if users.users else None


def _eval_requests(inputs: TrainerInputs, users: UserSegments | None) -> list[Request]:
    if users is None:
        return []
    tasks = inputs.spec.tasks
    return load_requests(users, tasks.index(primary_task(tasks)), inputs.config.model.history_length)


def _base_model(inputs: TrainerInputs) -> Path:
    if not inputs.base_model:
        raise ValueError("Trainer SEMINAR needs base_model, the model that the PSU's Trainer wrote.")
    base = Path(inputs.base_model)
    missing = [name for name in (TABLES_FILE, ITEMS_FILE, QUERIES_FILE) if not (base / name).exists()]
    if missing:
        raise ValueError(f"{base} holds no {', '.join(missing)}: base_model must be a PSU's model.")
    return base
