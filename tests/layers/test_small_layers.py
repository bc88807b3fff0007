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


@pytest.mark.parametrize("seed", [0, 1])
def test_recency_bias_equals_the_oracle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = RecencyBias(2)
    layer.build(None)
    gaps, places = rng.normal(size=(GAP_BUCKETS, 2)), rng.normal(size=(POSITION_BUCKETS, 2))
    layer.set_weights([gaps, places])
    gap = (10 ** rng.uniform(0, 12, (3, 50))).astype(np.int64)
    position = rng.integers(0, 20_000, (3, 50)).astype(np.int32)
    found = layer(gap, position).numpy()
    for index in np.ndindex(gap.shape):
        a = min(math.floor(2 * math.log2(1 + gap[index] / 1000) + 1e-3), GAP_BUCKETS - 1)
        b = min(math.floor(4 * math.log2(1 + position[index] / 4) + 1e-3), POSITION_BUCKETS - 1)
        np.testing.assert_allclose(found[index], gaps[a] + places[b], atol=1e-5)


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


@pytest.mark.parametrize("seed", [0, 1])
def test_prediction_head_equals_the_oracle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(2, 3, 5)).astype(np.float32), rng.normal(size=(2, 3, 2)).astype(np.float32)
    head = PredictionHead((4,), cross_layers=1, cross_dim=3, seed=seed)
    head(x, w)
    values = {v.name.split("/", 1)[-1]: rng.normal(size=v.shape).astype(np.float32) for v in head.weights}
    for v in head.weights:
        v.assign(values[v.name.split("/", 1)[-1]])
    cross, dense = head.crosses[0], head.dense[0]
    u, (v, b) = cross._dense_u.get_weights()[0], cross._dense_v.get_weights()
    y = x * (x @ u @ v + b) + x
    y = np.maximum(y @ dense.get_weights()[0] + dense.get_weights()[1], 0)
    wanted = y @ head.logit.get_weights()[0] + head.logit.get_weights()[1] + w @ head.wide.get_weights()[0]
    np.testing.assert_allclose(head(x, w), wanted[..., 0], rtol=1e-3, atol=1e-3)
    assert PredictionHead.from_config(head.get_config()).hidden_units == (4,)


def test_transformer_block_never_looks_at_padding() -> None:
    rng = np.random.default_rng(0)
    block = TransformerBlock(8, 2)
    x, mask = rng.normal(size=(2, 5, 8)).astype(np.float32), np.arange(5) < np.array([[5], [3]])
    other = np.where(mask[..., np.newaxis], x, 77.0).astype(np.float32)
    np.testing.assert_allclose(block(x, mask).numpy()[mask], block(other, mask).numpy()[mask], atol=1e-5)
    assert TransformerBlock.from_config(block.get_config()).dim == 8
