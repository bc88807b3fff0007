"""Symmetric distance, as the paper has it: targets are quantized too (spec section 6)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import tensorflow as tf

from seminar_tf.retrieval.codes import looked_up
from seminar_tf.retrieval.exact import gate_weights
from seminar_tf.retrieval.method import Index, SearchMethod
from seminar_tf.retrieval.quantizer import QuantizedTables, quantize
from seminar_tf.retrieval.tables import GsuTables


def halves(tables: GsuTables) -> tuple[GsuTables, GsuTables]:
    """Target and history tables whose plain inner products are the GSU's scores.

    The paper's tables hold inner products of centroids and know nothing of the heads. The heads' matrix A = U D V^T
    goes half to each side: x_t A x = (x_t U D^1/2) (x V D^1/2).
    """
    left, middle, right = np.linalg.svd(tables.fold.astype(np.float64))
    root = np.sqrt(middle)
    sides = (np.asarray(left * root, np.float32), np.asarray(right.T * root, np.float32))
    eye = np.eye(tables.dim, dtype=np.float32)
    target, history = (replace(tables, item=tables.item @ s, query=tables.query @ s, fold=eye) for s in sides)
    return target, history


class Sdc(SearchMethod):
    """sum_i sum_j gamma_i gamma_j sum_b <c_b^(i), c_b^(j)>, all inner products of centroids computed beforehand.

    Args:
      tables: of the model.
      subvectors: S of every channel. size: C. seed: of the k-means.
      collapsed: add the target's channels up before the history is looked at, which takes M+1 times fewer look-ups;
        as published, every pair of channels is looked up. The scores are the same.
    """

    def __init__(
        self, tables: GsuTables, subvectors: int = 8, size: int = 256, seed: int = 0, collapsed: bool = True
    ) -> None:
        super().__init__("sdc_collapsed" if collapsed else "sdc")
        target, history = halves(tables)
        self._target, self._history = (_Side(quantize(t, subvectors, size, seed=seed)[0]) for t in (target, history))
        self._count, self._subvectors, self._collapsed = len(tables.channels), subvectors, collapsed
        products = np.einsum("isce,jske->ijsck", self._target.centroids, self._history.centroids)
        # [(i, s, c), (j, C)]: what a target's code brings with it.
        self._products = tf.constant(np.transpose(products, (0, 2, 3, 1, 4)).astype(np.float32))

    def index(self, items: tf.Tensor, queries: tf.Tensor) -> Index:
        """Codes [B, L, M+1, S] uint8 and gamma [B, L, M+1] float16."""
        codes, gamma = self._history(items, queries)
        return codes, tf.cast(gamma, tf.float16)

    def scores(self, index: Index, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """See SearchMethod."""
        codes, gamma = index
        own, weights = self._target(items, queries)
        # Row of each of the target's codes among the products, [B, N, i, s] -> [B, N, i, s, j, C].
        size = self._products.shape[2]
        first = tf.reshape(tf.range(self._count * self._subvectors) * size, (self._count, self._subvectors))
        rows = tf.reshape(self._products, (-1, self._count, size))
        table = tf.gather(rows, tf.cast(own, tf.int32) + first)
        table = tf.transpose(weights[..., tf.newaxis, tf.newaxis, tf.newaxis] * table, (0, 1, 2, 4, 3, 5))
        if self._collapsed:
            return looked_up(tf.reduce_sum(table, axis=2), codes, gamma)
        return tf.add_n([looked_up(table[:, :, i], codes, gamma) for i in range(self._count)])

    def is_exact(self) -> bool:
        """False."""
        return False

    def bytes_per_pair(self) -> float:
        """A byte a sub-vector of M+1 channels, and their weights in float16."""
        return float(self._count * (self._subvectors + 2))


class _Side:
    """Codes and gate weights of pairs, by id."""

    def __init__(self, codes: QuantizedTables) -> None:
        self.centroids = codes.centroids
        self._item_codes, self._query_codes = tf.constant(codes.item_codes), tf.constant(codes.query_codes)
        self._item_logit, self._query_logit = tf.constant(codes.item_logit), tf.constant(codes.query_logit)

    def __call__(self, items: tf.Tensor, queries: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Ids [...] -> codes [..., M+1, S] and gamma [..., M+1]."""
        codes = tf.concat(
            [tf.gather(self._query_codes, queries)[..., tf.newaxis, :], tf.gather(self._item_codes, items)], -2
        )
        logits = [tf.gather(self._query_logit, queries)[..., tf.newaxis], tf.gather(self._item_logit, items)]
        return codes, gate_weights(tf.concat(logits, axis=-1))
