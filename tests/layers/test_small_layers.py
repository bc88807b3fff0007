"""Recency buckets, masked softmax, dropout and the prediction head."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from seminar_tf.layers import masking
from seminar_tf.layers.prediction_head import PredictionHead
from seminar_tf.layers.recency_bias import GAP_BUCKETS, POSITION_BUCKETS, RecencyBias
from seminar_tf.layers.stateless_dropout import StatelessDropout
from seminar_tf.layers.transformer_block import TransformerBlock
from tests.layers import oracle


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_recency_bias_equals_the_oracle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = RecencyBias(2)
    layer.build(None)
    oracle.randomize(layer, seed)
    gap = (10 ** rng.uniform(0, 13, (3, 50))).astype(np.int64)
    position = (4 ** rng.uniform(0, 9, (3, 50))).astype(np.int32)
    found = layer(gap, position).numpy()
    for row in range(3):
        np.testing.assert_allclose(found[row], oracle.recency(gap[row], position[row], *layer.get_weights()), atol=1e-5)


def test_recency_buckets_equal_the_oracle_at_every_edge() -> None:
    seconds = np.unique(np.floor(2 ** (np.arange(60) / 2)).astype(np.int64))
    gap = np.concatenate([seconds * 1000 - 1000, seconds * 1000 - 999, [-7, 10**15]])
    assert RecencyBias.gap_bucket(gap).numpy().tolist() == [oracle.recency_buckets(g, 0)[0] for g in gap.tolist()]
    position = np.arange(-2, 3000, dtype=np.int32)
    wanted = [oracle.recency_buckets(0, p)[1] for p in position.tolist()]
    assert RecencyBias.position_bucket(position).numpy().tolist() == wanted


def test_recency_buckets_at_the_ends() -> None:
    assert RecencyBias.position_bucket(np.arange(5, dtype=np.int32)).numpy().tolist() == [0, 1, 2, 3, 4]
    assert RecencyBias.position_bucket(np.array([-3, 10**7], np.int32)).numpy().tolist() == [0, POSITION_BUCKETS - 1]
    assert RecencyBias.gap_bucket(np.array([-5, 0, 10**15], np.int64)).numpy().tolist() == [0, 0, GAP_BUCKETS - 1]


def test_fault_06_masked_logits_leave_the_softmax_instead_of_becoming_zero() -> None:
    logits = np.array([[-3.0, -2.0, 9.0], [1.0, 2.0, 3.0]], np.float32)
    mask = np.array([[True, True, False], [False, False, False]])
    weights = masking.masked_softmax(logits, mask).numpy()
    np.testing.assert_allclose(weights[0], [1 / (1 + math.e), math.e / (1 + math.e), 0.0], rtol=1e-5)
    assert weights[1].tolist() == [0.0, 0.0, 0.0]


def test_masked_means() -> None:
    values = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    mask = np.array([[True, False, True], [False, False, False]])
    np.testing.assert_allclose(masking.masked_mean(values, mask), [[2.0, 3.0], [0.0, 0.0]])
    assert float(masking.weighted_mean(values[..., 0], mask)) == 2.0
    assert float(masking.weighted_mean(values[..., 0], np.zeros_like(mask))) == 0.0


def test_dropout_repeats_by_seed_and_is_off_without_one() -> None:
    layer, x = StatelessDropout(0.5, name="d"), np.ones((100, 10), np.float32)
    first, again, other = (layer(x, tf.constant([1, step])).numpy() for step in (7, 7, 8))
    assert (first == again).all() and (first != other).any()
    assert set(np.unique(first)) == {0.0, 2.0} and 0.4 < (first == 0).mean() < 0.6
    np.testing.assert_array_equal(layer(x), x)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("hidden_units", [(), (4,), (7, 3)])
@pytest.mark.parametrize("cross_layers", [0, 1, 2])
def test_prediction_head_equals_the_oracle(seed: int, hidden_units: tuple[int, ...], cross_layers: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(2, 3, 5)).astype(np.float32)
    matches = rng.normal(size=(2, 3, 2)).astype(np.float32)
    head = PredictionHead(hidden_units, cross_layers, cross_dim=3, seed=seed)
    head(features, matches)
    oracle.randomize(head, seed)
    found = head(features, matches).numpy()
    for row, n in np.ndindex(2, 3):
        wanted = oracle.prediction_head(features[row, n], matches[row, n], head)
        np.testing.assert_allclose(found[row, n], wanted, rtol=1e-4, atol=1e-4)


def test_a_padding_candidate_changes_no_other_logit() -> None:
    rng = np.random.default_rng(0)
    head = PredictionHead((4,), cross_dim=3)
    features, matches = rng.normal(size=(2, 3, 5)).astype(np.float32), rng.normal(size=(2, 3, 2)).astype(np.float32)
    alone = head(features, matches).numpy()
    more = [np.concatenate([x, np.full((2, 2, x.shape[2]), 99.0, np.float32)], axis=1) for x in (features, matches)]
    np.testing.assert_allclose(head(*more).numpy()[:, :3], alone, atol=1e-5)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_transformer_block_equals_the_oracle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    block = TransformerBlock(8, 2, seed)
    x, mask = rng.normal(size=(3, 5, 8)).astype(np.float32), rng.random((3, 5)) < 0.6
    mask[0] = True
    block(x, mask)
    oracle.randomize(block, seed)
    found = block(x, mask).numpy()
    for row in range(3):
        np.testing.assert_allclose(found[row], oracle.transformer_block(x[row], mask[row], block), rtol=1e-4, atol=1e-4)


def test_transformer_block_never_looks_at_padding() -> None:
    rng = np.random.default_rng(0)
    block = TransformerBlock(8, 2)
    x, mask = rng.normal(size=(2, 5, 8)).astype(np.float32), np.arange(5) < np.array([[5], [3]])
    other = np.where(mask[..., np.newaxis], x, 77.0).astype(np.float32)
    np.testing.assert_allclose(block(x, mask).numpy()[mask], block(other, mask).numpy()[mask], atol=1e-5)
