"""Catalog and query arrays hold what their records say, by id, and mark what an item lacks."""

import numpy as np
import pytest

from seminar_tf.config import FeatureConfig
from seminar_tf.data.dataset import DatasetSpec
from seminar_tf.features import names
from seminar_tf.features.vocabulary import FeatureSizes
from seminar_tf.training.catalog import load_items, load_queries
from seminar_tf.training.records import RecordError
from tests.training.corpus import write_records

CONFIG = FeatureConfig(item_oov_buckets=2, query_oov_buckets=2, max_title_tokens=3, max_attributes=2, image_size=2)
SIZES = FeatureSizes(items=1 + 4 + 2, queries=2 + 3 + 2, tokens=20, attributes=9)


def write_items(tmp_path, **first):
    pixels = bytes(range(12))
    rows = [
        {names.ITEM_ID: [2], names.ITEM_TOKENS: [5, 6, 7, 8], names.ITEM_COUNT: [9], names.ITEM_IMAGE: [pixels]},
        {names.ITEM_ID: [4], names.ITEM_ATTRIBUTES: [1, 2, 3], names.ITEM_COUNT: [1], names.numeric("year"): [0.5]},
        {names.ITEM_ID: [1], names.ITEM_COUNT: [0], names.numeric("year"): [float("nan")]},
        # Two items that share an OOV bucket.
        {names.ITEM_ID: [6], names.ITEM_TOKENS: [3], names.ITEM_COUNT: [2]},
        {names.ITEM_ID: [6], names.ITEM_TOKENS: [4], names.ITEM_COUNT: [3]},
    ]
    rows[0] |= first
    path = str(tmp_path / "items.gz")
    write_records(path, rows)
    return [path]


def test_items(tmp_path):
    items = load_items(write_items(tmp_path), SIZES, CONFIG, DatasetSpec((1,), numeric=("year",), image="pixels"))
    assert items.tokens.tolist() == [[0] * 3, [0] * 3, [5, 6, 7], [0] * 3, [0] * 3, [0] * 3, [0] * 3]
    assert items.attributes[4].tolist() == [1, 2] and items.attributes.sum() == 3
    assert items.numeric[:, 0].tolist() == [0, 0, 0, 0, 0.5, 0, 0]
    assert items.image.shape == (7, 2, 2, 3) and items.image[2].ravel().tolist() == list(range(12))
    assert np.flatnonzero(items.has_text).tolist() == [2]
    assert np.flatnonzero(items.has_image).tolist() == [2]
    assert np.flatnonzero(items.has_attributes).tolist() == [4]
    assert np.flatnonzero(items.known).tolist() == [1, 2, 3, 4]
    assert items.count.tolist() == [0, 0, 9, 0, 1, 0, 5]
    assert items.text_vector.shape == (7, 0)


def test_vectors(tmp_path):
    files = write_items(tmp_path, **{names.ITEM_IMAGE_VECTOR: [1.0, 2.0], names.ITEM_TEXT_VECTOR: [3.0]})
    items = load_items(files, SIZES, CONFIG, DatasetSpec((1,), image="vector", image_dim=2, text_dim=1))
    assert items.image[2].tolist() == [1, 2] and items.has_image.sum() == 1
    assert items.text_vector[2].tolist() == [3] and items.numeric.shape == (7, 0)
    with pytest.raises(RecordError, match="item 2: its image vector has 2 numbers, expected 3"):
        load_items(files, SIZES, CONFIG, DatasetSpec((1,), image="vector", image_dim=3, text_dim=1))


def test_ids_of_another_vocabulary_are_refused(tmp_path):
    with pytest.raises(RecordError, match=r"item_id 1 to 7 found, expected 1 to 6"):
        load_items(write_items(tmp_path, **{names.ITEM_ID: [7]}), SIZES, CONFIG, DatasetSpec((1,)))


def test_images_of_another_size_are_refused(tmp_path):
    with pytest.raises(RecordError, match="12 bytes, expected 27"):
        other = FeatureConfig(item_oov_buckets=2, image_size=3)
        load_items(write_items(tmp_path), SIZES, other, DatasetSpec((1,), image="pixels"))


def test_queries(tmp_path):
    path = str(tmp_path / "queries.gz")
    write_records(path, [{names.QUERY: [3], names.QUERY_TOKENS: [4, 5], names.QUERY_COUNT: [6]}])
    queries = load_queries([path], SIZES, CONFIG)
    assert queries.tokens[3, :3].tolist() == [4, 5, 0] and queries.tokens.sum() == 9
    assert np.flatnonzero(queries.known).tolist() == [2, 3, 4]
    assert queries.count.tolist() == [0, 0, 0, 6, 0, 0, 0]
    assert load_queries([], SIZES, CONFIG).count.sum() == 0
