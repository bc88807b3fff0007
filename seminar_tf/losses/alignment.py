"""L_align: CLIP between the item modalities, inside chunks of the sequence (spec section 4)."""

from __future__ import annotations

import itertools
import math
from typing import Any

import tensorflow as tf

from seminar_tf.layers.masking import NEGATIVE, weighted_mean

MAX_SCALE = 100.0


class AlignmentLoss(tf.keras.layers.Layer):
    """Symmetric cross-entropy of unit vectors of two modalities, positives on the diagonal, learned temperature.

    Chunks keep the cost at O(L c) for chunks of c pairs, instead of O(L^2). Known fault 3 is kept out: the targets
    are not scaled by the temperature, padding and missing modalities are masked, a chunk is cut from the padded
    length so that none is empty by construction, and other occurrences of a row's item are not its negatives.

    Args:
      chunk_size: c, pairs of a chunk.
    """

    def __init__(self, chunk_size: int = 128, **kwargs: Any) -> None:
        # In float32 under any policy.
        super().__init__(**{"dtype": "float32", **kwargs})
        self.chunk_size = chunk_size

    def build(self, input_shape: Any) -> None:
        # CLIP's start: temperature 0.07.
        start = tf.keras.initializers.Constant(math.log(1.0 / 0.07))
        self.log_scale = self.add_weight(name="log_scale", shape=(), initializer=start)
        super().build(input_shape)

    def call(self, vectors: tf.Tensor, mask: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Mean over chunks' valid rows, summed over the pairs of modalities.

        Args:
          vectors: [B, L, M, d] item channels, query left out.
          mask: [B, L, M] bool, False for padding and for a modality that the item lacks.
          items: [B, L] int32 item ids, 0 is padding.

        Returns:
          A float32 scalar; 0 where fewer than two modalities are in use.
        """
        modalities = vectors.shape[2]
        vectors = tf.math.l2_normalize(tf.cast(vectors, tf.float32), axis=-1)
        vectors, mask, items = (self._chunk(x) for x in (vectors, mask & (items > 0)[..., tf.newaxis], items))
        same = tf.equal(items[:, :, tf.newaxis], items[:, tf.newaxis, :])
        others = tf.logical_not(same) | tf.eye(tf.shape(items)[1], dtype=tf.bool)
        scale = tf.minimum(tf.exp(self.log_scale), MAX_SCALE)
        total = tf.zeros((), tf.float32)
        # Unstacked once: the gradient of a slice is a tensor of the whole size, of zeros but for the slice.
        modality = tf.unstack(vectors, axis=2)
        for a, b in itertools.combinations(range(modalities), 2):
            valid = mask[..., a] & mask[..., b]
            logits = scale * tf.matmul(modality[a], modality[b], transpose_b=True)
            allowed = others & valid[:, tf.newaxis, :] & valid[:, :, tf.newaxis]
            total += 0.5 * (_cross_entropy(logits, allowed, valid, axis=2) + _cross_entropy(logits, allowed, valid, 1))
        return total

    def _chunk(self, x: tf.Tensor) -> tf.Tensor:
        """[B, L, ...] -> [B * chunks, c, ...], zero-padded at the end of each row."""
        length = tf.shape(x)[1]
        size = tf.maximum(tf.minimum(self.chunk_size, length), 1)
        padded = tf.pad(x, [[0, 0], [0, -length % size]] + [[0, 0]] * (len(x.shape) - 2))
        return tf.reshape(padded, tf.concat([[-1, size], tf.shape(x)[2:]], axis=0))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "chunk_size": self.chunk_size}


def _cross_entropy(logits: tf.Tensor, allowed: tf.Tensor, valid: tf.Tensor, axis: int) -> tf.Tensor:
    """-log softmax of the diagonal over the allowed entries along `axis`, mean over valid rows."""
    normaliser = tf.reduce_logsumexp(tf.where(allowed, logits, NEGATIVE), axis=axis)
    return weighted_mean(normaliser - tf.linalg.diag_part(logits), valid)
