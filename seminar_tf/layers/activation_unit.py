"""DIN's local activation unit: how much a pair counts for a target, without a softmax (arXiv 1706.06978, eq. 3)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from seminar_tf.layers import seeding
from seminar_tf.layers.branching import either
from seminar_tf.layers.distinct import are_shapes_static
from seminar_tf.layers.projection import project

# Hidden values that inference holds at once; beyond, one hidden unit at a time.
_HELD = 1 << 22


@tf.keras.utils.register_keras_serializable(package="seminar_tf")
class ActivationUnit(tf.keras.layers.Layer):
    """a(pair, target) = w PReLU(W [pair, target, pair * target, pair - target] + b) + c, and sum_j a_j pair_j.

    The concatenation is never there: W [p, t, p * t, p - t] = p (W_1 + W_4) + t (W_2 - W_4) + (p * t) W_3, of which the
    first term is computed once a request, the second once a candidate, and the third is one product of the pairs with
    the targets scaled by each column of W_3.

    Args:
      dim: d.
      units: width of the hidden layer.
      scale: constant factor of the sum, which W could hold as well: it keeps sums over many pairs in range at first.
      seed: of the initial weights.
    """

    def __init__(self, dim: int, units: int, scale: float = 1.0, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dim = dim
        self.units = units
        self.scale = scale
        self.seed = seed

    def build(self, input_shape: Any) -> None:
        def kernel(name: str, shape: tuple[int, ...]) -> tf.Variable:
            return self.add_weight(name=name, shape=shape, initializer=seeding.glorot(self.seed, f"{self.name}/{name}"))

        quarter = tf.keras.initializers.Constant(0.25)
        # Rows: pair, target, pair * target, pair - target.
        self.kernel = kernel("kernel", (4 * self.dim, self.units))
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")
        self.slope = self.add_weight(name="slope", shape=(self.units,), initializer=quarter)  # PReLU below 0
        self.output_kernel = kernel("output_kernel", (self.units, 1))
        self.output_bias = self.add_weight(name="output_bias", shape=(), initializer="zeros")
        super().build(input_shape)

    def call(self, target: tf.Tensor, pairs: tf.Tensor, mask: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The sum of the pairs, each times its activation.

        Args:
          target: [B, N, d] candidate pairs.
          pairs: [B, L, d], shared by the row's candidates.
          mask: [B, L] bool, False for padding, wherever it is.
          training: hold all hidden values, as gradients must; in inference, only where they are few.

        Returns:
          [B, N, d]; zeros where there is no pair.
        """
        weights = self.activations(target, pairs, training)
        weights = tf.where(mask[:, tf.newaxis], weights, tf.zeros([], weights.dtype))
        return tf.matmul(weights * tf.cast(self.scale, weights.dtype), pairs)

    def activations(self, target: tf.Tensor, pairs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """a of every candidate and pair, padding too: arguments as in `call` -> [B, N, L]."""
        of_pair, of_target, of_both, of_difference = tf.split(tf.convert_to_tensor(self.kernel), 4, axis=0)
        by_pair = project(pairs, of_pair + of_difference)  # [B, L, u]
        by_target = project(target, of_target - of_difference) + tf.cast(self.bias, target.dtype)  # [B, N, u]
        both, slope = tf.cast(of_both, target.dtype), tf.cast(self.slope, target.dtype)
        out, offset = tf.cast(self.output_kernel[:, 0], target.dtype), tf.cast(self.output_bias, target.dtype)

        def whole() -> tf.Tensor:
            shape = tf.shape(target)
            scaled = tf.einsum("bnd,du->bnud", target, both)
            rows = tf.reshape(scaled, (shape[0], shape[1] * self.units, self.dim))
            hidden = tf.matmul(rows, pairs, transpose_b=True)
            hidden = tf.reshape(hidden, (shape[0], shape[1], self.units, tf.shape(pairs)[1]))
            hidden += by_target[..., tf.newaxis] + tf.transpose(by_pair, (0, 2, 1))[:, tf.newaxis]
            return tf.einsum("bnul,u->bnl", _prelu(hidden, slope[:, tf.newaxis]), out) + offset

        def unit(n: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            hidden = tf.matmul(target * both[:, n], pairs, transpose_b=True)
            hidden += by_target[:, :, n, tf.newaxis] + by_pair[:, tf.newaxis, :, n]
            return n + 1, total + out[n] * _prelu(hidden, slope[n])

        def one_by_one() -> tf.Tensor:
            shape = tf.stack([tf.shape(target)[0], tf.shape(target)[1], tf.shape(pairs)[1]])
            start = (tf.constant(0), tf.zeros(shape, target.dtype))
            shapes = (tf.TensorShape([]), tf.TensorShape([None, None, None]))
            # Serial: parallel iterations would hold what this is to avoid.
            found = tf.while_loop(lambda n, total: n < self.units, unit, start, shapes, parallel_iterations=1)
            return found[1] + offset

        if training or are_shapes_static():
            return whole()
        held = self.units * tf.size(target) // self.dim * tf.shape(pairs)[1]
        return either(held <= _HELD, whole, one_by_one)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dim": self.dim,
            "units": self.units,
            "scale": self.scale,
            "seed": self.seed,
        }


def _prelu(x: tf.Tensor, slope: tf.Tensor) -> tf.Tensor:
    return tf.maximum(x, 0.0) + slope * tf.minimum(x, 0.0)
