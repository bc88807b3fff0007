"""Encoders against NumPy, and their treatment of padding and missing modalities."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from seminar_tf.config import ModelConfig
from seminar_tf.encoders.attribute_encoder import AttributeEncoder
from seminar_tf.encoders.image_encoder import ImageEncoder
from seminar_tf.encoders.item_channels import ItemChannels, active_channels
from seminar_tf.encoders.query_encoder import QueryEncoder
from seminar_tf.encoders.text_encoder import TextEncoder
from seminar_tf.encoders.vector_projection import VectorProjection
from tests.models import toy

D = 8


@pytest.mark.parametrize("seed", [0, 1])
def test_query_is_mean_of_tokens_plus_id(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = QueryEncoder(6, D, seed)
    tokens, mask = rng.normal(size=(3, 4, D)).astype(np.float32), rng.random((3, 4)) < 0.5
    mask[0] = False
    found = layer(np.array([1, 2, 5], np.int32), tokens, mask).numpy()
    table, kernel, bias = layer.get_weights()
    for row, number in enumerate((1, 2, 5)):
        mean = tokens[row][mask[row]].mean(0) if mask[row].any() else np.zeros(D)
        np.testing.assert_allclose(found[row], (table[number] + mean) @ kernel + bias, atol=1e-5)
    assert np.abs(found[0]).max() > 0  # the empty query is a learned row, not zeros


@pytest.mark.parametrize("with_ids", [False, True])
def test_attributes_are_mean_plus_id_plus_numeric(with_ids: bool) -> None:
    rng = np.random.default_rng(2)
    layer = AttributeEncoder(5 if with_ids else 0, 7, D)
    ids, attributes = np.array([1, 4], np.int32), np.array([[3, 0, 6], [0, 0, 0]], np.int32)
    numeric = rng.normal(size=(2, 2)).astype(np.float32)
    found = layer(ids, attributes, numeric).numpy()
    table = layer.embedding.get_weights()[0]
    x = np.stack([(table[3] + table[6]) / 2, np.zeros(D)]) + numeric @ layer.numeric.get_weights()[0]
    if with_ids:
        x = x + layer.ids.get_weights()[0][ids]
    kernel, bias = layer.project.get_weights()
    np.testing.assert_allclose(found, x @ kernel + bias, atol=1e-5)


def test_text_ignores_padding_tokens_and_knows_order() -> None:
    rng = np.random.default_rng(0)
    layer = TextEncoder(D, 2, 1, 6)
    tokens, mask = rng.normal(size=(2, 6, D)).astype(np.float32), np.arange(6) < np.array([[6], [3]])
    other = np.where(mask[..., np.newaxis], tokens, 50.0).astype(np.float32)
    np.testing.assert_allclose(layer(tokens, mask), layer(other, mask), atol=1e-5)
    np.testing.assert_allclose(layer(tokens[1:, :3], mask[1:, :3]), layer(tokens, mask)[1:], atol=1e-5)
    turned = tokens[:1, ::-1]
    assert np.abs(layer(turned, mask[:1]) - layer(tokens[:1], mask[:1])).max() > 1e-4


def test_image_patches_are_cut_from_the_right_pixels() -> None:
    rng = np.random.default_rng(0)
    layer = ImageEncoder(D, 2, size=8, patch=4, layers=0)
    pixels = rng.integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    found = layer(pixels).numpy()
    scaled = pixels / 127.5 - 1
    kernel, bias = layer.embed.get_weights()
    patches = [scaled[:, y : y + 4, x : x + 4].reshape(2, -1) for y in (0, 4) for x in (0, 4)]
    x = np.mean([p @ kernel + bias + layer.positions.numpy()[n] for n, p in enumerate(patches)], axis=0)
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(found, x @ layer.project.get_weights()[0], atol=1e-4)
    with pytest.raises(ValueError, match=r"patch \(3\) must divide the image size \(8\)"):
        ImageEncoder(D, 2, size=8, patch=3)


def test_vector_projection_does_not_mind_the_scale() -> None:
    x = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    layer = VectorProjection(D)
    np.testing.assert_allclose(layer(x * 1000), layer(x), atol=1e-2)


@pytest.mark.parametrize(
    "layer",
    [
        QueryEncoder(6, D, 3),
        AttributeEncoder(5, 7, D),
        TextEncoder(D, 2, 1, 6),
        ImageEncoder(D, 2, 8, patch=4),
        VectorProjection(D),
    ],
)
def test_encoders_rebuild_from_their_config(layer: tf.keras.layers.Layer) -> None:
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()


def _channels(items: object, **changes: object) -> ItemChannels:
    config = dataclasses.replace(toy.CONFIG, **changes)
    return ItemChannels(config, toy.SIZES, items, tf.keras.layers.Embedding(toy.SIZES.tokens, D), 1)


@pytest.mark.parametrize("image", ["pixels", "vector"])
def test_missing_modalities_are_masked(image: str) -> None:
    items = toy.item_features(image=image)
    layer = _channels(items)
    vectors, mask = (x.numpy() for x in layer(np.arange(toy.SIZES.items, dtype=np.int32)))
    assert vectors.shape == (toy.SIZES.items, 3, D)
    np.testing.assert_array_equal(mask[:, 0], items.has_text)
    np.testing.assert_array_equal(mask[:, 1], items.has_image)
    np.testing.assert_array_equal(mask[:, 2], np.arange(toy.SIZES.items) > 0)  # OOV rows have an id's vector
    assert not vectors[~mask].any()
    alone, _ = layer(np.array([7], np.int32))
    np.testing.assert_allclose(alone[0], vectors[7], atol=1e-5)


def test_a_supplied_text_vector_joins_the_tokens() -> None:
    items = dataclasses.replace(toy.item_features(), text_vector=np.ones((toy.SIZES.items, 3), np.float32))
    layer = _channels(items)
    assert layer.text is not None and layer.text_vector is not None
    assert layer(np.array([1, 2], np.int32))[0].shape == (2, 3, D)


def test_channels_without_data_are_left_out() -> None:
    none = np.zeros(toy.SIZES.items, bool)
    items = dataclasses.replace(toy.item_features(), has_image=none)
    assert active_channels(ModelConfig(), items) == ("text", "attributes")
    with pytest.raises(ValueError, match="no item has any of them"):
        active_channels(ModelConfig(channels=("image",)), items)
