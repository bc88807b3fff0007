"""GSU against NumPy: scores, the choice of K, padding, ties, histories shorter than K."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from seminar_tf.layers.exact_search_unit import ExactSearchUnit
from seminar_tf.layers.search_unit import SearchUnit
from tests.layers import oracle

B, N, L, D, H = 3, 4, 9, 8, 2


def _unit(seed: int, top_k: int) -> tuple[SearchUnit, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    unit = SearchUnit(D, H, top_k)
    unit.build(None)
    unit.set_weights([rng.normal(size=(D, D)), rng.normal(size=(D, D))])
    mask = np.arange(L) < np.array([L, 5, 2])[:, np.newaxis]
    return (
        unit,
        rng.normal(size=(B, N, D)).astype(np.float32),
        rng.normal(size=(B, L, D)).astype(np.float32),
        mask,
        rng.normal(size=(B, L)).astype(np.float32),
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("top_k", [3, 20])
def test_equals_the_oracle(seed: int, top_k: int) -> None:
    unit, target, keys, mask, bias = _unit(seed, top_k)
    scores = unit.scores(target, keys, mask, bias).numpy()
    positions, valid = (x.numpy() for x in unit(target, keys, mask, bias))
    assert positions.shape == (B, N, min(top_k, L))
    keep = unit.keep(target, keys, mask, bias).numpy()
    for b in range(B):
        for n in range(N):
            wanted = oracle.search_scores(target[b, n], keys[b], *unit.get_weights(), H) + bias[b]
            np.testing.assert_allclose(scores[b, n, mask[b]], wanted[mask[b]], atol=1e-4)
            best = sorted(np.flatnonzero(mask[b]), key=lambda i: -wanted[i])[:top_k]
            assert sorted(positions[b, n, valid[b, n]]) == sorted(best)
            assert np.flatnonzero(keep[b, n]).tolist() == sorted(best)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("top_k", [3, 20])
def test_each_head_keeps_and_reads_its_own_pairs(seed: int, top_k: int) -> None:
    """GSU and ESU with one top-K a head, gathered and over the history, against loops."""
    shared, target, keys, mask, _ = _unit(seed, top_k)
    bias = np.random.default_rng(seed).normal(size=(B, L, H)).astype(np.float32)
    unit = SearchUnit(D, H, top_k, per_head=True)
    unit.build(None)
    unit.set_weights(shared.get_weights())
    exact = ExactSearchUnit(D, H, seed)
    positions, valid = (x.numpy() for x in unit(target, keys, mask, bias))
    keep = unit.keep(target, keys, mask, bias)
    assert positions.shape == (B, N, H, min(top_k, L))
    row = np.arange(B)[:, None, None, None]
    picked_bias = bias[row, positions, np.arange(H)[:, None]]
    gathered = exact(target, keys[row, positions], valid, picked_bias).numpy()
    dense = exact.over_history(target, keys, keep, bias.transpose(0, 2, 1)).numpy()
    w_query, w_key, w_value, w_output = exact.get_weights()
    size = D // H
    for b, n in np.ndindex(B, N):
        parts = []
        for h in range(H):
            cut = slice(h * size, (h + 1) * size)
            gsu_query, gsu_key = (w[:, cut] for w in unit.get_weights())
            scores = (target[b, n] @ gsu_query) @ (keys[b] @ gsu_key).T / np.sqrt(size) + bias[b, :, h]
            best = sorted(np.flatnonzero(mask[b]), key=lambda i: -scores[i])[:top_k]
            assert sorted(positions[b, n, h, valid[b, n, h]]) == sorted(best)
            assert np.flatnonzero(keep[b, n, h]).tolist() == sorted(best)
            alpha = (target[b, n] @ w_query[:, cut]) @ (keys[b] @ w_key[:, cut]).T / np.sqrt(size) + bias[b, :, h]
            weights = oracle.softmax(alpha, np.isin(np.arange(L), best))
            parts.append(weights @ (keys[b] @ w_value[:, cut]))
        np.testing.assert_allclose(gathered[b, n], np.concatenate(parts) @ w_output, atol=1e-4)
        np.testing.assert_allclose(dense[b, n], gathered[b, n], atol=1e-5)


def test_fault_05_top_k_masks_before_it_chooses() -> None:
    unit, target, keys, mask, bias = _unit(3, 4)
    more = np.concatenate([keys, np.full((B, 6, D), 50.0, np.float32)], axis=1)  # padding that would score high
    more_mask, more_bias = np.pad(mask, ((0, 0), (0, 6))), np.pad(bias, ((0, 0), (0, 6)), constant_values=99.0)
    positions, valid = unit(target, keys, mask, bias)
    padded, padded_valid = unit(target, more, more_mask, more_bias)
    for b, n in np.ndindex(B, N):
        assert sorted(positions[b, n][valid[b, n]].numpy()) == sorted(padded[b, n][padded_valid[b, n]].numpy())


def test_ties_are_kept_alike_by_both_forms() -> None:
    unit, target, keys, mask, _ = _unit(4, 3)
    keys[:] = keys[:, :1]
    positions, valid = unit(target, keys, mask)
    keep = unit.keep(target, keys, mask).numpy()
    for b, n in np.ndindex(B, N):
        assert np.flatnonzero(keep[b, n]).tolist() == sorted(positions[b, n][valid[b, n]].numpy())


def test_selection_carries_no_gradient() -> None:
    unit, target, keys, mask, bias = _unit(5, 3)
    variables = [tf.Variable(x) for x in (target, keys, bias)]
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(unit.scores(variables[0], variables[1], mask, variables[2]))
    assert tape.gradient(total, variables) == [None] * 3
    assert not unit.trainable_variables


def test_shared_needs_the_kernels() -> None:
    unit, target, keys, mask, bias = _unit(6, 3)
    shared = SearchUnit(D, H, 3, shared=True)
    with pytest.raises(ValueError, match="needs `kernels`"):
        shared(target, keys, mask, bias)
    found = shared.scores(target, keys, mask, bias, kernels=(unit.query_kernel, unit.key_kernel))
    np.testing.assert_allclose(found, unit.scores(target, keys, mask, bias))
    assert not shared.weights
    assert SearchUnit.from_config(shared.get_config()).shared
