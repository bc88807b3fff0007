"""The gate against NumPy, and its two-part form against the whole."""

from __future__ import annotations

import numpy as np
import pytest

from seminar_tf.layers.channel_gate import ChannelGate
from tests.layers import oracle

C, D = 4, 6


def _gate(seed: int) -> tuple[ChannelGate, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    layer = ChannelGate(C, D)
    layer.build(None)
    layer.set_weights([rng.normal(size=(C, D)), rng.normal(size=C)])
    x = rng.normal(size=(9, C, D)).astype(np.float32)
    mask = rng.random((9, C)) < 0.6
    mask[0] = False
    mask[1] = True
    return layer, x, mask


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_the_oracle(seed: int) -> None:
    layer, x, mask = _gate(seed)
    found = layer(x, mask).numpy()
    for row in range(len(x)):
        np.testing.assert_allclose(found[row], oracle.gate(x[row], mask[row], *layer.get_weights()), atol=1e-5)
    weights = layer.weights_of(x, mask).numpy()
    np.testing.assert_allclose(weights.sum(-1), mask.any(-1), atol=1e-6)
    assert not weights[~mask].any()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_query_and_item_parts_combine_to_the_whole_softmax(seed: int) -> None:
    layer, x, mask = _gate(seed)
    query = layer.fuse(x[:, :1], mask[:, :1], first=0)
    item = layer.fuse(x[:, 1:], mask[:, 1:], first=1)
    np.testing.assert_allclose(layer.combine(*item, *query), layer(x, mask), atol=1e-5)


def test_a_missing_channel_changes_nothing() -> None:
    layer, x, mask = _gate(4)
    other = np.where(mask[..., np.newaxis], x, 1e3).astype(np.float32)
    np.testing.assert_allclose(layer(other, mask), layer(x, mask), atol=1e-5)


def test_without_learning_present_channels_weigh_the_same() -> None:
    _, x, mask = _gate(5)
    layer = ChannelGate(C, D, learned=False)
    np.testing.assert_allclose(layer(x[1:2], mask[1:2]), x[1:2].mean(1), atol=1e-6)
    assert not layer.weights
    assert ChannelGate.from_config(layer.get_config()).learned is False
