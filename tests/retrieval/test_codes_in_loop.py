"""Fine-tuning with codes in the loop: training sees what serving decodes, and everything learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from seminar_tf.config import RetrievalConfig, TrainConfig
from seminar_tf.config_io import ConfigError
from seminar_tf.export.metadata import ModelMetadata
from seminar_tf.export.restored import restore_seminar
from seminar_tf.export.signatures import export_ranker
from seminar_tf.features.vocabulary import feature_sizes
from seminar_tf.layers.masking import NEGATIVE
from seminar_tf.models.seminar import Seminar
from seminar_tf.retrieval.served import prepare, start_codes
from seminar_tf.training.loop import compile_model
from tests.models import toy
from tests.serving import fake_ranker as fake

import tensorflow as tf  # isort: skip

SEEDS = [0, 1]
CONFIG = RetrievalConfig(
    tables="codes", search="decode", train_codes=True, subvectors=8, query_subvectors=4, centroids=16
)


def model(seed, config=CONFIG, **train):
    made = Seminar(
        toy.CONFIG, toy.SIZES, ("click",), toy.tables(seed), toy.item_features(), seed, TrainConfig(**train), config
    )
    start_codes(made, config, seed)
    return made


@pytest.mark.parametrize("rotation", ["weighted", "none"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_model_scores_as_it_will_with_its_codes(seed, rotation):
    config = replace(CONFIG, rotation=rotation)
    batch = toy.batch(seed, length=15)
    made = model(seed, config)
    del batch["label_click"]  # with labels, training leaves a positive out of its own count
    before = made(batch)["click"].numpy()
    # Small tables are fused whole in training, by distinct ids in inference: the same codes.
    np.testing.assert_allclose(made(batch, training=True)["click"], before, rtol=1e-4, atol=1e-3)
    # Gates and codebooks are of the vectors, not of what their codes stand for.
    decoded = made.pairs.codes.queries(*_with_presence(made))
    raw = made.pairs.projected_queries(tf.range(toy.SIZES.queries))[0]
    assert np.abs(decoded - raw).max() < 1e-4  # fewer queries than centroids: each is its own
    ready = prepare(made, config, seed)
    assert 0 < ready.quality["item"].error < 0.3
    np.testing.assert_allclose(made(batch)["click"], before, rtol=1e-4, atol=1e-4)
    assert ready.codes is not None and ready.codes.channels == ("query", "item")


def _with_presence(made):
    vectors, weight = made.pairs.projected_queries(tf.range(toy.SIZES.queries))
    return vectors, weight > NEGATIVE


@pytest.mark.parametrize("seed", SEEDS)
def test_tables_and_centroids_learn_and_vectors_come_to_their_centroids(seed):
    made = model(seed, learning_rate=0.02)
    compile_model(made, TrainConfig(learning_rate=0.02))
    batch = toy.batch(seed, rows=8, length=12, candidates=4)
    batch = {name: tf.constant(value) for name, value in batch.items()}
    loop = made.pairs.codes
    watched = {
        "items": made.pairs.item_table,
        "queries": made.pairs.query_table,
        "item centroids": loop.item_quantizer.centroids,
        "query centroids": loop.query_quantizer.centroids,
    }
    before = {name: tf.identity(variable) for name, variable in watched.items()}
    rotation = tf.identity(loop.rotation)
    step = tf.function(made.train_step)
    losses = [{name: float(value) for name, value in step(batch).items()} for _ in range(2)]
    for name, variable in watched.items():
        assert np.abs(variable - before[name]).max() > 0, name
    np.testing.assert_array_equal(loop.rotation, rotation)
    assert losses[0]["codes"] > 0 and set(losses[0]) == {"loss", "click", "codes"}
    for _ in range(60):
        made.reset_metrics()
        last = step(batch)
    assert float(last["click"]) < 0.8 * losses[0]["click"]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_loss_of_codes_brings_vectors_and_centroids_together(seed):
    made = model(seed)
    batch = {name: tf.constant(value) for name, value in toy.batch(seed).items()}
    variables = [made.pairs.item_table, made.pairs.codes.item_quantizer.centroids]
    optimizer = tf.keras.optimizers.Adam(0.02)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            apart = made.compute_losses(batch, tf.constant([seed, 0]), training=True)["codes"]
        optimizer.apply_gradients(zip(tape.gradient(apart, variables), variables))
        return apart

    losses = [float(step()) for _ in range(40)]
    assert losses[-1] < 0.1 * losses[0]


def test_an_exported_model_comes_back_with_its_codebooks(tmp_path):
    vocabularies = fake.write_vocabularies(tmp_path / "transform")
    config = replace(fake.CONFIG, retrieval=CONFIG)
    plain = fake.seminar(feature_sizes(vocabularies, config.features), 0)
    known = (np.arange(plain.sizes.items) > 0) & (np.arange(plain.sizes.items) <= len(fake.ITEMS))
    made = Seminar(
        config.model,
        plain.sizes,
        fake.TASKS,
        toy.ChannelTables(
            plain.pairs.channels,
            plain.pairs.item_table.numpy(),
            plain.pairs.item_mask.numpy(),
            plain.pairs.query_table.numpy(),
        ),
        toy.ItemFeatures.counted(known, np.arange(plain.sizes.items)),
        0,
        retrieval=CONFIG,
    )
    start_codes(made, CONFIG, 0)
    export_ranker(made, vocabularies, config, fake.TASKS, tmp_path / "model", np.arange(plain.sizes.items))
    assert ModelMetadata.load(tmp_path / "model").retrieval == CONFIG
    restored = restore_seminar(tmp_path / "model")
    batch = fake.batch(np.random.default_rng(0), rows=3, length=9, width=4)
    np.testing.assert_allclose(restored(batch)["like"], made(batch)["like"], rtol=1e-5, atol=1e-5)
    one, other = (prepare(m, CONFIG).codes for m in (restored, made))
    np.testing.assert_array_equal(one.item_codes, other.item_codes)


def test_what_cannot_be_trained_is_refused():
    with pytest.raises(ConfigError, match=r"retrieval\.train_codes"):
        RetrievalConfig(train_codes=True)
    with pytest.raises(ConfigError, match=r"retrieval\.train_codes"):
        RetrievalConfig(tables="codes", fuse=False, train_codes=True)
    with pytest.raises(ValueError, match="trained without codes in its loop"):
        prepare(toy.seminar(), CONFIG)
