"""An item that is never a target has a trained vector: it occurs in histories, and gradients reach it through them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from seminar_tf.models.psu import PSU
from tests.models import toy

NEXT_PAIR_ALONE = dataclasses.replace(toy.TRAIN, align_weight=0.0, query_item_weight=0.0)
STEPS = 3
SEED = tf.constant([1, 5], tf.int32)


def _batch(item: int | None) -> dict[str, np.ndarray]:
    """Twelve users; `item` is the first pair of the first one, and never one of the three that are held out.

    The first 30 ids make up the rest, so that the others occur nowhere but among the drawn negatives.
    """
    batch = toy.batch(5, rows=12)
    for name in ("history_item_id", "candidate_item_id"):
        batch[name] = np.where(batch[name] > 0, batch[name] % 30 + 1, 0).astype(np.int32)
    if item is not None:
        batch["history_item_id"][0, 0] = item
    return batch


def _id_rows(model: PSU) -> np.ndarray:
    return model.item_channels.attributes.ids.embeddings.numpy()


def _trained(train: object, item: int | None) -> PSU:
    model = toy.psu(train=train)
    model.compile(tf.keras.optimizers.Adam(0.02), run_eagerly=True)
    for _ in range(STEPS):
        model.train_on_batch(_batch(item))
    return model


def _id_gradient(model: PSU, item: int | None) -> np.ndarray:
    batch = {name: tf.constant(value) for name, value in _batch(item).items()}
    with tf.GradientTape() as tape:
        total = model.total(model.compute_losses(batch, SEED))
    return tf.convert_to_tensor(tape.gradient(total, model.item_channels.attributes.ids.embeddings)).numpy()


@pytest.mark.parametrize("train", [NEXT_PAIR_ALONE, toy.TRAIN], ids=["next_pair", "all_losses"])
def test_an_item_of_histories_only_has_a_trained_vector(train: object) -> None:
    before = toy.psu(train=train)
    # Draws depend on seed and step alone: an id whose row stays put without histories is no drawn negative either.
    without = _trained(train, None)
    unmoved = (_id_rows(without) == _id_rows(before)).all(axis=1)
    (item, *_) = (i for i in range(31, 38) if unmoved[i])
    after = _trained(train, item)
    assert np.abs(_id_rows(after)[item] - _id_rows(before)[item]).max() > 0.01
    vectors = [model.channel_tables().item[item, -1] for model in (before, without, after)]
    assert np.abs(vectors[2] - vectors[0]).max() > 0.01  # E_PSU is no longer as it began,
    assert np.abs(vectors[2] - vectors[1]).max() > 0.001  # and not only because the encoder around the id has changed


@pytest.mark.parametrize("train", [NEXT_PAIR_ALONE, toy.TRAIN], ids=["next_pair", "all_losses"])
def test_gradients_reach_an_id_through_histories(train: object) -> None:
    model = toy.psu(train=train)
    unreached = ~_id_gradient(model, None).any(axis=1)
    (item, *_) = (i for i in range(31, 38) if unreached[i])
    assert np.abs(_id_gradient(model, item)[item]).max() > 1e-6


def test_finetuning_reaches_it_through_histories_too() -> None:
    model, item = toy.seminar(), 35
    for used in (None, item):
        batch = {name: tf.constant(value) for name, value in _batch(used).items()}
        assert item not in batch["candidate_item_id"].numpy()
        with tf.GradientTape() as tape:
            loss = model.total(model.compute_losses(batch, SEED))
        row = tf.convert_to_tensor(tape.gradient(loss, model.pairs.item_table))[item]
        assert row.numpy().any() == (used is not None)
