"""Negatives are a pure function of their key, never the positive, and follow the asked distribution."""

import numpy as np
import pytest
import tensorflow as tf

from seminar_tf.training.negatives import NegativeSampler, add_negatives, stream_key, uniforms

ITEMS = 30
MASK = (1 << 64) - 1


def sampler(share=0.5, power=0.75, counts=None):
    known = np.zeros(ITEMS + 5, bool)
    known[1 : ITEMS + 1] = True
    counts = np.arange(ITEMS + 5) ** 2 if counts is None else counts
    return NegativeSampler(known, counts, share, power)


def split_mix(bits):
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = (bits ^ (bits >> shift)) * factor & MASK
    return bits ^ (bits >> 31)


def test_uniforms_equal_integer_arithmetic_in_python():
    golden, key = 0x9E3779B97F4A7C15, stream_key(5, "eval", 2)
    found = uniforms(key, tf.constant([0, 7], tf.int64), 3).numpy()
    for row, index in enumerate((0, 7)):
        start = split_mix(key ^ split_mix((index + 1) * golden & MASK))
        wanted = [(split_mix((start + (n + 1) * golden) & MASK) >> 11) * 2.0**-53 for n in range(3)]
        np.testing.assert_array_equal(found[row], wanted)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_negatives_are_known_and_never_the_positive(seed, share):
    positive = tf.constant(np.random.default_rng(seed).integers(1, ITEMS + 5, 400), tf.int32)
    drawn = sampler(share).draw(positive, tf.range(400, dtype=tf.int64), stream_key(seed, "train", 0), 50).numpy()
    assert drawn.min() >= 1 and drawn.max() <= ITEMS
    assert not (drawn == positive.numpy()[:, None]).any()


def test_draws_depend_on_seed_split_epoch_and_request_only():
    index = tf.range(64, dtype=tf.int64)
    positive = tf.ones(64, tf.int32)
    draw = sampler().draw
    base = draw(positive, index, stream_key(1, "train", 0), 20).numpy()
    np.testing.assert_array_equal(base, draw(positive, index, stream_key(1, "train", 0), 20).numpy())
    # A request's negatives do not depend on its batch.
    np.testing.assert_array_equal(base[10:20], draw(positive[10:20], index[10:20], stream_key(1, "train", 0), 20))
    for other in (stream_key(2, "train", 0), stream_key(1, "eval", 0), stream_key(1, "train", 1)):
        assert (draw(positive, index, other, 20).numpy() == base).mean() < 0.2


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_distribution(share):
    draws, positive = 200_000, 30
    counts = np.zeros(ITEMS + 5, np.int64)
    counts[1 : ITEMS + 1] = np.arange(1, ITEMS + 1)
    drawn = sampler(share, 0.75, counts).draw(
        tf.fill([1000], positive), tf.range(1000, dtype=tf.int64), stream_key(0, "train", 0), draws // 1000
    )
    share_of = np.bincount(drawn.numpy().ravel(), minlength=ITEMS + 5) / draws
    weights = counts**0.75 if share else (counts > 0).astype(float)
    weights[positive] = 0
    np.testing.assert_allclose(share_of, weights / weights.sum(), atol=0.004)


def test_an_item_that_holds_all_popularity_falls_back_to_uniform():
    counts = np.zeros(ITEMS + 5, np.int64)
    counts[3] = 100
    drawn = sampler(1.0, 1.0, counts).draw(
        tf.fill([100], 3), tf.range(100, dtype=tf.int64), stream_key(0, "train", 0), 30
    )
    assert len(np.unique(drawn)) == ITEMS - 1


def test_one_known_item_is_refused():
    with pytest.raises(ValueError, match="at least 2 known items"):
        NegativeSampler(np.array([False, True]), np.array([0, 1]), 0.5, 0.75)


def test_negatives_that_clash_with_a_shown_candidate_become_padding():
    items, labels = add_negatives(tf.constant([[4, 9, 0]]), tf.ones([1, 3, 2]), tf.constant([[9, 7]]))
    assert items.numpy().tolist() == [[4, 9, 0, 0, 7]]
    assert np.isnan(labels[0, 3]).all()
    assert labels[0, 4].numpy().tolist() == [0.0, 0.0]
