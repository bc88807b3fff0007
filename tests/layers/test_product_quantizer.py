"""ProductQuantizer against NumPy, and what its gradients do."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from seminar_tf.layers import ProductQuantizer
from seminar_tf.retrieval.codebook import Codebook, fit_codebook

SEEDS = [0, 1, 2]


def drawn(seed: int, shape: tuple[int, ...] = (5, 7)) -> tuple[ProductQuantizer, np.ndarray]:
    rng = np.random.default_rng(seed)
    layer = ProductQuantizer(dim=8, subvectors=4, size=6, commitment=0.5)
    layer.assign(rng.normal(size=(4, 6, 2)).astype(np.float32))
    return layer, rng.normal(size=(*shape, 8)).astype(np.float32)


@pytest.mark.parametrize("seed", SEEDS)
def test_codes_and_vectors_are_those_of_the_codebook(seed):
    layer, x = drawn(seed)
    book = Codebook(layer.centroids.numpy())
    codes = layer.encode(x)
    assert codes.dtype == tf.uint8
    np.testing.assert_array_equal(codes.numpy().reshape(-1, 4), book.encode(x.reshape(-1, 8)))
    np.testing.assert_allclose(layer(x), book.decode(codes.numpy()), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_gradients_pass_straight_through_and_losses_draw_both_sides_together(seed):
    layer, x = drawn(seed)
    x = tf.Variable(x)
    with tf.GradientTape() as tape:
        out = tf.reduce_sum(layer(x) * 3.0)
    np.testing.assert_allclose(tape.gradient(out, x), np.full(x.shape, 3.0))
    with tf.GradientTape() as tape:
        layer(x)
        (loss,) = layer.losses
    of_x, of_centroids = tape.gradient(loss, [x, layer.centroids])
    away = x.numpy() - layer.decode(layer.encode(x)).numpy()
    np.testing.assert_allclose(float(loss), 1.5 * (away**2).sum(axis=-1).mean(), rtol=1e-5)
    np.testing.assert_allclose(of_x, 0.5 * 2 * away / 35, rtol=1e-4, atol=1e-6)
    before = float(loss)
    layer.centroids.assign_sub(0.5 * tf.convert_to_tensor(of_centroids))
    layer(x)
    assert float(layer.losses[0]) < before


def test_padding_has_no_part_in_the_losses():
    layer, x = drawn(0)
    layer(x[:, :4])
    (wanted,) = layer.losses
    padded = np.concatenate([x[:, :4], np.full((5, 3, 8), 1e6, np.float32)], axis=1)
    layer(padded, np.repeat([[True] * 4 + [False] * 3], 5, axis=0))
    np.testing.assert_allclose(layer.losses[0], wanted, rtol=1e-6)
    layer(x, np.zeros((5, 7), bool))
    assert float(layer.losses[0]) == 0.0


def test_fitted_centroids_lose_less_than_initial_ones():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 8)).astype(np.float32)
    layer = ProductQuantizer(dim=8, subvectors=4, size=32)
    layer(x)
    initial = float(layer.losses[0])
    layer.assign(fit_codebook(x, 4, 32).centroids)
    layer(x)
    assert float(layer.losses[0]) < 0.5 * initial


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="must divide"):
        ProductQuantizer(dim=8, subvectors=3)
    with pytest.raises(ValueError, match="size is 257"):
        ProductQuantizer(dim=8, subvectors=2, size=257)
    with pytest.raises(ValueError, match=r"shape \(4, 6, 3\), expected \(4, 6, 2\)"):
        drawn(0)[0].assign(np.zeros((4, 6, 3), np.float32))
