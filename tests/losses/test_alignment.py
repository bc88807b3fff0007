"""Alignment against a NumPy CLIP loss, and known fault 3."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from seminar_tf.losses.alignment import AlignmentLoss

M, D = 3, 5


def _inputs(seed: int, rows: int = 3, length: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    items = rng.integers(1, 8, (rows, length)) * (np.arange(length) < rng.integers(2, length + 1, rows)[:, None])
    table = rng.normal(size=(8, M, D)).astype(np.float32)
    has = rng.random((8, M)) < 0.8
    return table[items], has[items] & (items > 0)[..., None], items.astype(np.int32)


def _oracle(vectors: np.ndarray, mask: np.ndarray, items: np.ndarray, chunk: int, scale: float) -> float:
    unit = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    total = 0.0
    for a, b in itertools.combinations(range(M), 2):
        for left, right in ((a, b), (b, a)):
            losses = []
            for row in range(len(items)):
                for start in range(0, items.shape[1], chunk):
                    places = [i for i in range(start, min(start + chunk, items.shape[1])) if mask[row, i, [a, b]].all()]
                    for i in places:
                        keep = [j for j in places if j == i or items[row, j] != items[row, i]]
                        logits = scale * np.array([unit[row, i, left] @ unit[row, j, right] for j in keep])
                        losses.append(np.log(np.exp(logits).sum()) - logits[keep.index(i)])
            total += 0.5 * np.mean(losses)
    return total


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("chunk", [4, 128])
def test_equals_the_oracle(seed: int, chunk: int) -> None:
    vectors, mask, items = _inputs(seed)
    found = AlignmentLoss(chunk)(vectors, mask, items)
    np.testing.assert_allclose(found, _oracle(vectors, mask, items, chunk, 1 / 0.07), rtol=1e-4)


@pytest.mark.parametrize("chunk", [4, 128])
def test_fault_03_alignment_ignores_added_padding(chunk: int) -> None:
    vectors, mask, items = _inputs(3)
    more = ((0, 0), (0, 7))
    padded = (
        np.pad(vectors, (*more, (0, 0), (0, 0)), constant_values=3.0),
        np.pad(mask, (*more, (0, 0))),
        np.pad(items, more),
    )
    loss = AlignmentLoss(chunk)
    np.testing.assert_allclose(loss(*padded), loss(vectors, mask, items), rtol=1e-5)


def test_fault_03_alignment_of_one_short_sequence_is_finite() -> None:
    loss = AlignmentLoss(128)
    for length in (0, 1, 2):
        vectors = tf.Variable(tf.random.stateless_normal((1, length, M, D), (1, 2)))
        with tf.GradientTape() as tape:
            value = loss(vectors, np.ones((1, length, M), bool), np.arange(1, length + 1, dtype=np.int32)[np.newaxis])
        assert np.isfinite(value.numpy())
        assert np.isfinite(tape.gradient(value, vectors).numpy()).all()


def test_fault_03_repeated_items_are_not_negatives_of_themselves() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=(1, 1, M, D)).astype(np.float32)
    repeated = np.repeat(one, 6, axis=1)
    value = AlignmentLoss(128)(repeated, np.ones((1, 6, M), bool), np.full((1, 6), 5, np.int32))
    assert abs(float(value)) < 1e-6


def test_fault_03_the_temperature_scales_logits_and_not_targets() -> None:
    """Aligned modalities: the sharper the logits the lower the loss, which scaled targets would turn round."""
    rng = np.random.default_rng(0)
    same = np.repeat(rng.normal(size=(1, 6, 1, 16)).astype(np.float32), M, axis=2)
    loss = AlignmentLoss(128)
    arguments = same, np.ones((1, 6, M), bool), np.arange(1, 7, dtype=np.int32)[np.newaxis]
    values = []
    for scale in (1.0, 10.0, 50.0):
        loss.build(None) if not loss.built else None
        loss.log_scale.assign(np.log(scale))
        values.append(float(loss(*arguments)))
    assert values[0] > values[1] > values[2] >= 0.0
