"""Trains SEMINAR on a generated corpus in its own process, for test_resume: `FOLDER NAME STEPS`.

With STEPS above 0 the process kills itself (SIGKILL) after so many optimizer steps.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from seminar_tf.config import EvaluationConfig, ModelConfig, TrainConfig
from seminar_tf.features.tables import ItemFeatures
from seminar_tf.features.vocabulary import FeatureSizes
from seminar_tf.models.channel_tables import ChannelTables
from seminar_tf.models.seminar import Seminar
from seminar_tf.training.blocks import request_block
from seminar_tf.training.cutters import RequestCutter
from seminar_tf.training.inputs import corpus_epochs, read_corpus
from seminar_tf.training.loop import Monitor, compile_model, make_deterministic, train
from seminar_tf.training.negatives import NegativeSampler
from seminar_tf.training.ranking import LiveRanker, ranking_metrics
from seminar_tf.training.requests import load_requests, load_users
from seminar_tf.training.state import TrainingState
from tests.training.corpus import ITEMS, QUERIES

import tensorflow as tf  # isort: skip  (seminar_tf settles the Keras version before)

TASKS = ("click",)
SEED = 3
MODEL = ModelConfig(history_length=12, top_k=4, dim=8, heads=2, short_length=4, hidden_units=(8,), dropout=0.2)
TRAIN = TrainConfig(epochs=2, batch_size=16, steps_per_checkpoint=3, patience=5, negatives=3)


def features() -> tuple[FeatureSizes, ItemFeatures, ChannelTables]:
    """A random catalog with its tables."""
    rng = np.random.default_rng(0)
    rows = 1 + ITEMS + 2
    known = np.arange(rows) % (ITEMS + 1) > 0
    known[ITEMS + 1 :] = False
    empty = np.zeros((rows, 0), np.float32)
    mask = np.repeat(known[:, None], 3, axis=1)
    items = ItemFeatures(
        tokens=rng.integers(1, 9, (rows, 3)).astype(np.int32),
        attributes=rng.integers(1, 5, (rows, 2)).astype(np.int32),
        numeric=empty,
        image=empty,
        text_vector=empty,
        has_text=known,
        has_image=np.zeros(rows, bool),
        has_attributes=known,
        known=known,
        count=np.where(known, rng.integers(0, 9, rows), 0),
    )
    channels = ChannelTables(
        ("text", "image", "attributes"),
        rng.normal(size=(rows, 3, MODEL.dim)).astype(np.float32) * mask[..., None],
        mask,
        rng.normal(size=(QUERIES + 2, MODEL.dim)).astype(np.float32),
    )
    return FeatureSizes(rows, QUERIES + 2, 20, 9), items, channels


class Kill(tf.keras.callbacks.Callback):
    """SIGKILL after so many steps of the optimizer."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._steps = steps

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """The end of it."""
        if int(self.model.optimizer.iterations) >= self._steps:
            os.kill(os.getpid(), signal.SIGKILL)


def main(folder: Path, name: str, kill_after: int) -> None:
    """Trains, and writes weights, optimizer state and history to <name>.npz."""
    make_deterministic(SEED)
    sizes, items, tables = features()
    files = {split: sorted(map(str, (folder / f"Split-{split}").glob("*.gz"))) for split in ("train", "eval")}
    model = Seminar(MODEL, sizes, TASKS, tables, items, SEED, TRAIN)
    compile_model(model, TRAIN)
    if kill_after:
        fit = model.fit
        model.fit = lambda *a, callbacks, **k: fit(*a, callbacks=[*callbacks, Kill(kill_after)], **k)
    to_block = partial(request_block, grouped=False)
    corpus = read_corpus(files["train"], TASKS, to_block, 10**6)
    sampler = NegativeSampler(items.known, items.count, 0.5, 0.75)
    cutter = RequestCutter(12, 3, TASKS, corpus.width, 3, sampler, SEED)
    data = corpus_epochs(corpus, TASKS, to_block, cutter, TRAIN.batch_size, SEED, 100)
    requests = load_requests(load_users(files, "eval", TASKS), 0, 12)
    ranker = LiveRanker(model, "click", 12)
    catalog = np.flatnonzero(items.known).astype(np.int32)

    def evaluate() -> dict[str, float]:
        return ranking_metrics(ranker, requests, catalog, EvaluationConfig(), SEED, "eval")

    state = TrainingState(folder / f"state-{name}", model)
    result = train(model, data, TRAIN, evaluate, Monitor("ndcg_at_10", True), state, folder / f"logs-{name}")
    values = {f"weight-{n}": w for n, w in enumerate(model.get_weights())}
    values |= {f"optimizer-{n}": v.numpy() for n, v in enumerate(model.optimizer.variables)}
    np.savez(folder / f"{name}.npz", history=np.array(str(result.history)), resumed=state.resumed, **values)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
