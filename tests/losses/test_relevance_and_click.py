"""Query-item relevance (known fault 2) and the ranking losses."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from seminar_tf.losses.click import listwise, masked_bce
from seminar_tf.losses.relevance import RelevanceLoss


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("seed", [0, 1])
def test_relevance_equals_the_oracle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    q, item, other = (rng.normal(size=(7, 4)).astype(np.float32) for _ in range(3))
    valid, other_valid = rng.random(7) < 0.7, rng.random(7) < 0.7
    valid[0] = other_valid[0] = True
    up = -np.log(_sigmoid((q * item).sum(1) / 2))[valid].mean()
    down = -np.log(1 - _sigmoid((q * other).sum(1) / 2))[valid & other_valid].mean()
    np.testing.assert_allclose(RelevanceLoss()(q, item, valid, other, other_valid), 0.5 * (up + down), rtol=1e-5)


def test_fault_02_one_step_raises_true_pairs_and_lowers_false_ones() -> None:
    rng = np.random.default_rng(0)
    loss, optimizer = RelevanceLoss(), tf.keras.optimizers.SGD(0.1)
    q, item, other = (tf.Variable(rng.normal(size=(1, 8)).astype(np.float32)) for _ in range(3))
    yes = np.ones(1, bool)
    loss(q, item, yes, other, yes)
    before = loss.logits(q, item).numpy(), loss.logits(q, other).numpy()
    with tf.GradientTape() as tape:
        value = loss(q, item, yes, other, yes)
    variables = [q, item, other]
    optimizer.apply_gradients(zip(tape.gradient(value, variables), variables))
    assert loss.logits(q, item).numpy() > before[0]
    assert loss.logits(q, other).numpy() < before[1]


def test_without_any_query_the_relevance_loss_is_zero() -> None:
    x, no = np.ones((3, 4), np.float32), np.zeros(3, bool)
    assert float(RelevanceLoss()(x, x, no, x, no)) == 0.0


@pytest.mark.parametrize("seed", [0, 1])
def test_bce_and_listwise_equal_the_oracle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(4, 5)).astype(np.float32)
    labels = (rng.random((4, 5)) < 0.4).astype(np.float32)
    labels[0, 1] = np.nan
    labels[3] = 0.0
    labels[1, 2] = 1.0
    candidates = rng.integers(1, 9, (4, 5)).astype(np.int32)
    candidates[2, 3:] = 0
    known = ~np.isnan(labels) & (candidates > 0)
    p = _sigmoid(logits)
    wanted = -np.where(labels == 1, np.log(p), np.log(1 - p))[known].mean()
    np.testing.assert_allclose(masked_bce(logits, labels, candidates), wanted, rtol=1e-5)
    rows = []
    for y, z, k in zip(labels, logits, known):
        if (y[k] == 1).any():
            logs = z[k] - np.log(np.exp(z[k]).sum())
            rows.append(-logs[y[k] == 1].mean())
    np.testing.assert_allclose(listwise(logits, labels, candidates), np.mean(rows), rtol=1e-5)


def test_unknown_labels_give_no_gradient_and_no_nan() -> None:
    logits = tf.Variable(np.zeros((2, 2), np.float32))
    labels, candidates = np.full((2, 2), np.nan, np.float32), np.ones((2, 2), np.int32)
    with tf.GradientTape() as tape:
        total = masked_bce(logits, labels, candidates) + listwise(logits, labels, candidates)
    assert float(total) == 0.0
    assert not tape.gradient(total, logits).numpy().any()
