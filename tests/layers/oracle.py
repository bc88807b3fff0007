"""The layers' formulas in plain NumPy loops, written from the specification and not from the layers."""

from __future__ import annotations

import numpy as np


def softmax(logits: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Softmax of the valid entries of one row, zeros elsewhere."""
    weights = np.zeros(len(logits))
    if mask.any():
        kept = np.exp(logits[mask] - logits[mask].max())
        weights[mask] = kept / kept.sum()
    return weights


def gate(x: np.ndarray, mask: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """x_pair of one pair: x [M+1, d], mask [M+1]."""
    logits = np.array([kernel[m] @ x[m] + bias[m] for m in range(len(x))])
    return softmax(logits, mask) @ x


def attention(
    target: np.ndarray, keys: np.ndarray, mask: np.ndarray, bias: np.ndarray | None, weights: list, heads: int
) -> np.ndarray:
    """Multi-head target attention of one target [d] over keys [n, d]; bias [H, n]."""
    w_query, w_key, w_value, w_output = weights
    size = len(target) // heads
    parts = []
    for h in range(heads):
        cut = slice(h * size, (h + 1) * size)
        alpha = (target @ w_query[:, cut]) @ (keys @ w_key[:, cut]).T / np.sqrt(size)
        if bias is not None:
            alpha = alpha + bias[h]
        parts.append(softmax(alpha, mask) @ (keys @ w_value[:, cut]))
    return np.concatenate(parts) @ w_output


def search_scores(target: np.ndarray, keys: np.ndarray, w_query: np.ndarray, w_key: np.ndarray, heads: int) -> list:
    """Mean over heads of alpha, of one target for every key."""
    size = len(target) // heads
    cuts = [slice(h * size, (h + 1) * size) for h in range(heads)]
    return np.mean([(target @ w_query[:, c]) @ (keys @ w_key[:, c]).T / np.sqrt(size) for c in cuts], axis=0)
