"""Every public layer goes through a saved config: registered by name, complete, and the same function afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import seminar_tf.encoders
import seminar_tf.layers
from seminar_tf.encoders import AttributeEncoder, ImageEncoder, QueryEncoder, TextEncoder, VectorProjection
from seminar_tf.layers import (
    ActivationUnit,
    ChannelGate,
    CrossFeatureBias,
    ExactSearchUnit,
    InterestUnit,
    PositionBias,
    PredictionHead,
    ProductQuantizer,
    QuantizedTargetAttention,
    RecencyBias,
    SearchUnit,
    ShortBranch,
    SimHash,
    StatelessDropout,
    TargetAttention,
    TransformerBlock,
)
from tests.layers import oracle

B, N, L, D, H = 2, 3, 6, 8, 2
RNG = np.random.default_rng(0)
TARGET, PAIRS, CHOSEN = (RNG.normal(size=shape).astype(np.float32) for shape in ((B, N, D), (B, L, D), (B, N, L, D)))
MASK = np.arange(L) < np.array([[6], [4]])
GAP, POSITION = RNG.integers(0, 10**9, (B, L)), np.tile(np.arange(L, dtype=np.int32), (B, 1))
WINDOWS = [np.repeat(x[:, np.newaxis], 2, axis=1) for x in (MASK, GAP, POSITION)]
IDS = np.array([1, 3], np.int32)
PIXELS = RNG.integers(0, 256, (B, 8, 8, 3)).astype(np.uint8)

# Arguments that differ from every default, and inputs.
LAYERS: list[tuple[type, dict[str, Any], tuple[Any, ...]]] = [
    (QueryEncoder, {"queries": 5, "dim": D, "seed": 3}, (IDS, PAIRS, MASK)),
    (TextEncoder, {"dim": D, "heads": H, "layers": 2, "max_tokens": 9, "seed": 3}, (PAIRS, MASK)),
    (ImageEncoder, {"dim": D, "heads": H, "layers": 2, "patch": 4, "seed": 3}, (PIXELS,)),
    (ImageEncoder, {"dim": D, "heads": 4, "layers": 0, "patch": 2, "seed": 4}, (PAIRS, MASK)),
    (VectorProjection, {"dim": D, "seed": 3}, (PAIRS[:, 0],)),
    (AttributeEncoder, {"items": 6, "attributes": 9, "dim": D, "seed": 3}, (IDS, POSITION, PAIRS[:, 0])),
    (AttributeEncoder, {"items": 0, "attributes": 9, "dim": D, "seed": 4}, (IDS, POSITION, PAIRS[:, 0, :0])),
    (ChannelGate, {"channels": L, "dim": D, "learned": True}, (PAIRS, MASK)),
    (ChannelGate, {"channels": L, "dim": D, "learned": False}, (PAIRS, MASK)),
    (TargetAttention, {"dim": D, "heads": H, "seed": 3}, (TARGET, PAIRS, MASK)),
    (TargetAttention, {"dim": D, "heads": H, "seed": 3, "key_dim": 5}, (TARGET, PAIRS[..., :5], MASK)),
    (ActivationUnit, {"dim": D, "units": 3, "scale": 0.5, "seed": 3}, (TARGET, PAIRS, MASK)),
    (SimHash, {"dim": D, "bits": 7, "seed": 3}, (PAIRS,)),
    (CrossFeatureBias, {"heads": H, "recency": True, "category": True, "seed": 3}, (GAP, POSITION, MASK, ~MASK)),
    (CrossFeatureBias, {"heads": H, "recency": False, "category": False, "seed": 4}, (GAP, POSITION, MASK)),
    (SearchUnit, {"dim": D, "heads": H, "top_k": 4, "shared": False}, (TARGET, PAIRS, MASK)),
    (ExactSearchUnit, {"dim": D, "heads": H, "seed": 3}, (TARGET, CHOSEN, np.repeat(MASK[:, None], N, axis=1))),
    (ProductQuantizer, {"dim": D, "subvectors": 2, "size": 5, "commitment": 0.5, "seed": 3}, (PAIRS,)),
    (
        QuantizedTargetAttention,
        {"dim": D, "heads": H, "channels": 2, "subvectors": 2, "size": 5, "commitment": 0.5, "seed": 3},
        (TARGET, (np.stack([PAIRS, PAIRS[:, ::-1]], axis=2), np.full((B, L, 2), 0.5, np.float32)), MASK),
    ),
    (RecencyBias, {"heads": H}, (GAP, POSITION)),
    (PositionBias, {"heads": H}, (POSITION,)),
    (ShortBranch, {"dim": D, "heads": H, "use_recency": True, "seed": 3}, (TARGET, PAIRS, MASK, GAP, POSITION)),
    (ShortBranch, {"dim": D, "heads": H, "use_recency": False, "seed": 4}, (TARGET, PAIRS, MASK, GAP, POSITION)),
    (InterestUnit, {"dim": D, "heads": H, "use_recency": True, "seed": 3}, (PAIRS, *WINDOWS)),
    (InterestUnit, {"dim": D, "heads": H, "use_recency": False, "seed": 4}, (PAIRS, *WINDOWS)),
    (InterestUnit, {"dim": D, "heads": H, "use_recency": True, "layers": 2, "seed": 3}, (PAIRS, *WINDOWS)),
    (
        PredictionHead,
        {"hidden_units": (5, 3), "cross_layers": 2, "cross_dim": 4, "dropout": 0.3, "seed": 3},
        (PAIRS, TARGET[:, :1].repeat(L, axis=1), tf.constant([1, 2])),
    ),
    (StatelessDropout, {"rate": 0.4}, (PAIRS, tf.constant([1, 2]))),
    (TransformerBlock, {"dim": D, "heads": H, "seed": 3}, (PAIRS, MASK)),
]


def _name(value: object) -> str | None:
    return value.__name__ if isinstance(value, type) else None


@pytest.mark.parametrize("layer_class, arguments, inputs", LAYERS, ids=_name)
def test_a_saved_config_gives_the_same_layer(
    layer_class: Callable[..., tf.keras.layers.Layer], arguments: dict[str, Any], inputs: tuple[Any, ...]
) -> None:
    layer = layer_class(**arguments)
    assert {name: layer.get_config()[name] for name in arguments} == arguments
    layer(*inputs)
    oracle.randomize(layer, 1)
    saved = json.dumps(tf.keras.layers.serialize(layer))
    assert f'"seminar_tf>{layer_class.__name__}"' in saved
    # Without `custom_objects`: the name that the class is registered under is all that a loader has.
    again = tf.keras.layers.deserialize(json.loads(saved))
    assert type(again) is layer_class
    assert json.loads(json.dumps(again.get_config())) == json.loads(json.dumps(layer.get_config()))
    again(*inputs)
    described = [(v.name.split("/")[-1], v.shape, v.trainable) for v in layer.weights]
    assert [(v.name.split("/")[-1], v.shape, v.trainable) for v in again.weights] == described
    again.set_weights(layer.get_weights())
    tf.nest.map_structure(np.testing.assert_array_equal, again(*inputs), layer(*inputs))


@pytest.mark.parametrize("layer_class, arguments, inputs", LAYERS, ids=_name)
def test_the_seed_and_the_name_settle_the_start(
    layer_class: Callable[..., tf.keras.layers.Layer], arguments: dict[str, Any], inputs: tuple[Any, ...]
) -> None:
    first, again = layer_class(**arguments, name="a"), layer_class(**arguments, name="a")
    tf.nest.map_structure(np.testing.assert_array_equal, first(*inputs), again(*inputs))


@pytest.mark.parametrize("layer_class, arguments, inputs", LAYERS, ids=_name)
def test_fault_01_every_weight_in_use_is_trained(
    layer_class: Callable[..., tf.keras.layers.Layer], arguments: dict[str, Any], inputs: tuple[Any, ...]
) -> None:
    """A kernel in a plain list is used and watched by the tape, but is none of the layer's trainable variables."""
    layer = layer_class(**arguments)
    layer(*inputs)
    oracle.randomize(layer, 1)
    with tf.GradientTape() as tape:
        outputs = [x for x in tf.nest.flatten(layer(*inputs)) if x.dtype.is_floating]
        # Centroids learn by a loss of their own.
        total = tf.add_n([*(tf.reduce_sum(tf.sin(x)) for x in outputs), *layer.losses, tf.zeros(())])
    mine = {v.ref(): v.name for v in layer.trainable_variables}
    assert {v.ref() for v in tape.watched_variables()} == set(mine)
    if layer_class is SearchUnit:
        assert not mine and len(layer.weights) == 2  # selection has no gradient: W^Q and W^K come from pretraining
        return
    for variable, gradient in zip(layer.trainable_variables, tape.gradient(total, layer.trainable_variables)):
        assert gradient is not None, variable.name
        assert np.abs(tf.convert_to_tensor(gradient).numpy()).max() > 0, variable.name


def test_no_public_layer_is_left_out() -> None:
    """ItemChannels is made of a whole catalog: its encoders are saved, not it."""
    public = {*seminar_tf.layers.__all__, *seminar_tf.encoders.__all__} - {"ItemChannels"}
    assert public == {layer_class.__name__ for layer_class, _, _ in LAYERS}


def test_a_model_made_of_the_layers_is_saved_and_loaded_whole(tmp_path: Any) -> None:
    tokens, mask = tf.keras.Input((L, D)), tf.keras.Input((L,), dtype=tf.bool)
    encoded = TextEncoder(D, H, 1, L, seed=2)(tokens, mask)
    model = tf.keras.Model([tokens, mask], VectorProjection(4)(encoded))
    oracle.randomize(model, 5)
    model.save(tmp_path / "model.keras")
    again = tf.keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again([PAIRS, MASK]), model([PAIRS, MASK]))
