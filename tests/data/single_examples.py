"""One tf.train.Example at a time, by protobuf's own classes: the oracle of wire.py, and short to call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import seminar_tf  # noqa: F401  (settles Keras before TensorFlow loads)

# isort: split
import tensorflow as tf

from seminar_tf.data.examples import bytes_feature, float_feature, int_feature, serialize
from seminar_tf.data.sequences import Segments
from seminar_tf.features import names


def segment_example(
    segments: Segments, index: int, span: int, tasks: tuple[str, ...], attributes: Mapping[bytes, list[bytes]]
) -> bytes:
    """Serializes one segment.

    Args:
      segments: the partition's segments.
      index: which one.
      span: newest span that went in.
      tasks: names of the columns of `targets.labels`.
      attributes: `name=value` strings of users that have any.
    """
    pairs, targets = segments.pairs, segments.targets
    user = pairs.users[segments.user[index]]
    held = slice(segments.pair_start[index], segments.pair_start[index + 1])
    asked = slice(segments.target_start[index], segments.target_start[index + 1])
    before = pairs.start[segments.user[index]]
    features = {
        names.USER_ID: bytes_feature([user]),
        names.SPAN: int_feature([span]),
        names.SPLIT: bytes_feature([names.SEGMENT_SPLITS[segments.split[index]].encode()]),
        names.USER_ATTRIBUTES: bytes_feature(attributes.get(user, [])),
        names.SEGMENT_START: int_feature([held.start - before]),
        names.HISTORY_ITEM_ID: bytes_feature(pairs.item.rows(held)),
        names.HISTORY_QUERY: bytes_feature(pairs.query.rows(held)),
        names.HISTORY_TIMESTAMP: int_feature(pairs.timestamp[held].tolist()),
        names.TARGET_POSITION: int_feature(targets.position[asked].tolist()),
        names.TARGET_TIMESTAMP: int_feature(targets.timestamp[asked].tolist()),
        names.TARGET_REQUEST: int_feature(segments.target_request[asked].tolist()),
        names.TARGET_ITEM_ID: bytes_feature(targets.item.rows(asked)),
        names.TARGET_QUERY: bytes_feature(targets.query.rows(asked)),
    }
    for column, task in enumerate(tasks):
        features[names.label(task)] = float_feature(targets.labels[asked, column].tolist())
    return serialize(features)


def item_example(item: Mapping[str, Any], image: bytes | None, count: int) -> bytes:
    """Serializes one catalog item; a feature that the item lacks is an empty list.

    Args:
      item: row of the items table: item_id, and any of title, text, attributes, image_vector, text_vector, numeric_*.
        Its attributes are in their stored form.
      image: raw RGB pixels, or None.
      count: times it is a pair of the train segments.
    """

    def text(name: str) -> tf.train.Feature:
        value = item.get(name)
        return bytes_feature([value.encode("utf-8")] if value else [])

    features = {
        names.ITEM_ID: text("item_id"),
        names.ITEM_TITLE: text("title"),
        names.ITEM_TEXT: text("text"),
        names.ITEM_ATTRIBUTES: bytes_feature([a.encode("utf-8") for a in item.get("attributes") or []]),
        names.ITEM_IMAGE: bytes_feature([] if image is None else [image]),
        names.ITEM_IMAGE_VECTOR: float_feature(item.get("image_vector") or []),
        names.ITEM_TEXT_VECTOR: float_feature(item.get("text_vector") or []),
        names.ITEM_COUNT: int_feature([count]),
    }
    for name, value in item.items():
        if name.startswith("numeric_"):
            known = value is not None and np.isfinite(value)
            features[names.numeric(name.removeprefix("numeric_"))] = float_feature([value] if known else [])
    return serialize(features)


def query_example(query: bytes, count: int) -> bytes:
    """Serializes one known query and how many pairs of the train segments have it."""
    return serialize({names.QUERY: bytes_feature([query]), names.QUERY_COUNT: int_feature([count])})
