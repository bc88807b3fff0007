"""Target attention, exact search unit, short branch and interest unit against loops in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from seminar_tf.layers.exact_search_unit import ExactSearchUnit
from seminar_tf.layers.interest_unit import InterestUnit
from seminar_tf.layers.short_branch import ShortBranch, last_positions
from seminar_tf.layers.target_attention import TargetAttention
from tests.layers import oracle

B, N, L, K, D, H = 3, 4, 7, 5, 8, 2


def _inputs(seed: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    target = rng.normal(size=(B, N, D)).astype(np.float32)
    keys = rng.normal(size=(B, L, D)).astype(np.float32)
    mask = np.arange(L) < rng.integers(0, L + 1, B)[:, np.newaxis]
    mask[0] = False
    bias = rng.normal(size=(B, H, N, L)).astype(np.float32)
    return target, keys, mask, bias


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("with_bias", [False, True])
def test_shared_keys_equal_the_oracle(seed: int, with_bias: bool) -> None:
    target, keys, mask, bias = _inputs(seed)
    layer = TargetAttention(D, H, seed)
    found = layer(target, keys, mask, bias if with_bias else None).numpy()
    weights = layer.get_weights()
    for b in range(B):
        for n in range(N):
            wanted = oracle.attention(target[b, n], keys[b], mask[b], bias[b, :, n] if with_bias else None, weights, H)
            np.testing.assert_allclose(found[b, n], wanted, atol=1e-5)
    assert not found[0].any()  # no valid key: zeros, not NaN


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_gathered_keys_equal_the_oracle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.normal(size=(B, N, D)).astype(np.float32)
    keys = rng.normal(size=(B, N, K, D)).astype(np.float32)
    mask = rng.random((B, N, K)) < 0.6
    bias = rng.normal(size=(B, N, H, K)).astype(np.float32)
    layer = ExactSearchUnit(D, H, seed)
    found = layer(target, keys, mask, bias).numpy()
    for b in range(B):
        for n in range(N):
            wanted = oracle.attention(target[b, n], keys[b, n], mask[b, n], bias[b, n], layer.get_weights(), H)
            np.testing.assert_allclose(found[b, n], wanted, atol=1e-5)


def test_the_exact_unit_gives_the_same_over_the_whole_history() -> None:
    target, keys, mask, _ = _inputs(3)
    rng = np.random.default_rng(3)
    bias = rng.normal(size=(B, H, L)).astype(np.float32)
    keep = (rng.random((B, N, L)) < 0.5) & mask[:, np.newaxis]
    layer = ExactSearchUnit(D, H, 3)
    layer.build(None)
    gathered_keys = np.repeat(keys[:, np.newaxis], N, axis=1)
    gathered_bias = np.repeat(bias[:, np.newaxis], N, axis=1)
    np.testing.assert_allclose(
        layer.over_history(target, keys, keep, bias), layer(target, gathered_keys, keep, gathered_bias), atol=1e-5
    )


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match=r"heads \(3\) must divide dim \(8\)"):
        TargetAttention(8, 3)


def test_last_positions_takes_the_newest_in_order() -> None:
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]], bool)
    positions, valid = last_positions(mask, 3)
    assert positions.numpy()[0].tolist() == [2, 3, 4] and valid.numpy()[0].all()
    assert positions.numpy()[1].tolist() == [0, 0, 1] and valid.numpy()[1].tolist() == [False, True, True]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_short_branch_is_attention_with_a_recency_bias(seed: int) -> None:
    target, keys, mask, _ = _inputs(seed)
    rng = np.random.default_rng(seed)
    gap = rng.integers(0, 10**10, (B, L))
    position = np.tile(np.arange(L, dtype=np.int32)[::-1], (B, 1))
    layer = ShortBranch(D, H, seed=seed)
    layer(target, keys, mask, gap, position)
    oracle.randomize(layer, seed)
    found = layer(target, keys, mask, gap, position).numpy()
    for b, n in np.ndindex(B, N):
        bias = oracle.recency(gap[b], position[b], *layer.recency.get_weights())
        wanted = oracle.attention(target[b, n], keys[b], mask[b], bias.T, layer.attention.get_weights(), H)
        np.testing.assert_allclose(found[b, n], wanted, rtol=1e-4, atol=1e-4)
    plain = ShortBranch(D, H, use_recency=False, seed=seed)
    found = plain(target, keys, mask, gap, position).numpy()
    wanted = oracle.attention(target[1, 0], keys[1], mask[1], None, plain.attention.get_weights(), H)
    np.testing.assert_allclose(found[1, 0], wanted, atol=1e-5)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("use_recency", [False, True])
def test_interest_unit_equals_the_oracle(seed: int, use_recency: bool) -> None:
    _, keys, _, _ = _inputs(seed)
    rng = np.random.default_rng(seed)
    visible = rng.random((B, 2, L)) < 0.6
    visible[0, 0] = False
    gap, position = _moments(rng)
    layer = InterestUnit(D, H, use_recency, seed=seed)
    layer(keys, visible, gap, position)
    oracle.randomize(layer, seed)
    found = layer(keys, visible, gap, position).numpy()
    for b, w in np.ndindex(B, 2):
        bias = oracle.recency(gap[b, w], position[b, w], *layer.recency.get_weights()).T if use_recency else None
        eos, weights = layer.eos.numpy(), layer.attention.get_weights()
        x = oracle.attention(eos, keys[b], visible[b, w], bias, weights, H)
        wide = oracle.dense(x, layer.widen.get_weights(), relu=True)
        wanted = x + oracle.dense(wide, layer.narrow.get_weights())
        np.testing.assert_allclose(found[b, w], wanted, rtol=1e-4, atol=1e-4)


def test_interest_unit_sees_each_window_by_itself() -> None:
    _, keys, _, _ = _inputs(5)
    visible = np.zeros((B, 2, L), bool)
    visible[:, 0, :5], visible[:, 1, :3] = True, True
    gap, position = _moments(np.random.default_rng(5))
    layer = InterestUnit(D, H, seed=5)
    both = layer(keys, visible, gap, position).numpy()
    alone = layer(keys, visible[:, 1:], gap[:, 1:], position[:, 1:]).numpy()
    np.testing.assert_allclose(both[:, 1:], alone, atol=1e-6)


def test_masked_keys_have_no_part_whatever_they_hold() -> None:
    """Holes anywhere in the row, and padding added behind it."""
    target, keys, _, _ = _inputs(6)
    rng = np.random.default_rng(6)
    mask = rng.random((B, L)) < 0.6
    windows = np.stack([mask, ~mask], axis=1)
    gap, position = _moments(rng)

    def outputs(filler: float, more: int) -> list[np.ndarray]:
        filled = np.where(mask[..., np.newaxis], keys, filler).astype(np.float32)
        wide = np.concatenate([filled, np.full((B, more, D), filler, np.float32)], axis=1)
        behind = [(0, 0), (0, more)]
        seen, moments = np.pad(mask, behind), [np.pad(x[:, 0], behind, mode="edge") for x in (gap, position)]
        own = np.repeat(wide[:, np.newaxis], N, axis=1)
        few = [np.pad(x, [(0, 0), *behind], mode="edge") for x in (gap, position)]
        return [
            TargetAttention(D, H, 1, name="attention")(target, wide, seen).numpy(),
            ExactSearchUnit(D, H, 1, name="exact")(target, own, np.repeat(seen[:, np.newaxis], N, axis=1)).numpy(),
            ShortBranch(D, H, seed=1)(target, wide, seen, *moments).numpy(),
            InterestUnit(D, H, seed=1)(wide, np.pad(windows, [(0, 0), *behind]), *few).numpy()[:, 0],
        ]

    for found, wanted in zip(outputs(50.0, 4), outputs(-3.0, 0)):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def _moments(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.integers(0, 10**9, (B, 2, L)), rng.integers(0, L, (B, 2, L)).astype(np.int32)
