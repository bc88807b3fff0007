"""Next-pair loss against a NumPy sampled softmax with logQ correction."""

from __future__ import annotations

import numpy as np
import pytest

from seminar_tf.losses.next_pair import NextPairLoss, mixture_probability

D = 4


def _inputs(seed: int, rows: int = 6, uniform: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "users": rng.normal(size=(rows, D)).astype(np.float32),
        "pairs": rng.normal(size=(rows, D)).astype(np.float32),
        "items": rng.integers(1, 6, rows).astype(np.int32),
        "valid": rng.random(rows) < 0.8,
        "uniform_pairs": rng.normal(size=(uniform, D)).astype(np.float32),
        "uniform_items": rng.integers(1, 6, uniform).astype(np.int32),
        "probability": rng.uniform(0.01, 0.3, rows + uniform).astype(np.float32),
    }


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_the_oracle(seed: int) -> None:
    x = _inputs(seed)
    pool = np.concatenate([x["pairs"], x["uniform_pairs"]])
    ids = np.concatenate([x["items"], x["uniform_items"]])
    valid = np.concatenate([x["valid"], np.ones(len(x["uniform_items"]), bool)])
    losses = []
    for row in np.flatnonzero(x["valid"]):
        logits = pool @ x["users"][row] - np.log(x["probability"])
        keep = valid & ((ids != x["items"][row]) | (np.arange(len(ids)) == row))
        losses.append(np.log(np.exp(logits[keep]).sum()) - logits[row])
    np.testing.assert_allclose(NextPairLoss()(**x), np.mean(losses), rtol=1e-4)


def test_padding_windows_change_nothing() -> None:
    x = _inputs(3)
    x["valid"][:] = True
    more = dict(x)
    for name in ("users", "pairs"):
        more[name] = np.concatenate([x[name], np.full((2, D), 9.0, np.float32)])
    more["items"] = np.append(x["items"], [0, 0]).astype(np.int32)
    more["valid"] = np.append(x["valid"], [False, False])
    p = x["probability"]
    more["probability"] = np.concatenate([p[:6], p[:2], p[6:]])
    loss = NextPairLoss()
    np.testing.assert_allclose(loss(**more), loss(**x), rtol=1e-5)


def test_nothing_valid_gives_zero() -> None:
    x = _inputs(4)
    x["valid"][:] = False
    assert float(NextPairLoss()(**x)) == 0.0


def test_mixture_probability_sums_to_one_over_the_catalog() -> None:
    popularity = np.array([0.5, 0.3, 0.2, 0.0], np.float32)
    found = mixture_probability(np.arange(4, dtype=np.int32), popularity, 30, 10).numpy()
    np.testing.assert_allclose(found, (30 * popularity + 10 / 4) / 40, rtol=1e-6)
    np.testing.assert_allclose(found.sum(), 1.0, rtol=1e-6)
