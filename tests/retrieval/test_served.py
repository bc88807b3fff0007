"""Models made ready for export: the same scores from other tables, looked up, decoded or compiled."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest

from seminar_tf.config import RetrievalConfig
from seminar_tf.export.inputs import INDEXED
from seminar_tf.export.ranker_module import RankerModule
from seminar_tf.features import names
from seminar_tf.features.lookup import IdLookup
from seminar_tf.features.vocabulary import feature_sizes
from seminar_tf.retrieval.codebook import CodebookError
from seminar_tf.retrieval.prefused_pair_table import PrefusedPairTable
from seminar_tf.retrieval.quantized_pair_table import QuantizedPairTable
from seminar_tf.retrieval.served import prepare
from tests.models import toy
from tests.serving import fake_ranker as fake

import tensorflow as tf  # isort: skip

SEEDS = [0, 1]
CODES = RetrievalConfig(tables="codes", subvectors=8, query_subvectors=4, centroids=16, search="decode")


def model(seed, retrieval=None, **changes):
    """A toy with every weight moved, and its tables as `retrieval` says."""
    made = toy.seminar(seed, **changes)
    rng = np.random.default_rng(seed)
    for weight in made.trainable_variables:
        weight.assign_add(rng.normal(0, 0.2, weight.shape).astype(np.float32))
    if retrieval is not None:
        prepare(made, retrieval, seed)
    return made


@pytest.mark.parametrize("changes", [{}, {"top_k_per_head": True}, {"share_gsu_esu": True, "use_recency": False}])
@pytest.mark.parametrize("candidates", [3, 20])
@pytest.mark.parametrize("seed", SEEDS)
def test_fused_tables_give_the_scores_of_the_trained_model(seed, candidates, changes):
    batch = toy.batch(seed, candidates=candidates)
    fused = model(seed, RetrievalConfig(), **changes)
    assert isinstance(fused.pairs, PrefusedPairTable)
    np.testing.assert_allclose(fused(batch)["click"], model(seed, **changes)(batch)["click"], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(fused.search_history(batch)[0], model(seed, **changes).search_history(batch)[0])
    with pytest.raises(ValueError, match="does not train"):
        fused(batch, training=True)


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("changes", [{}, {"top_k_per_head": True}])
@pytest.mark.parametrize("seed", SEEDS)
def test_codes_are_looked_up_to_the_scores_of_what_they_decode_to(seed, changes, fuse):
    batch = toy.batch(seed, length=30)
    some = replace(CODES, fuse=fuse)
    decoded, looked_up = (model(seed, replace(some, search=s), **changes) for s in ("decode", "lookup"))
    assert isinstance(decoded.pairs, QuantizedPairTable)
    for one, other in zip(decoded.search_history(batch), looked_up.search_history(batch)):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(decoded(batch)["click"], looked_up(batch)["click"], rtol=1e-3, atol=1e-4)
    exact = model(seed, **changes)(batch)["click"]
    assert 0 < np.abs(decoded(batch)["click"] - exact).mean() < 0.5 * np.std(exact)


def test_padding_changes_no_score_of_codes():
    batch = toy.batch(1, length=20)
    for search in ("decode", "lookup"):
        coded = model(0, replace(CODES, search=search))
        np.testing.assert_allclose(coded(toy.pad(batch, 9))["click"], coded(batch)["click"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_search_history_keeps_the_best_scores_and_weights_them(seed):
    batch = toy.batch(seed, rows=6, length=11)
    trained = model(seed)
    position, weight = (x.numpy() for x in trained.search_history(batch))
    scores = trained.search_scores(batch).numpy()
    lengths = (batch["history_item_id"] > 0).sum(axis=1)
    for row, n in np.ndindex(position.shape[:2]):
        wanted = np.argsort(-scores[row, n], kind="stable")[: min(4, lengths[row])]
        found = position[row, n]
        np.testing.assert_array_equal(found[found >= 0], wanted)
        assert weight[row, n].sum() == pytest.approx(1.0, abs=1e-5) and (weight[row, n][found < 0] == 0).all()


def test_mixed_precision_searches_as_it_scores():
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        made = toy.seminar(0)
        batch = toy.batch(0, rows=3, length=9)
        position, weight = made.search_history(batch)
        scores = made.search_scores(batch).numpy().astype(np.float32)
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    assert weight.dtype == tf.float32
    found = np.take_along_axis(scores, np.maximum(position, 0), axis=-1)
    assert (np.diff(np.where(position >= 0, found, -np.inf), axis=-1)[np.asarray(position)[..., 1:] >= 0] <= 0).all()
    best = np.sort(scores, axis=-1)[..., ::-1][..., :1]
    np.testing.assert_array_equal(found[..., :1], best)


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    """Makes a real ranker with its tables as asked, and gives what becomes its signatures; each is made once.

    Nothing is saved: that a SavedModel answers as these do is for tests/export and tests/serving/test_without_python.
    """
    vocabularies = fake.write_vocabularies(tmp_path_factory.mktemp("vocabularies") / "transform")

    @functools.cache
    def made(retrieval):
        sizes = feature_sizes(vocabularies, fake.CONFIG.features)
        ranker = fake.seminar(sizes, 0)
        prepare(ranker, retrieval, 0)
        config = replace(fake.CONFIG, retrieval=retrieval)
        module = RankerModule(ranker, IdLookup(vocabularies, config.features), sizes, config, fake.TASKS)
        # Of any size, as they are saved; traced only when they are asked.
        specs = [{name: tf.TensorSpec([None] * len(x.shape), x.dtype) for name, x in INDEXED.items()}]
        return {
            name: tf.function(function, input_signature=specs, autograph=False)
            for name, function in module.functions().items()
        }

    return made


def call(function, arrays):
    return {k: v.numpy() for k, v in function({k: tf.constant(v) for k, v in arrays.items()}).items()}


# XLA compiles each size for seconds. What the batch is made to fit (no candidate, one of them) no table sees.
SOME = ((3, 30, 20),)
EVERY = ((1, 9, 1), *SOME, (2, 5, 0))


@pytest.mark.parametrize(
    ("retrieval", "sizes"),
    [
        (RetrievalConfig(tables="float"), SOME),
        (RetrievalConfig(), EVERY),
        (CODES, SOME),
        (replace(CODES, search="lookup"), SOME),
        (replace(CODES, search="auto"), EVERY),
    ],
    ids=["float", "fused", "decode", "lookup", "auto"],
)
def test_the_compiled_signature_gives_the_scores_of_the_plain_one(functions, retrieval, sizes):
    ranker = functions(retrieval)
    for rows, length, width in sizes:
        batch = fake.batch(np.random.default_rng(width), rows, length, width)
        plain, compiled = call(ranker["rank_indexed"], batch), call(ranker["rank_indexed_xla"], batch)
        for name, scores in plain.items():
            assert scores.shape == (rows, width)
            np.testing.assert_allclose(compiled[name], scores, rtol=1e-4, atol=1e-5)


def test_search_history_points_into_the_history_that_was_given(functions):
    search = functions(RetrievalConfig())["search_history"]
    limit = fake.CONFIG.model.serving_history_length
    batch = fake.batch(np.random.default_rng(3), rows=2, length=limit + 7, width=4)
    batch[names.CANDIDATE_ITEM_ID][1, 3] = 0
    long = call(search, batch)
    newest = {**batch} | {
        name: batch[name][:, 7:] for name in (names.HISTORY_ITEM_ID, names.HISTORY_QUERY, names.HISTORY_TIMESTAMP)
    }
    short = call(search, newest)
    found = short["pair_position"] >= 0
    np.testing.assert_array_equal(long["pair_position"][found], short["pair_position"][found] + 7)
    np.testing.assert_allclose(long["pair_weight"], short["pair_weight"], rtol=1e-4, atol=1e-6)
    assert long["pair_position"].shape == (2, 4, 4) and long["pair_position"].min() == -1
    assert (long["pair_position"][1, 3] == -1).all() and (long["pair_weight"][1, 3] == 0).all()
    np.testing.assert_allclose(long["pair_weight"][0].sum(axis=-1), 1.0, rtol=1e-4)


def test_fewer_vectors_than_centroids_are_refused():
    with pytest.raises(CodebookError, match=r"item: \d+ vectors for 256 .*\. Set retrieval\.centroids to \d+ or less"):
        model(0, replace(CODES, centroids=256))
