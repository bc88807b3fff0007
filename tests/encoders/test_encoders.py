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
from tests.encoders import oracle
from tests.layers.oracle import dense, layer_norm, randomize
from tests.models import toy

D = 8


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_query_equals_the_oracle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = QueryEncoder(6, D, seed)
    ids, tokens, mask = np.array([1, 2, 5], np.int32), _normal(rng, 3, 4, D), rng.random((3, 4)) < 0.5
    mask[0] = False
    layer(ids, tokens, mask)
    randomize(layer, seed)
    found = layer(ids, tokens, mask).numpy()
    table, *project = layer.get_weights()
    for row, number in enumerate(ids):
        wanted = oracle.query(number, tokens[row], mask[row], table, project)
        np.testing.assert_allclose(found[row], wanted, atol=1e-5)
    assert np.abs(found[0]).max() > 0  # the empty query is a learned row, not zeros


def test_query_ignores_padding_tokens_wherever_they_are() -> None:
    rng = np.random.default_rng(0)
    layer = QueryEncoder(6, D)
    ids, tokens, mask = np.array([1, 2], np.int32), _normal(rng, 2, 5, D), rng.random((2, 5)) < 0.5
    other = np.where(mask[..., np.newaxis], tokens, 50.0).astype(np.float32)
    wide = np.concatenate([np.full((2, 3, D), 9.0, np.float32), other], axis=1)
    more = np.pad(mask, ((0, 0), (3, 0)))
    np.testing.assert_allclose(layer(ids, wide, more), layer(ids, tokens, mask), atol=1e-5)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("with_ids", [False, True])
@pytest.mark.parametrize("columns", [0, 2])
def test_attributes_equal_the_oracle(seed: int, with_ids: bool, columns: int) -> None:
    rng = np.random.default_rng(seed)
    layer = AttributeEncoder(5 if with_ids else 0, 7, D, seed)
    ids, values = np.array([1, 4], np.int32), np.array([[3, 0, 6], [0, 0, 0]], np.int32)
    numeric = _normal(rng, 2, columns)
    layer(ids, values, numeric)
    randomize(layer, seed)
    found = layer(ids, values, numeric).numpy()
    table, project = layer.embedding.get_weights()[0], layer.project.get_weights()
    scale = layer.numeric.get_weights()[0] if columns else np.zeros((0, D))
    for row in range(2):
        own = layer.ids.get_weights()[0][ids[row]] if with_ids else np.zeros(D)
        wanted = oracle.attributes(values[row], numeric[row], table, scale, own, project)
        np.testing.assert_allclose(found[row], wanted, atol=1e-5)


def test_attributes_ignore_padding_wherever_it_is() -> None:
    layer = AttributeEncoder(5, 7, D)
    ids, numeric = np.array([1, 4], np.int32), np.zeros((2, 0), np.float32)
    short, long = np.array([[3, 6], [2, 0]], np.int32), np.array([[0, 6, 0, 3], [0, 0, 2, 0]], np.int32)
    np.testing.assert_allclose(layer(ids, long, numeric), layer(ids, short, numeric), atol=1e-6)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("layers", [0, 1, 2])
def test_text_equals_the_oracle(seed: int, layers: int) -> None:
    rng = np.random.default_rng(seed)
    layer = TextEncoder(D, 2, layers, 6, seed)
    tokens, mask = _normal(rng, 3, 5, D), np.arange(5) < np.array([[5], [2], [0]])
    layer(tokens, mask)
    randomize(layer, seed)
    found = layer(tokens, mask).numpy()
    ends = layer.norm.get_weights(), layer.project.get_weights()
    for row in range(3):
        wanted = oracle.sequence(tokens[row], mask[row], layer.positions.numpy(), layer.blocks, *ends)
        np.testing.assert_allclose(found[row], wanted, rtol=1e-3, atol=1e-4)


def test_text_ignores_padding_tokens_and_knows_order() -> None:
    rng = np.random.default_rng(0)
    layer = TextEncoder(D, 2, 1, 6)
    tokens, mask = _normal(rng, 2, 6, D), np.arange(6) < np.array([[6], [3]])
    other = np.where(mask[..., np.newaxis], tokens, 50.0).astype(np.float32)
    np.testing.assert_allclose(layer(tokens, mask), layer(other, mask), atol=1e-5)
    np.testing.assert_allclose(layer(tokens[1:, :3], mask[1:, :3]), layer(tokens, mask)[1:], atol=1e-5)
    turned = tokens[:1, ::-1]
    assert np.abs(layer(turned, mask[:1]) - layer(tokens[:1], mask[:1])).max() > 1e-4


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("layers", [0, 1, 2])
def test_image_of_pixels_equals_the_oracle(seed: int, layers: int) -> None:
    rng = np.random.default_rng(seed)
    layer = ImageEncoder(D, 2, layers, patch=4, seed=seed)
    pixels = rng.integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    layer(pixels)
    randomize(layer, seed)
    found = layer(pixels).numpy()
    cut = [oracle.patches(image, 4) for image in pixels]
    np.testing.assert_allclose(layer.cut(pixels), cut, atol=1e-6)
    for row in range(2):
        np.testing.assert_allclose(found[row], _image(layer, cut[row], np.ones(4, bool)), rtol=1e-3, atol=1e-4)
    # The same layer takes patches of the same number and width.
    np.testing.assert_allclose(layer(np.array(cut, np.float32)), found, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("layers", [1, 2])
def test_image_of_patches_equals_the_oracle(seed: int, layers: int) -> None:
    rng = np.random.default_rng(seed)
    layer = ImageEncoder(D, 2, layers, seed=seed)
    patches, mask = _normal(rng, 3, 5, 7), rng.random((3, 5)) < 0.6
    mask[0] = True
    layer(patches, mask)
    randomize(layer, seed)
    found = layer(patches, mask).numpy()
    for row in range(3):
        np.testing.assert_allclose(found[row], _image(layer, patches[row], mask[row]), rtol=1e-3, atol=1e-4)
    other = np.where(mask[..., np.newaxis], patches, 50.0).astype(np.float32)
    np.testing.assert_allclose(layer(other, mask), found, atol=1e-5)
    np.testing.assert_array_equal(layer(patches), layer(patches, np.ones((3, 5), bool)))


def test_image_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"patch \(3\) must divide the image size \(8 x 8\)"):
        ImageEncoder(D, 2, patch=3)(np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match=r"expected pixels \[n, S, S, 3\] or patches \[n, P, D\], got shape \(1, 8\)"):
        ImageEncoder(D, 2)(np.zeros((1, 8), np.float32))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_vector_projection_equals_the_oracle(seed: int) -> None:
    x = 40 * _normal(np.random.default_rng(seed), 4, 5)
    layer = VectorProjection(D, seed)
    layer(x)
    randomize(layer, seed)
    found = layer(x).numpy()
    for row in range(4):
        wanted = dense(layer_norm(x[row], *layer.norm.get_weights()), layer.project.get_weights())
        np.testing.assert_allclose(found[row], wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(layer(x * 1000), found, atol=1e-2)  # the supplier's scale does not matter


def _normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def _image(layer: ImageEncoder, patches: np.ndarray, mask: np.ndarray) -> np.ndarray:
    embedded = np.stack([dense(patch, layer.embed.get_weights()) for patch in patches])
    ends = layer.norm.get_weights(), layer.project.get_weights()
    return oracle.sequence(embedded, mask, layer.positions.numpy(), layer.blocks, *ends)


def _channels(items: object, **changes: object) -> ItemChannels:
    config = dataclasses.replace(toy.CONFIG, **changes)
    return ItemChannels(config, toy.SIZES, items, tf.keras.layers.Embedding(toy.SIZES.tokens, D), 1)


@pytest.mark.parametrize("image", ["pixels", "patches", "vector"])
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
