"""Loads the catalog and the queries from their transformed splits, as arrays by id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from seminar_tf.config import FeatureConfig
from seminar_tf.data.dataset import DatasetSpec
from seminar_tf.features import names
from seminar_tf.features.tables import ItemFeatures, QueryFeatures
from seminar_tf.features.vocabulary import FeatureSizes
from seminar_tf.training.records import PARSE_BATCH, RecordError, record_dataset

RGB = 3


def load_items(files: Sequence[str], sizes: FeatureSizes, config: FeatureConfig, spec: DatasetSpec) -> ItemFeatures:
    """Reads the catalog.

    Args:
      files: GZIP TFRecord files of the transformed catalog.
      sizes: rows of the id spaces.
      config: widths and OOV buckets.
      spec: modalities of the dataset.

    Returns:
      One row an item id. Items without an id of their own share OOV rows, which keep only their counts.

    Raises:
      RecordError: an id outside the id space, or an image or vector of another size than the spec says.
    """
    rows = sizes.items
    tokens = np.zeros((rows, config.max_title_tokens), np.int32)
    attributes = np.zeros((rows, config.max_attributes), np.int32)
    numeric = np.zeros((rows, len(spec.numeric)), np.float32)
    image = _image_table(rows, config, spec)
    text_vector = np.zeros((rows, spec.text_dim), np.float32)
    has_text, has_image, has_attributes = (np.zeros(rows, bool) for _ in range(3))
    known = _known(rows, names.FIRST_ITEM_ID, config.item_oov_buckets)
    count = np.zeros(rows, np.int64)

    for batch in _read(files, _item_features(spec)):
        ids = _ids(batch, names.ITEM_ID, rows)
        np.add.at(count, ids, _first(batch, names.ITEM_COUNT, np.int64))
        for row, item in enumerate(ids.tolist()):
            if not known[item]:
                continue
            has_text[item] = _put(tokens[item], batch[names.ITEM_TOKENS][row])
            has_attributes[item] = _put(attributes[item], batch[names.ITEM_ATTRIBUTES][row])
            for column, name in enumerate(spec.numeric):
                values = batch[names.numeric(name)][row]
                if len(values) and np.isfinite(values[0]):
                    numeric[item, column] = values[0]
                    has_attributes[item] = True
            if spec.text_dim:
                has_text[item] |= _put_vector(text_vector[item], batch[names.ITEM_TEXT_VECTOR][row], item, "text")
            if spec.image == "vector":
                has_image[item] = _put_vector(image[item], batch[names.ITEM_IMAGE_VECTOR][row], item, "image")
            elif spec.image == "pixels":
                has_image[item] = _put_pixels(image[item], batch[names.ITEM_IMAGE][row], item)
    return ItemFeatures(
        tokens, attributes, numeric, image, text_vector, has_text, has_image, has_attributes, known, count
    )


def load_queries(files: Sequence[str], sizes: FeatureSizes, config: FeatureConfig) -> QueryFeatures:
    """Reads the known queries.

    Args:
      files: GZIP TFRecord files of the transformed queries; none where the dataset has no search.
      sizes: rows of the id spaces.
      config: widths and OOV buckets.

    Returns:
      One row a query id.

    Raises:
      RecordError: an id outside the id space.
    """
    tokens = np.zeros((sizes.queries, config.max_query_tokens), np.int32)
    known = _known(sizes.queries, names.FIRST_QUERY_ID, config.query_oov_buckets)
    count = np.zeros(sizes.queries, np.int64)
    if files:
        features = {name: _ragged(name, tf.int64) for name in (names.QUERY, names.QUERY_TOKENS, names.QUERY_COUNT)}
        for batch in _read(files, features):
            ids = _ids(batch, names.QUERY, sizes.queries)
            np.add.at(count, ids, _first(batch, names.QUERY_COUNT, np.int64))
            for row, query in enumerate(ids.tolist()):
                if known[query]:
                    _put(tokens[query], batch[names.QUERY_TOKENS][row])
    return QueryFeatures(tokens, known, count)


def _item_features(spec: DatasetSpec) -> dict[str, tf.io.RaggedFeature]:
    integers = (names.ITEM_ID, names.ITEM_COUNT, names.ITEM_TOKENS, names.ITEM_ATTRIBUTES)
    floats = [names.numeric(name) for name in spec.numeric]
    if spec.text_dim:
        floats.append(names.ITEM_TEXT_VECTOR)
    if spec.image == "vector":
        floats.append(names.ITEM_IMAGE_VECTOR)
    features = {name: _ragged(name, tf.int64) for name in integers}
    features |= {name: _ragged(name, tf.float32) for name in floats}
    if spec.image == "pixels":
        features[names.ITEM_IMAGE] = _ragged(names.ITEM_IMAGE, tf.string)
    return features


def _read(files: Sequence[str], features: dict[str, tf.io.RaggedFeature]) -> Iterator[dict[str, list[np.ndarray]]]:
    """Parsed batches: feature name -> one array a row."""
    dataset = record_dataset(files).batch(PARSE_BATCH)
    dataset = dataset.map(lambda batch: tf.io.parse_example(batch, features), num_parallel_calls=tf.data.AUTOTUNE)
    for batch in dataset.prefetch(2):
        yield {name: np.split(ragged.values.numpy(), ragged.row_splits.numpy()[1:-1]) for name, ragged in batch.items()}


def _ids(batch: dict[str, list[np.ndarray]], name: str, rows: int) -> np.ndarray:
    ids = _first(batch, name, np.int64)
    if len(ids) and not (ids.min() > 0 and ids.max() < rows):
        raise RecordError(
            f"{name} {ids.min()} to {ids.max()} found, expected 1 to {rows - 1}: the catalog or queries were "
            "transformed with other vocabularies or other features.*_oov_buckets."
        )
    return ids


def _first(batch: dict[str, list[np.ndarray]], name: str, dtype: type) -> np.ndarray:
    """The single value of a feature in every row; 0 where it is missing."""
    return np.array([values[0] if len(values) else 0 for values in batch[name]], dtype)


def _put(row: np.ndarray, values: np.ndarray) -> bool:
    """Writes as many values as the row holds; says whether there was any."""
    kept = values[: len(row)]
    row[: len(kept)] = kept
    return len(kept) > 0


def _put_vector(row: np.ndarray, values: np.ndarray, item: int, what: str) -> bool:
    if len(values) not in (0, len(row)):
        raise RecordError(f"item {item}: its {what} vector has {len(values)} numbers, expected {len(row)}.")
    return _put(row, values)


def _put_pixels(row: np.ndarray, values: np.ndarray, item: int) -> bool:
    if not len(values) or not values[0]:
        return False
    if len(values[0]) != row.size:
        raise RecordError(
            f"item {item}: its image has {len(values[0])} bytes, expected {row.size} "
            f"({row.shape[0]} x {row.shape[1]} x {RGB}): was features.image_size changed after ingestion?"
        )
    row[...] = np.frombuffer(values[0], np.uint8).reshape(row.shape)
    return True


def _image_table(rows: int, config: FeatureConfig, spec: DatasetSpec) -> np.ndarray:
    if spec.image == "pixels":
        return np.zeros((rows, config.image_size, config.image_size, RGB), np.uint8)
    return np.zeros((rows, spec.image_dim if spec.image == "vector" else 0), np.float32)


def _known(rows: int, first: int, oov: int) -> np.ndarray:
    known = np.zeros(rows, bool)
    known[first : rows - oov] = True
    return known


def _ragged(name: str, dtype: tf.DType) -> tf.io.RaggedFeature:
    return tf.io.RaggedFeature(dtype, value_key=name, row_splits_dtype=tf.int64)
