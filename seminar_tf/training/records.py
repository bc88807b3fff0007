"""Reads transformed segments (TFRecord of tf.Example) as flat arrays: values of all segments, with offsets.

Flat arrays instead of padded ones: a user may have ten pairs or twenty thousand, and windows are cut from them by
index arithmetic (training/windows.py).
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from seminar_tf.features import names

PARSE_BATCH = 256


class RecordError(ValueError):
    """Files or records that cannot be read; the message names them and says what was expected."""


class Segments(NamedTuple):
    """S segments with P pairs and C targets in all. Tensors inside tf.data, NumPy arrays once loaded.

    Attributes:
      user_id: (S,) bytes.
      start: (S,) int64, position of the first pair in the user's whole sequence.
      pair_splits: (S+1,) int64, pairs of segment s are [pair_splits[s], pair_splits[s+1]).
      item, query: (P,) int32 ids. timestamp: (P,) int64, ms since 1970.
      attribute_splits: (S+1,) int64. attribute: (U,) int32, the users' attribute ids.
      target_splits: (S+1,) int64.
      target_position: (C,) int64, the target sees pairs [0, position) of the user's whole sequence.
      target_item, target_query: (C,) int32 ids. target_timestamp: (C,) int64, ms since 1970.
      target_request: (C,) int64, number of the logged request within the segment.
      label: (C, tasks) float32, NaN is unknown.
    """

    user_id: tf.Tensor
    start: tf.Tensor
    pair_splits: tf.Tensor
    item: tf.Tensor
    query: tf.Tensor
    timestamp: tf.Tensor
    attribute_splits: tf.Tensor
    attribute: tf.Tensor
    target_splits: tf.Tensor
    target_position: tf.Tensor
    target_item: tf.Tensor
    target_query: tf.Tensor
    target_timestamp: tf.Tensor
    target_request: tf.Tensor
    label: tf.Tensor


_SPLITS = ("pair_splits", "attribute_splits", "target_splits")


def list_files(patterns: Iterable[str]) -> list[str]:
    """Files that match any of the patterns, sorted.

    Raises:
      RecordError: nothing matches.
    """
    patterns = list(patterns)
    files = sorted({file for pattern in patterns for file in glob.glob(pattern)})
    if not files:
        raise RecordError(f"no file matches {', '.join(patterns)}: was the split written by Transform?")
    return files


def split_patterns(train_patterns: Iterable[str], split: str) -> list[str]:
    """Patterns of a sibling split: `Split-train` in each pattern becomes `Split-<split>`.

    Raises:
      RecordError: a pattern has no `Split-train` folder.
    """
    siblings = []
    for pattern in train_patterns:
        head, found, tail = pattern.rpartition("Split-train")
        if not found:
            raise RecordError(f"{pattern}: expected a folder named Split-train, whose siblings hold the other splits.")
        siblings.append(f"{head}Split-{split}{tail}")
    return siblings


def record_dataset(files: Sequence[str]) -> tf.data.Dataset:
    """Serialized examples of GZIP TFRecord files, in the order of the files."""
    return untuned(tf.data.TFRecordDataset(list(files), compression_type="GZIP"))


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The dataset, and all that is made of it, without tf.data's autotuner.

    The tuner's thread sleeps longer and longer between two looks, up to a minute, and whoever lets go of an iterator
    waits until it wakes: half a minute of nothing at the end of a long epoch (TensorFlow 2.16).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def parse_segments(serialized: tf.Tensor, tasks: Sequence[str]) -> Segments:
    """Parses a batch of transformed segments.

    Args:
      serialized: (S,) string, tf.Examples.
      tasks: label tasks, in the order of the label columns.

    Returns:
      The segments, as tensors.

    Raises:
      tf.errors.InvalidArgumentError: an example lacks user_id or segment_start, or its parallel lists differ in
        length.
    """
    pairs = (names.HISTORY_ITEM_ID, names.HISTORY_QUERY, names.HISTORY_TIMESTAMP)
    targets = (
        names.TARGET_ITEM_ID,
        names.TARGET_QUERY,
        names.TARGET_TIMESTAMP,
        names.TARGET_POSITION,
        names.TARGET_REQUEST,
    )
    labels = tuple(names.label(task) for task in tasks)
    ragged = (*pairs, *targets, names.USER_ATTRIBUTES)
    features = {name: _ragged(name, tf.int64) for name in ragged}
    features |= {name: _ragged(name, tf.float32) for name in labels}
    features[names.USER_ID] = tf.io.FixedLenFeature([], tf.string)
    features[names.SEGMENT_START] = tf.io.FixedLenFeature([], tf.int64)
    parsed = tf.io.parse_example(serialized, features)

    pair_splits = parsed[names.HISTORY_ITEM_ID].row_splits
    target_splits = parsed[names.TARGET_ITEM_ID].row_splits
    for name in pairs[1:]:
        _check_lengths(parsed[name], pair_splits, name, names.HISTORY_ITEM_ID)
    for name in (*targets[1:], *labels):
        _check_lengths(parsed[name], target_splits, name, names.TARGET_ITEM_ID)

    def ids(name: str) -> tf.Tensor:
        return tf.cast(parsed[name].values, tf.int32)

    return Segments(
        user_id=parsed[names.USER_ID],
        start=parsed[names.SEGMENT_START],
        pair_splits=pair_splits,
        item=ids(names.HISTORY_ITEM_ID),
        query=ids(names.HISTORY_QUERY),
        timestamp=parsed[names.HISTORY_TIMESTAMP].values,
        attribute_splits=parsed[names.USER_ATTRIBUTES].row_splits,
        attribute=ids(names.USER_ATTRIBUTES),
        target_splits=target_splits,
        target_position=parsed[names.TARGET_POSITION].values,
        target_item=ids(names.TARGET_ITEM_ID),
        target_query=ids(names.TARGET_QUERY),
        target_timestamp=parsed[names.TARGET_TIMESTAMP].values,
        target_request=parsed[names.TARGET_REQUEST].values,
        label=tf.stack([parsed[name].values for name in labels], axis=1),
    )


def read_segments(files: Sequence[str], tasks: Sequence[str]) -> Iterable[Segments]:
    """Parses files batch by batch.

    Args:
      files: GZIP TFRecord files.
      tasks: label tasks.

    Yields:
      Segments of at most PARSE_BATCH users, as NumPy arrays.
    """
    dataset = record_dataset(files).batch(PARSE_BATCH)
    dataset = dataset.map(_parser(tuple(tasks)), num_parallel_calls=tf.data.AUTOTUNE)
    yield from dataset.prefetch(2).as_numpy_iterator()


@lru_cache
def _parser(tasks: tuple[str, ...]) -> Callable[[tf.Tensor], Segments]:
    """`parse_segments`, traced once for all that is read: for small data, tracing is most of the reading."""
    signature = [tf.TensorSpec([None], tf.string)]
    traced: Callable[[tf.Tensor], Segments] = tf.function(
        lambda batch: parse_segments(batch, tasks), input_signature=signature, autograph=False
    )
    return traced


def concatenate(parts: Sequence[Segments]) -> Segments:
    """Joins batches of segments (NumPy arrays) to one.

    Raises:
      RecordError: there is no part.
    """
    if not parts:
        raise RecordError("no segment to read: the files of the split are empty.")

    def joined(field: str) -> np.ndarray:
        arrays = [np.asarray(getattr(part, field)) for part in parts]
        if field not in _SPLITS:
            return np.concatenate(arrays)
        ends = np.cumsum([0] + [int(a[-1]) for a in arrays])
        return np.concatenate([[0]] + [a[1:] + end for a, end in zip(arrays, ends)]).astype(np.int64)

    return Segments(**{field: joined(field) for field in Segments._fields})


def take_segments(segments: Segments, order: np.ndarray) -> Segments:
    """Picks and reorders segments (NumPy arrays); `order` is (n,) int64 numbers of segments."""
    picked: dict[str, np.ndarray] = {"user_id": segments.user_id[order], "start": segments.start[order]}
    groups = {
        "pair_splits": ("item", "query", "timestamp"),
        "attribute_splits": ("attribute",),
        "target_splits": tuple(f for f in Segments._fields if f.startswith("target_") and f != "target_splits")
        + ("label",),
    }
    for splits_name, fields in groups.items():
        splits = np.asarray(getattr(segments, splits_name))
        lengths = np.diff(splits)[order]
        ends = np.cumsum(lengths)
        # Source index of every value: its segment's first, plus its place within the segment.
        index = np.repeat(splits[:-1][order] - (ends - lengths), lengths) + np.arange(lengths.sum())
        picked[splits_name] = np.concatenate([[0], ends]).astype(np.int64)
        picked |= {field: np.asarray(getattr(segments, field))[index] for field in fields}
    return Segments(**picked)


def _ragged(name: str, dtype: tf.DType) -> tf.io.RaggedFeature:
    return tf.io.RaggedFeature(dtype, value_key=name, row_splits_dtype=tf.int64)


def _check_lengths(ragged: tf.RaggedTensor, splits: tf.Tensor, name: str, other: str) -> None:
    message = f"a segment's {name} and {other} differ in length: they must have one value each a pair or target."
    tf.debugging.assert_equal(ragged.row_splits, splits, message=message)
