"""XLA and mixed precision train as plain float32 does."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf

from seminar_tf.config import TrainConfig
from seminar_tf.config_io import ConfigError
from seminar_tf.layers.distinct import distinct, static_shapes
from seminar_tf.training.loop import compile_model
from seminar_tf.training.state import TrainingState
from tests.models import toy

TRAIN = dataclasses.replace(toy.TRAIN, listwise_weight=0.5, clip_norm=0.5, learning_rate=0.01)


def _model(stage: str, train: TrainConfig) -> tf.keras.Model:
    model = toy.psu(train=train) if stage == "psu" else toy.seminar(train=train, dropout=0.3)
    compile_model(model, train)
    return model


def _steps(model: tf.keras.Model, sizes: tuple[int, ...] = (10, 10, 6)) -> list[dict[str, float]]:
    """Losses of steps, the last of them on a batch of another size."""
    return [model.train_on_batch(toy.batch(n, rows=rows), return_dict=True) for n, rows in enumerate(sizes)]


@pytest.fixture(params=["bfloat16", "float16"])
def half(request: pytest.FixtureRequest) -> Iterator[tf.DType]:
    """The compute type of `mixed_precision: true` on CPU, and that on GPU."""
    tf.keras.mixed_precision.set_global_policy(f"mixed_{request.param}")
    yield tf.as_dtype(request.param)
    tf.keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize("stage", ["psu", "seminar"])
def test_xla_gives_the_same_losses_and_weights(stage: str) -> None:
    plain, compiled = _model(stage, TRAIN), _model(stage, dataclasses.replace(TRAIN, jit_compile=True))
    assert compiled.jit_compile and not plain.jit_compile
    # XLA compiles for each size, the PSU for half a minute: one will do.
    sizes = (10, 10) if stage == "psu" else (10, 10, 6)
    for one, other in zip(_steps(plain, sizes), _steps(compiled, sizes)):
        assert one.keys() == other.keys()
        np.testing.assert_allclose(list(other.values()), list(one.values()), rtol=1e-4)
    for one, other in zip(plain.trainable_variables, compiled.trainable_variables):
        np.testing.assert_allclose(other, one, atol=1e-3, err_msg=one.name)


def test_xla_beside_replicas_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train\.jit_compile.*strategy none"):
        TrainConfig(strategy="mirrored", jit_compile=True)
    with pytest.raises(ConfigError, match=r"train\.strategy: expected one of none, mirrored"):
        TrainConfig(strategy="many")


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("rows", [9, 50])
def test_distinct_ids_in_both_forms(seed: int, rows: int) -> None:
    ids = np.random.default_rng(seed).integers(0, rows, 20).astype(np.int32)
    wanted = list(dict.fromkeys(ids.tolist()))
    for static in (False, True):
        with static_shapes(static):
            found = distinct(tf.constant(ids), rows)
        assert int(found.count) == len(wanted)
        assert found.ids.numpy()[: len(wanted)].tolist() == wanted
        np.testing.assert_array_equal(found.ids.numpy()[found.row.numpy()], ids)
        assert len(found.ids) == (min(20, rows) if static else len(wanted))


@pytest.mark.parametrize("stage", ["psu", "seminar"])
def test_mixed_precision_computes_in_half_and_restores(stage: str, half: tf.DType, tmp_path) -> None:
    model = _model(stage, TRAIN)
    batch = {name: tf.constant(value) for name, value in toy.batch(0, rows=10).items()}
    seed = tf.constant([1, 0], tf.int32)
    losses = model.compute_losses(batch, seed, training=True)
    assert all(loss.dtype == tf.float32 for loss in losses.values())
    assert all(variable.dtype in (tf.float32, tf.bool) for variable in model.weights)
    if stage == "psu":
        assert model(batch).dtype == half
        assert model.channel_tables().item.dtype == np.float32
    else:
        assert model.pairs(batch["history_item_id"], batch["history_query"]).dtype == half
        assert model(batch)["click"].dtype == tf.float32
    tf.keras.mixed_precision.set_global_policy("float32")
    exact = _model(stage, TRAIN).compute_losses(batch, seed, training=True)
    for name, loss in losses.items():
        assert float(loss) != float(exact[name])
        np.testing.assert_allclose(float(loss), float(exact[name]), rtol=0.03)
    tf.keras.mixed_precision.set_global_policy(f"mixed_{half.name}")
    # A scaled loss (float16) may skip steps in the graph; bfloat16 differs from float32 in types alone, which eager
    # steps show without a trace.
    model.run_eagerly = half == tf.bfloat16
    assert all(np.isfinite(list(step.values())).all() for step in _steps(model, (10, 10)))
    TrainingState(tmp_path, model).save()
    other = _model(stage, TRAIN)
    assert TrainingState(tmp_path, other).resumed
    for one, two in zip(model.trainable_variables, other.trainable_variables):
        np.testing.assert_array_equal(one.numpy(), two.numpy())
