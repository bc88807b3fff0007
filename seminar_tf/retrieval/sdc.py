"""Symmetric distance, as the paper has it: targets are quantized too (spec section 6)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import tensorflow as tf

from seminar_tf.layers.centroids import code_rows, looked_up
from seminar_tf.retrieval.codes import PairCodes
from seminar_tf.retrieval.method import Index, SearchMethod
from seminar_tf.retrieval.quantizer import quantize
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
        sides = [quantize(side, subvectors, size, seed=seed)[0] for side in halves(tables)]
        self._target, self._history = (PairCodes(side) for side in sides)
        self._collapsed, self._count, self._size = collapsed, len(tables.channels), size
        centroids = [np.concatenate([side.query_centroids[np.newaxis], side.item_centroids]) for side in sides]
        products = np.einsum("isce,jske->isckj", *centroids)
        # Rows by the target's code, as code_rows has them: what that centroid gives with every one of the history's.
        shape = (self._count * subvectors * size, size, self._count)
        self._products = tf.constant(products.reshape(shape).astype(np.float32))

    def index(self, items: tf.Tensor, queries: tf.Tensor) -> Index:
        """Codes [B, L, M+1, S] uint8 and gamma [B, L, M+1] float16."""
        return _side_by_side(self._history(items, queries))

    def scores(self, index: Index, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """See SearchMethod."""
        codes, gamma = index
        own, weights = _side_by_side(self._target(items, queries))
        # [B, N, i, s, C, j] -> [B, N, i, j, s, C].
        table = tf.transpose(tf.gather(self._products, code_rows(own, self._size)), (0, 1, 2, 5, 3, 4))
        table *= tf.cast(weights, tf.float32)[..., tf.newaxis, tf.newaxis, tf.newaxis]
        if self._collapsed:
            return looked_up(tf.reduce_sum(table, axis=2), codes, gamma)
        return tf.add_n([looked_up(table[:, :, i], codes, gamma) for i in range(self._count)])

    def is_exact(self) -> bool:
        """False."""
        return False

    def bytes_per_pair(self) -> float:
        """Its codes and gate weights."""
        return self._history.bytes


def _side_by_side(pairs: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """Codes of all channels, query first, and gamma."""
    items, query, gamma = pairs
    return tf.concat([query, items], axis=-2), gamma
