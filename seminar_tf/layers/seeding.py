"""Seeds for initialisers and stateless draws, all derived from one number by name."""

from __future__ import annotations

import zlib

import tensorflow as tf


def derive(seed: int, name: str) -> int:
    """A seed for `name` under `seed`: the same every time, and unrelated for other names."""
    return zlib.crc32(f"{seed}/{name}".encode()) & 0x7FFFFFFF


def glorot(seed: int, name: str) -> tf.keras.initializers.Initializer:
    """Glorot-uniform initialiser with the seed of `name`."""
    return tf.keras.initializers.GlorotUniform(seed=derive(seed, name))


def normal(seed: int, name: str, stddev: float) -> tf.keras.initializers.Initializer:
    """Normal initialiser with the seed of `name`."""
    return tf.keras.initializers.RandomNormal(stddev=stddev, seed=derive(seed, name))


def fold(step_seed: tf.Tensor, name: str) -> tf.Tensor:
    """A stateless seed for one draw in a step.

    Args:
      step_seed: [2] int32, (model seed, step).
      name: what is drawn; other names give unrelated draws.

    Returns:
      [2] int32 for tf.random.stateless_*.
    """
    folded = tf.random.experimental.stateless_fold_in(step_seed, derive(0, name))
    # Never negative: XLA widens a negative 32-bit seed without its sign, other devices with it.
    return tf.bitwise.bitwise_and(folded, tf.constant(0x7FFFFFFF, folded.dtype))


def integers(step_seed: tf.Tensor, name: str, shape: tf.Tensor, limit: tf.Tensor) -> tf.Tensor:
    """Uniform integers for one draw in a step, the same on every device and under XLA.

    XLA draws a bounded range by other numbers than TensorFlow's kernels do, but whole 32-bit words by the same ones: a
    word times the limit, without its lowest 32 bits, is the integer.

    Args:
      step_seed: [2] int32, (model seed, step).
      name: what is drawn.
      shape: of the result.
      limit: int32 scalar above 0.

    Returns:
      int32 in [0, limit).
    """
    words = tf.random.stateless_uniform(shape, fold(step_seed, name), None, None, tf.uint32)
    scaled = tf.cast(words, tf.int64) * tf.cast(limit, tf.int64)
    return tf.cast(tf.bitwise.right_shift(scaled, tf.constant(32, tf.int64)), tf.int32)
