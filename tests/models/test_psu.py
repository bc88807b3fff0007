"""PSU: losses, invariances, and the tables it hands over."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from seminar_tf.models.channel_tables import ChannelTables
from tests.models import toy

SEED = tf.constant([1, 5], tf.int32)


def _losses(model, batch: dict) -> dict[str, float]:
    tensors = {name: tf.constant(value) for name, value in batch.items()}
    return {name: float(value) for name, value in model.compute_losses(tensors, SEED).items()}


@pytest.mark.parametrize("changes", [{}, {"use_query": False}, {"use_recency": False}, {"use_id": False}])
def test_losses_are_finite_and_named(changes: dict) -> None:
    losses = _losses(toy.psu(**changes), toy.batch(0))
    wanted = {"next_pair", "align"} | ({"query_item"} if changes != {"use_query": False} else set())
    assert set(losses) == wanted
    assert all(np.isfinite(v) and v > 0 for v in losses.values())


def test_switched_off_losses_are_not_computed() -> None:
    train = dataclasses.replace(toy.TRAIN, align_weight=0.0, query_item_weight=0.0)
    assert set(_losses(toy.psu(train=train), toy.batch(0))) == {"next_pair"}


def test_padding_changes_neither_alignment_nor_users() -> None:
    model, batch = toy.psu(), toy.batch(1)
    padded = toy.pad(batch, 5)
    np.testing.assert_allclose(model(padded), model(batch), atol=1e-5)
    a, b = _losses(model, batch), _losses(model, padded)
    np.testing.assert_allclose(a["next_pair"], b["next_pair"], rtol=1e-5)
    np.testing.assert_allclose(a["align"], b["align"], rtol=1e-5)


def test_windows_hold_out_the_last_pairs_in_turn() -> None:
    """The window w places back is the user vector of the history cut there, at the moment of the held-out pair."""
    model, batch = toy.psu(), toy.batch(2, rows=1, length=6)
    from seminar_tf.models.windows import last_windows

    tensors = {name: tf.constant(value) for name, value in batch.items()}
    windows = last_windows(tensors["history_item_id"] > 0, tensors["history_timestamp"], 3)
    assert windows.held_out.numpy().tolist() == [[5, 4, 3]]
    encoded = model.encode(tensors, tf.zeros((0,), tf.int32))
    pairs = model._pairs(encoded, encoded.item_row, encoded.query_row)
    users = model.interest(pairs, windows.visible, windows.gap_ms, windows.position).numpy()
    for w, held in enumerate((5, 4, 3)):
        cut = {n: v[:, :held] for n, v in batch.items() if n.startswith("history")}
        cut["request_timestamp"] = batch["history_timestamp"][:, held]
        np.testing.assert_allclose(model(cut)[0], users[0, w], atol=1e-5)


@pytest.mark.parametrize("length", [1, 2])
def test_fault_03_a_batch_of_one_short_sequence_is_finite(length: int) -> None:
    model = toy.psu()
    model.compile(tf.keras.optimizers.Adam(0.1), run_eagerly=True)
    batch = {n: v[:1, :length] if n.startswith("history") else v[:1] for n, v in toy.batch(3).items()}
    assert np.isfinite(list(_losses(model, batch).values())).all()
    model.train_on_batch(batch)
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_fault_01_every_weight_gets_a_gradient_and_survives_a_save(tmp_path) -> None:
    model = toy.psu()
    model.compile(tf.keras.optimizers.Adam(0.02), run_eagerly=True)
    batch = {name: tf.constant(value) for name, value in toy.batch(4, rows=16).items()}
    model.train_on_batch(batch)
    with tf.GradientTape() as tape:
        total = model.total(model.compute_losses(batch, SEED))
    for variable, gradient in zip(model.trainable_variables, tape.gradient(total, model.trainable_variables)):
        assert gradient is not None, variable.name
        moved = np.abs(tf.convert_to_tensor(gradient).numpy()).max()
        assert moved > 0, variable.name
    names = " ".join(v.name for v in model.trainable_variables)
    for part in (
        "query_kernel",
        "key_kernel",
        "value_kernel",
        "output_kernel",
        "eos",
        "log_scale",
        "kernel",
        "gap_table",
    ):
        assert part in names
    path = str(tmp_path / "weights")
    model.save_weights(path)
    other = toy.psu(seed=8)
    other.load_weights(path)
    for a, b in zip(model.weights, other.weights):
        np.testing.assert_array_equal(a, b)


def test_pretraining_learns_a_repeating_pattern() -> None:
    """After item i always comes i + 1: the next-pair loss falls well below that of guessing."""
    train = dataclasses.replace(toy.TRAIN, align_weight=0.0, query_item_weight=0.0, negatives=8)
    model = toy.psu(train=train, use_query=False)
    model.compile(tf.keras.optimizers.Adam(0.02), jit_compile=False)
    rng = np.random.default_rng(0)
    values = []
    for _ in range(80):
        items = (rng.integers(0, 37, (32, 1)) + np.arange(6)) % 37 + 1
        batch = {
            "history_item_id": items.astype(np.int32),
            "history_query": np.ones((32, 6), np.int32),
            "history_timestamp": np.tile(toy.NOW + np.arange(6) * 60_000, (32, 1)),
        }
        values.append(model.train_on_batch(batch, return_dict=True)["next_pair"])
    assert np.mean(values[-5:]) < 0.6 * np.mean(values[:5])


def test_tables_hold_every_row_and_an_item_never_targeted_is_trained(tmp_path) -> None:
    model = toy.psu()
    before = model.channel_tables()
    model.compile(tf.keras.optimizers.Adam(0.02), run_eagerly=True)
    batch = toy.batch(5, length=9)
    rare = 33  # only ever at the start of a history, never held out
    batch["history_item_id"][batch["history_item_id"] == rare] = 1
    batch["history_item_id"][0, 0] = rare
    for _ in range(3):
        model.train_on_batch(batch)
    after = model.channel_tables(batch_size=7)
    assert after.item.shape == (toy.SIZES.items, 3, toy.CONFIG.dim) and after.query.shape == (toy.SIZES.queries, 8)
    assert np.abs(after.item[rare] - before.item[rare]).max() > 1e-3
    np.testing.assert_allclose(model.channel_tables(batch_size=1000).item, after.item, atol=1e-5)
    path = tmp_path / "tables.npz"
    after.save(path)
    loaded = ChannelTables.load(path)
    assert loaded.channels == ("text", "image", "attributes") and set(loaded.weights) == set(after.weights)
    np.testing.assert_array_equal(loaded.item, after.item)
    assert [p.name for p in tmp_path.iterdir()] == ["tables.npz"]


def test_tables_that_do_not_fit_are_refused() -> None:
    good = toy.tables()
    with pytest.raises(ValueError, match="do not fit"):
        dataclasses.replace(good, channels=("text",))
    with pytest.raises(ValueError, match="width"):
        dataclasses.replace(good, query=np.zeros((3, 5), np.float32))
    small = dataclasses.replace(good, item=good.item[:5], item_mask=good.item_mask[:5])
    with pytest.raises(ValueError, match="5 items"):
        toy.seminar(start=small)


def test_gate_weights_skip_missing_channels() -> None:
    model = toy.psu()
    ids = np.arange(1, 30, dtype=np.int32)
    weights = model.gate_weights(ids, np.ones(29, np.int32)).numpy()
    np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-5)
    missing = ~toy.item_features().has_image[ids]
    assert not weights[missing, 2].any()
