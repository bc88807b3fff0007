"""The K largest by blocks: tf.math.top_k's own choice, ties included."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from seminar_tf.layers.largest import largest


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("k", [1, 5, 20])
@pytest.mark.parametrize("length", [20, 160, 1_000, 1_003])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_what_top_k_chooses(seed, length, k, known):
    rng = np.random.default_rng(seed)
    # Few values, so that many are equal; whole rows of one value, and rows that are mostly padding.
    scores = rng.integers(0, 40, (2, 4, length)).astype(np.float32)
    scores[0, 1] = 3.0
    scores[1, 2, 7:] = -1e9
    shape = (2, 4, length) if known else (None, None, None)
    found = tf.function(lambda s: largest(s, k), input_signature=[tf.TensorSpec(shape, tf.float32)])(scores)
    wanted = tf.math.top_k(scores, k).indices
    np.testing.assert_array_equal(found, wanted)


def test_k_may_be_known_in_the_graph_only():
    scores = np.random.default_rng(0).normal(size=(3, 500)).astype(np.float32)
    found = tf.function(lambda s, k: largest(s, k))(scores, tf.constant(7))
    np.testing.assert_array_equal(found, tf.math.top_k(scores, 7).indices)
