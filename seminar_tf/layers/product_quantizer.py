"""Product quantization inside a model, so that training sees what serving will see (spec section 6)."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from seminar_tf.layers import seeding
from seminar_tf.layers.centroids import decode
from seminar_tf.layers.masking import weighted_mean


@tf.keras.utils.register_keras_serializable(package="seminar_tf")
class ProductQuantizer(tf.keras.layers.Layer):
    """Replaces each of S sub-vectors by the nearest of C centroids of its own.

    Quantized vectors pass gradients straight through to what they stand for. Centroids learn by the codebook loss,
    which draws them to their vectors, and the commitment loss keeps vectors near their centroids (van den Oord et
    al., "Neural Discrete Representation Learning", NeurIPS 2017, equation 3). `call` adds both to the layer's `losses`,
    as Keras layers do; a MultiLossModel must name them among its own (Seminar's "codes" term).

    A vector's codes depend on it alone: the mask is for the losses.

    Args:
      dim: d.
      subvectors: S, which divides d.
      size: C, 256 at most, so that a code is a byte.
      commitment: weight of the commitment loss.
      seed: of the initial centroids; real ones come from `assign` (retrieval/codebook.py fits them).
    """

    def __init__(
        self, dim: int, subvectors: int = 8, size: int = 256, commitment: float = 0.25, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if dim % subvectors:
            raise ValueError(f"ProductQuantizer: subvectors ({subvectors}) must divide dim ({dim}).")
        if not 1 <= size <= 256:
            raise ValueError(f"ProductQuantizer: size is {size}, expected 1 to 256 centroids.")
        self.dim = dim
        self.subvectors = subvectors
        self.size = size
        self.commitment = commitment
        self.seed = seed

    def build(self, input_shape: Any) -> None:
        self.centroids = self.add_weight(
            name="centroids",
            shape=(self.subvectors, self.size, self.dim // self.subvectors),
            initializer=seeding.normal(self.seed, "centroids", 1.0),
        )
        super().build(input_shape)

    def assign(self, centroids: np.ndarray) -> None:
        """Sets the centroids, (S, C, d / S) float32.

        Raises:
          ValueError: another shape.
        """
        if not self.built:
            self.build(None)
        if tuple(centroids.shape) != tuple(self.centroids.shape):
            shapes = f"{tuple(centroids.shape)}, expected {tuple(self.centroids.shape)}"
            raise ValueError(f"ProductQuantizer: centroids have shape {shapes}.")
        self.centroids.assign(centroids)

    def encode(self, x: tf.Tensor) -> tf.Tensor:
        """[..., d] -> [..., S] uint8, the nearest centroid of each sub-vector; the first of equals."""
        centroids = tf.cast(self.centroids, tf.float32)
        parts = tf.reshape(tf.cast(x, tf.float32), (-1, self.subvectors, self.dim // self.subvectors))
        # |x - c|^2 without |x|^2, which is the same for every centroid.
        distance = tf.reduce_sum(centroids**2, axis=-1) - 2.0 * tf.einsum("nse,sce->nsc", parts, centroids)
        codes = tf.cast(tf.argmin(distance, axis=-1, output_type=tf.int32), tf.uint8)
        return tf.reshape(codes, tf.concat([tf.shape(x)[:-1], [self.subvectors]], axis=0))

    def decode(self, codes: tf.Tensor) -> tf.Tensor:
        """[..., S] uint8 -> [..., d]."""
        return decode(tf.convert_to_tensor(self.centroids)[tf.newaxis], codes[..., tf.newaxis, :])[..., 0, :]

    def call(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """The decoded codes of x, through which gradients pass to x.

        Args:
          x: [..., d].
          mask: [...] bool, False for padding, which has no part in the losses; None takes all in.

        Returns:
          [..., d].
        """
        decoded = self.decode(self.encode(x))
        decoded = tf.cast(decoded, x.dtype)
        # Squares in float32 under any policy.
        from_x, from_decoded = (tf.cast(v, tf.float32) for v in (x, decoded))
        drawn = tf.reduce_sum(tf.square(tf.stop_gradient(from_x) - from_decoded), axis=-1)
        committed = tf.reduce_sum(tf.square(from_x - tf.stop_gradient(from_decoded)), axis=-1)
        total = drawn + self.commitment * committed
        self.add_loss(weighted_mean(total, tf.ones_like(total, tf.bool) if mask is None else mask))
        return x + tf.stop_gradient(decoded - x)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dim": self.dim,
            "subvectors": self.subvectors,
            "size": self.size,
            "commitment": self.commitment,
            "seed": self.seed,
        }
