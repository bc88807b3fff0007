"""Small rivals with weights away from their start, shared by the tests of this folder."""

from __future__ import annotations

import functools

import numpy as np

from seminar_tf.config import RANKERS, RivalsConfig
from seminar_tf.models.table_ranker import TableRanker
from tests.models import toy

import tensorflow as tf  # isort: skip

RIVALS = RANKERS[1:]
# Smaller than the toy's histories, so that each of them makes a choice.
SMALL = RivalsConfig(attention_units=5, hash_bits=12, sdim_hashes=8, sdim_width=2, qin_query_k=6, sasrec_blocks=2)


def fresh(name: str, seed: int = 1, **changes: object) -> TableRanker:
    """A rival as it starts."""
    return toy.ranker(name, seed, **{"rivals": SMALL, **changes})


@functools.cache
def _cached(name: str, seed: int, *changes: tuple[str, object]) -> TableRanker:
    model, rng = fresh(name, seed, **dict(changes)), np.random.default_rng(seed)
    # Zeros and equal values of the start would hide a fault.
    for variable in model.trainable_variables:
        variable.assign_add(0.1 * rng.normal(size=variable.shape).astype(np.float32))
    return model


def moved(name: str, seed: int = 1, **changes: object) -> TableRanker:
    """A rival with no weight at its start; shared by tests, which must not change it."""
    return _cached(name, seed, *changes.items())


def tensors(batch: dict) -> dict:
    """Arrays as tensors."""
    return {name: tf.constant(value) for name, value in batch.items()}


def scores(model: TableRanker, batch: dict, training: bool = False) -> np.ndarray:
    """Logits of clicks, (B, N)."""
    return model(tensors(batch), training=training)["click"].numpy()
