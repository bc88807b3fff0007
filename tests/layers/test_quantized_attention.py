"""Attention over codes: the same from vectors and from codes, and close to plain attention with good centroids."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from seminar_tf.layers import QuantizedTargetAttention
from tests.layers import oracle

SEEDS = [0, 1, 2]
B, N, L, C, D, H = 2, 3, 9, 3, 8, 2


def drawn(seed, size=16):
    rng = np.random.default_rng(seed)
    layer = QuantizedTargetAttention(dim=D, heads=H, channels=C, subvectors=4, size=size, seed=seed)
    target, channels = (rng.normal(size=shape).astype(np.float32) for shape in ((B, N, D), (B, L, C, D)))
    gamma = rng.dirichlet(np.ones(C), (B, L)).astype(np.float32)
    mask = np.arange(L) < np.array([[L], [5]])
    return layer, rng, target, channels, gamma, mask


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_codes_attend_as_the_vectors_they_stand_for(seed, with_bias):
    layer, rng, target, channels, gamma, mask = drawn(seed)
    bias = rng.normal(size=(B, N, H, L)).astype(np.float32) if with_bias else None
    codes = layer.encode(channels)
    assert codes.shape == (B, L, C, 4) and codes.dtype == tf.uint8
    by_heads = None if bias is None else bias.transpose(0, 2, 1, 3)
    wanted = layer(target, (channels, gamma), mask, by_heads)
    np.testing.assert_allclose(layer.attend(target, codes, gamma, mask, by_heads), wanted, rtol=1e-4, atol=1e-5)
    # By the oracle of plain attention on decoded, gated keys.
    decoded = np.stack([q.decode(codes[:, :, m]) for m, q in enumerate(layer.quantizers)], axis=2)
    keys = (gamma[..., np.newaxis] * decoded).sum(axis=2)
    kernels = [k.numpy() for k in (layer.query_kernel, layer.key_kernel, layer.value_kernel, layer.output_kernel)]
    for b, n in np.ndindex(B, N):
        plain = oracle.attention(target[b, n], keys[b], mask[b], None if bias is None else bias[b, n], kernels, H)
        np.testing.assert_allclose(wanted[b, n], plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_padding_and_missing_channels_change_nothing(seed):
    layer, _, target, channels, gamma, mask = drawn(seed)
    gamma[:, :, 2] = 0.0
    codes = layer.encode(channels)
    noise = np.where(mask[..., np.newaxis, np.newaxis], channels, 99.0).astype(np.float32)
    noise[:, :, 2] = -77.0
    for one, other in (
        (layer(target, (channels, gamma), mask), layer(target, (noise, gamma), mask)),
        (layer.attend(target, codes, gamma, mask), layer.attend(target, layer.encode(noise), gamma, mask)),
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    losses = []
    for given in (channels, noise):
        layer(target, (given, gamma), mask)
        losses.append([float(loss) for loss in layer.losses])
    np.testing.assert_allclose(*losses, rtol=1e-5)
    none = np.zeros_like(mask)
    assert not np.any(layer.attend(target, codes, gamma, none)) and not np.any(layer(target, (channels, gamma), none))


def test_everything_trains_and_centroids_come_to_their_keys():
    layer, _, target, channels, gamma, mask = drawn(0, size=8)
    optimizer = tf.keras.optimizers.Adam(0.03)

    def step():
        with tf.GradientTape() as tape:
            out = layer(target, (channels, gamma), mask)
            total = tf.reduce_sum(out**2) * 1e-3 + tf.add_n(layer.losses)
        gradients = tape.gradient(total, layer.trainable_variables)
        assert all(g is not None and np.any(tf.convert_to_tensor(g)) for g in gradients)
        optimizer.apply_gradients(zip(gradients, layer.trainable_variables))
        return float(tf.add_n(layer.losses))

    first = step()
    for _ in range(150):
        last = step()
    assert last < 0.3 * first
