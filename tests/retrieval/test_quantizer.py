"""Codebooks: how much they lose, what they refuse, what they are fitted on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from seminar_tf.layers.masking import NEGATIVE
from seminar_tf.retrieval.codebook import Codebook, CodebookError, fit_codebook
from seminar_tf.retrieval.codes import Adc
from seminar_tf.retrieval.quantizer import QuantizedTables, quantize
from seminar_tf.retrieval.rotation import opq, weighted
from tests.retrieval import oracle

SEEDS = [0, 1, 2]


def clustered(seed: int, count: int = 2_000, dim: int = 16) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(64, dim))[rng.integers(0, 64, count)] + 0.05 * rng.normal(size=(count, dim))).astype("f4")


@pytest.mark.parametrize("seed", SEEDS)
def test_codes_are_the_nearest_centroids(seed):
    vectors = clustered(seed, 500)
    book = fit_codebook(vectors, 4, 16)
    codes = book.encode(vectors)
    parts = vectors.reshape(500, 4, 1, 4)
    distance = ((parts - book.centroids[np.newaxis]) ** 2).sum(axis=-1)
    chosen = np.take_along_axis(distance, codes[..., np.newaxis].astype(int), axis=-1)[..., 0]
    np.testing.assert_allclose(chosen, distance.min(axis=-1), rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(book.decode(codes)[7].reshape(4, 4), book.centroids[np.arange(4), codes[7]])


@pytest.mark.parametrize("seed", SEEDS)
def test_fault_04_trained_centroids_lose_far_less_than_random_ones(seed):
    vectors = clustered(seed)
    trained = fit_codebook(vectors, 4, 64)
    rng = np.random.default_rng(seed)
    untrained = Codebook((rng.normal(size=trained.centroids.shape) * vectors.std()).astype(np.float32))
    assert trained.quality(vectors).error < 0.2 * untrained.quality(vectors).error


@pytest.mark.parametrize("seed", SEEDS)
def test_fault_04_scores_approach_the_inner_product_as_subvectors_grow(seed):
    t = oracle.tables(seed, items=900, queries=600, clusters=60)
    given = oracle.ids(seed, t, rows=2, length=60, candidates=4)
    wanted = oracle.scores(t, given[:2], given[2:])
    errors = []
    for subvectors in (1, 2, 4, 8):
        method = Adc(quantize(t, subvectors, 64)[0], t)
        found = method.scores(method.index(*given[:2]), *given[2:]).numpy()
        errors.append(float(((found - wanted) ** 2).mean() / wanted.var()))
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.05


@pytest.mark.parametrize("seed", SEEDS)
def test_opq_loses_less_on_correlated_dimensions(seed):
    rng = np.random.default_rng(seed)
    # All the variance lies in the first sub-vector.
    vectors = (rng.normal(size=(2_000, 16)) * np.array([3.0] * 4 + [0.05] * 12)).astype(np.float32)
    rotation = opq(vectors, 4)
    np.testing.assert_allclose(rotation.forward @ rotation.back, np.eye(16), atol=1e-4)
    np.testing.assert_allclose(rotation.forward.T, rotation.back)
    rotated = vectors @ rotation.forward
    plain = fit_codebook(vectors, 4, 64).quality(vectors).error
    assert fit_codebook(rotated, 4, 64).quality(rotated).error < 0.7 * plain


@pytest.mark.parametrize("subvectors", [4, 6, 8])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_weighted_map_loses_less_of_scores_and_can_be_undone(seed, subvectors):
    rng = np.random.default_rng(seed)
    # Vectors and targets have their energy in different places.
    mix = np.linalg.qr(rng.normal(size=(16, 16)))[0]
    vectors = ((rng.normal(size=(2_000, 16)) * np.geomspace(2.0, 0.1, 16)) @ mix).astype(np.float32)
    targets = ((rng.normal(size=(500, 16)) * np.geomspace(0.05, 2.0, 16)) @ mix).astype(np.float32)
    rotation = weighted(vectors, targets, subvectors)
    np.testing.assert_allclose(rotation.forward @ rotation.back, np.eye(16), atol=1e-4)
    assert rotation.forward.shape[1] % subvectors == 0

    def lost(forward, back, parts):
        book = fit_codebook(vectors @ forward, parts, 64)
        decoded = book.decode(book.encode(vectors @ forward)) @ back
        return float((((vectors - decoded) @ targets.T) ** 2).mean())

    plain = lost(np.eye(16, dtype=np.float32), np.eye(16, dtype=np.float32), 4 if subvectors == 6 else subvectors)
    assert lost(rotation.forward, rotation.back, subvectors) < 0.5 * plain


def test_quality_counts_dead_centroids_and_entropy():
    centroids = np.array([[[0.0], [1.0], [9.0], [8.0]]], np.float32)
    found = Codebook(centroids).quality(np.array([[0.0], [0.0], [1.0], [1.0]], np.float32))
    assert (found.error, found.dead, found.entropy) == (0.0, 2, 1.0)


def test_what_no_codebook_can_be_fitted_on_is_refused():
    vectors = clustered(0, 100)
    with pytest.raises(CodebookError, match=r"image: 100 vectors for 256 .*\. Set retrieval\.centroids to 64 or less"):
        fit_codebook(vectors, 4, 256, name="image")
    with pytest.raises(CodebookError, match="5 sub-vectors do not divide the 16 dimensions"):
        fit_codebook(vectors, 5, 16)
    with pytest.raises(CodebookError, match="48 centroids, expected a power of 2"):
        fit_codebook(vectors, 4, 48)
    with pytest.raises(CodebookError, match="OPQ: 100 vectors"):
        opq(vectors, 4)
    with pytest.raises(CodebookError, match="rotation 'pca', expected none, opq or weighted"):
        quantize(oracle.tables(0), 4, 16, rotation="pca")
    t = oracle.tables(0)
    few = np.where(np.arange(600)[:, np.newaxis] < 100, t.item_logit, NEGATIVE)
    with pytest.raises(CodebookError, match=r"text: .* vectors for 256 centroids"):
        quantize(replace(t, item_logit=few), 4, 256)


def test_few_queries_are_centroids_of_their_own():
    t = oracle.tables(0, queries=5)
    codes, quality = quantize(t, 4, 64)
    assert quality["query"].error == pytest.approx(0.0, abs=1e-10)
    np.testing.assert_allclose(codes.decoded().query, t.query, atol=1e-6)


def test_missing_channels_take_no_part_in_the_fit():
    t = oracle.tables(1)
    absent = t.item_logit == NEGATIVE
    noise = np.where(absent[..., np.newaxis], 1e3, t.item).astype(np.float32)
    one, other = (quantize(x, 4, 16)[0].item_centroids for x in (replace(t, item=noise), t))
    np.testing.assert_array_equal(one, other)


def test_same_seed_same_codes_and_what_is_saved_comes_back(tmp_path):
    t = oracle.tables(2)
    one, two = (quantize(t, 4, 16, rotation="weighted", seed=5)[0] for _ in range(2))
    one.save(tmp_path / "codes.npz")
    loaded = QuantizedTables.load(tmp_path / "codes.npz")
    assert loaded.channels == t.channels and not list(tmp_path.glob("*.partial"))
    for name in (
        "item_centroids",
        "query_centroids",
        "item_codes",
        "query_codes",
        "item_logit",
        "query_logit",
        "rotation",
        "fold",
    ):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        np.testing.assert_array_equal(getattr(one, name), getattr(loaded, name))
