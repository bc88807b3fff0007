"""The interest unit with causal blocks: against the oracle, and blind to whatever comes later."""

from __future__ import annotations

import numpy as np
import pytest

from seminar_tf.layers.interest_unit import InterestUnit
from seminar_tf.layers.position_bias import PositionBias
from tests.layers import oracle

B, L, D, H = 2, 7, 8, 2


def _unit(seed: int, layers: int) -> tuple[InterestUnit, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A unit without weights at their start, pairs, and two windows of each history: 5 and 3 pairs long."""
    rng = np.random.default_rng(seed)
    pairs = rng.normal(size=(B, L, D)).astype(np.float32)
    visible = np.repeat((np.arange(L) < np.array([[5], [3]]))[np.newaxis], B, axis=0)
    gap = rng.integers(0, 10**9, (B, 2, L))
    position = np.maximum(np.array([[5], [3]]) - 1 - np.arange(L), 0).astype(np.int32)[np.newaxis].repeat(B, axis=0)
    unit = InterestUnit(D, H, layers=layers, seed=seed)
    unit(pairs, visible, gap, position)
    oracle.randomize(unit, seed)
    return unit, pairs, visible, gap, position


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("layers", [1, 2])
def test_equals_the_oracle(seed: int, layers: int) -> None:
    unit, pairs, visible, gap, position = _unit(seed, layers)
    found = unit(pairs, visible, gap, position).numpy()
    steps = np.arange(L)[:, np.newaxis] - np.arange(L)
    for b in range(B):
        x = pairs[b]
        for block, distance in zip(unit.blocks, unit.distances):
            table = distance.get_weights()[0]
            bias = np.array([[table[oracle.recency_buckets(0, int(s))[1]] for s in row] for row in steps])
            seen = visible[b].any(axis=0) & (steps >= 0)
            x = oracle.transformer_block(x, seen, block, bias.transpose(0, 2, 1))
        for w in range(2):
            tables = unit.recency.get_weights()
            alpha_bias = oracle.recency(gap[b, w], position[b, w], *tables).T
            weights = unit.attention.get_weights()
            y = oracle.attention(unit.eos.numpy(), x, visible[b, w], alpha_bias, weights, H)
            wide, narrow = unit.widen.get_weights(), unit.narrow.get_weights()
            wanted = y + oracle.dense(oracle.dense(y, wide, relu=True), narrow)
            np.testing.assert_allclose(found[b, w], wanted, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_window_sees_nothing_of_what_comes_after_it(seed: int) -> None:
    unit, pairs, visible, gap, position = _unit(seed, 2)
    later = pairs.copy()
    later[:, 3:] += 9.0
    before, after = unit(pairs, visible, gap, position).numpy(), unit(later, visible, gap, position).numpy()
    np.testing.assert_allclose(after[:, 1], before[:, 1], rtol=1e-5, atol=1e-5)
    assert np.abs(after[:, 0] - before[:, 0]).max() > 1e-3


def test_padding_on_either_side_changes_nothing() -> None:
    unit, pairs, visible, gap, position = _unit(3, 2)
    wanted = unit(pairs, visible, gap, position).numpy()
    for sides in ((0, 4), (4, 0)):
        more = ((0, 0), (0, 0), sides)
        padded = np.pad(pairs, ((0, 0), sides, (0, 0)), constant_values=7.0)
        found = unit(padded, np.pad(visible, more), np.pad(gap, more), np.pad(position, more))
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_position_bias_counts_back_from_zero() -> None:
    layer = PositionBias(H)
    layer(np.zeros(1, np.int32))
    oracle.randomize(layer, 0)
    table = layer.get_weights()[0]
    steps = np.array([-3, 0, 1, 4, 40, 70_000], np.int32)
    wanted = [table[oracle.recency_buckets(0, int(s))[1]] for s in steps]
    np.testing.assert_array_equal(layer(steps), wanted)
