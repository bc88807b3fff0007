"""L_query_item: is this item an answer to this query? (spec section 4)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from seminar_tf.layers.masking import weighted_mean


class RelevanceLoss(tf.keras.layers.Layer):
    """Binary cross-entropy of logit = scale q . item / sqrt(d) + bias, positives up and negatives down."""

    def __init__(self, **kwargs: Any) -> None:
        # In float32 under any policy.
        super().__init__(**{"dtype": "float32", **kwargs})

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        self.bias = self.add_weight(name="bias", shape=(), initializer="zeros")
        super().build(input_shape)

    def logits(self, queries: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Relevance of [..., d] queries and [..., d] gated items: [...]."""
        return self.scale * tf.reduce_sum(queries * items, axis=-1) * queries.shape[-1] ** -0.5 + self.bias

    def call(
        self, queries: tf.Tensor, items: tf.Tensor, valid: tf.Tensor, negatives: tf.Tensor, negative_valid: tf.Tensor
    ) -> tf.Tensor:
        """Mean over positives plus mean over negatives, halved.

        Args:
          queries: [n, d] query vectors.
          items: [n, d] gated items clicked for them (known fault 2: these are to score high).
          valid: [n] bool, False for padding and for pairs with the empty query.
          negatives: [n, d] gated items drawn at random.
          negative_valid: [n] bool, False where the draw is no negative (the same item, padding).

        Returns:
          A float32 scalar, 0 where nothing is valid.
        """
        queries, items, negatives = (tf.cast(x, tf.float32) for x in (queries, items, negatives))
        positive = tf.nn.softplus(-self.logits(queries, items))
        negative = tf.nn.softplus(self.logits(queries, negatives))
        return 0.5 * (weighted_mean(positive, valid) + weighted_mean(negative, valid & negative_valid))
