"""Codes in the loop of fine-tuning: the model learns on the vectors that serving will decode (spec section 6)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from seminar_tf.config import RetrievalConfig
from seminar_tf.layers.product_quantizer import ProductQuantizer


class CodesInLoop(tf.keras.layers.Layer):
    """Replaces fused items and queries by what their codes stand for, with gradients straight through.

    Vectors are quantized as x @ rotation and come back by its inverse; the rotation stays as it was fitted, centroids
    learn by the quantizers' own losses.

    Args:
      dim: d.
      config: sub-vectors, centroids, rotation, commitment.
      seed: of centroids before any are fitted.
    """

    def __init__(self, dim: int, config: RetrievalConfig, seed: int, **kwargs: Any) -> None:
        # In float32 under any policy: which centroid is nearest must not depend on it.
        super().__init__(dtype="float32", **kwargs)
        weighted = config.rotation == "weighted"
        width = config.subvectors * 2 * -(-dim // config.subvectors) if weighted else dim
        self.rotation = self.add_weight(name="rotation", shape=(dim, width), initializer="identity", trainable=False)
        self.back = self.add_weight(name="back", shape=(width, dim), initializer="identity", trainable=False)

        def quantizer(subvectors: int, name: str) -> ProductQuantizer:
            made = ProductQuantizer(
                width, subvectors, config.centroids, config.commitment, seed, name=name, dtype="float32"
            )
            made.build(None)
            return made

        self.item_quantizer = quantizer(config.subvectors, "items")
        self.query_quantizer = quantizer(config.query_subvectors, "queries")

    def items(self, x: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        """Fused items [n, d], present [n] bool -> [n, d]; zeros where not present."""
        return self._coded(self.item_quantizer, x, present)

    def queries(self, x: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        """The same of queries."""
        return self._coded(self.query_quantizer, x, present)

    def _coded(self, quantizer: ProductQuantizer, x: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        rotated = quantizer(tf.cast(x, tf.float32) @ tf.convert_to_tensor(self.rotation), present)
        decoded = tf.where(present[:, tf.newaxis], rotated @ tf.convert_to_tensor(self.back), 0.0)
        return tf.cast(decoded, x.dtype)
