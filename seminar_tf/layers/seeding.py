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
    return tf.random.experimental.stateless_fold_in(step_seed, derive(0, name))
