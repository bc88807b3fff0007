"""The layers' formulas in plain NumPy loops, written from the specification and not from the layers."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from seminar_tf.layers import PredictionHead, TransformerBlock


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


def randomize(layer: tf.keras.layers.Layer, seed: int) -> None:
    """Gives every weight of a built layer a random value: zeros and ones of the start would hide a fault."""
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.normal(scale=0.7, size=weight.shape) for weight in layer.get_weights()])


def layer_norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, epsilon: float = 1e-3) -> np.ndarray:
    """One vector, normalised; Keras' epsilon is 1e-3."""
    return gamma * (x - x.mean()) / np.sqrt(((x - x.mean()) ** 2).mean() + epsilon) + beta


def dense(x: np.ndarray, weights: list, relu: bool = False) -> np.ndarray:
    """Kernel and, where there is one, bias, of one vector."""
    y = np.array([sum(x[i] * weights[0][i, j] for i in range(len(x))) for j in range(weights[0].shape[1])])
    if len(weights) > 1:
        y = y + weights[1]
    return np.array([max(v, 0.0) for v in y]) if relu else y


def transformer_block(
    x: np.ndarray, mask: np.ndarray, block: TransformerBlock, bias: np.ndarray | None = None
) -> np.ndarray:
    """Pre-norm block over one sequence [T, d]: x + Attention(LN(x)), then x + FFN(LN(x)).

    mask [T] or [T, T], bias [T, H, T] or None, by position.
    """
    mask = np.broadcast_to(mask, (len(x), len(x)))
    first, second = block.norm_attention.get_weights(), block.norm_dense.get_weights()
    wide, narrow = block.widen.get_weights(), block.narrow.get_weights()
    normed = np.stack([layer_norm(row, *first, 1e-6) for row in x])
    rows = []
    for t in range(len(x)):
        y = x[t] + attention(
            normed[t], normed, mask[t], None if bias is None else bias[t], block.attention.get_weights(), block.heads
        )
        rows.append(y + dense(dense(layer_norm(y, *second, 1e-6), wide, relu=True), narrow))
    return np.stack(rows)


def recency_buckets(gap_ms: int, position: int) -> tuple[int, int]:
    """Half octaves of seconds, up to 63, and quarter octaves of the position, exact to 4, up to 55.

    Found by search, bucket by bucket, without a logarithm; 1e-3 of a bucket goes down, as exact powers of two do.
    """
    gap = place = 0
    while gap < 63 and 1 + max(gap_ms, 0) / 1000 >= 2 ** ((gap + 1 - 1e-3) / 2):
        gap += 1
    while place < 55 and 1 + max(position, 0) / 4 >= 2 ** ((place + 1 - 1e-3) / 4):
        place += 1
    return gap, place


def recency(gap_ms: np.ndarray, position: np.ndarray, gap_table: np.ndarray, position_table: np.ndarray) -> np.ndarray:
    """Bias [n, H] of pairs."""
    buckets = [recency_buckets(int(g), int(p)) for g, p in zip(gap_ms, position)]
    return np.stack([gap_table[g] + position_table[p] for g, p in buckets])


def cross(x0: np.ndarray, x: np.ndarray, u: np.ndarray, v: np.ndarray, b: np.ndarray) -> np.ndarray:
    """DCN v2 of low rank: x0 * (V (U x) + b) + x."""
    return np.array([x0[i] * (sum((x @ u)[r] * v[r, i] for r in range(len(v))) + b[i]) + x[i] for i in range(len(x))])


def prediction_head(features: np.ndarray, matches: np.ndarray, head: PredictionHead) -> float:
    """Logit of one candidate."""
    x = features
    for layer in head.crosses:
        u, v, b = layer.get_weights()
        x = cross(features, x, u, v, b)
    for layer in head.dense:
        x = dense(x, layer.get_weights(), relu=True)
    return float(dense(x, head.logit.get_weights())[0] + dense(matches, head.wide.get_weights())[0])
