"""tf.Examples of segments, catalog items and queries (docs/data.md has the table of features)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import seminar_tf  # noqa: F401  (settles Keras before TensorFlow loads)

# isort: split
import tensorflow as tf

from seminar_tf.data import columns, wire
from seminar_tf.data.schema import NUMERIC_PREFIX
from seminar_tf.data.sequences import Segments
from seminar_tf.features import names
from seminar_tf.features.text import normalise_array

_PAIRS_AT_ONCE = 262_144


def int_feature(values: Iterable[int]) -> tf.train.Feature:
    """An int64 list."""
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def float_feature(values: Iterable[float]) -> tf.train.Feature:
    """A float list."""
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def bytes_feature(values: Iterable[bytes]) -> tf.train.Feature:
    """A bytes list."""
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def serialize(features: Mapping[str, tf.train.Feature]) -> bytes:
    """The example's bytes; equal features give equal bytes."""
    example = tf.train.Example(features=tf.train.Features(feature=features))
    made: bytes = example.SerializeToString(deterministic=True)
    return made


def segment_examples(
    segments: Segments, span: int, tasks: tuple[str, ...], attributes: Mapping[bytes, list[bytes]]
) -> np.ndarray:
    """Serializes segments.

    Args:
      segments: the partition's segments, S of them.
      span: newest span that went in.
      tasks: names of the columns of `targets.labels`.
      attributes: `name=value` strings of users that have any.

    Returns:
      (S,) object array of bytes, in the order of the segments.
    """
    made = np.empty(len(segments), object)
    # Pieces of about as many pairs bound what is held besides the result; a segment is never cut.
    ends = np.searchsorted(segments.pair_start, np.arange(_PAIRS_AT_ONCE, segments.pair_start[-1], _PAIRS_AT_ONCE))
    bounds = np.unique(np.concatenate([[0], ends, [len(segments)]]))
    for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist()):
        made[first:last] = wire.examples(_segment_features(segments, first, last, span, tasks, attributes))
    return made


def _segment_features(
    segments: Segments,
    first: int,
    last: int,
    span: int,
    tasks: tuple[str, ...],
    attributes: Mapping[bytes, list[bytes]],
) -> dict[str, wire.Feature]:
    """The features of segments [first, last)."""
    pairs, targets = segments.pairs, segments.targets
    user = segments.user[first:last]
    one = np.arange(last - first + 1)
    pair_start, target_start = segments.pair_start[first : last + 1], segments.target_start[first : last + 1]
    held, asked = slice(pair_start[0], pair_start[-1]), slice(target_start[0], target_start[-1])
    in_pairs, in_targets = pair_start - pair_start[0], target_start - target_start[0]
    splits = pa.array([name.encode() for name in names.SEGMENT_SPLITS], pa.binary())
    told = [attributes.get(identity, []) for identity in pairs.users[user]]
    features = {
        names.USER_ID: wire.bytes_lists(user, pa.array(pairs.users, pa.binary()), one),
        names.SPAN: wire.int_lists(np.full(len(user), span), one),
        names.SPLIT: wire.bytes_lists(segments.split[first:last], splits, one),
        names.USER_ATTRIBUTES: _ragged(told),
        names.SEGMENT_START: wire.int_lists(pair_start[:-1] - pairs.start[user], one),
        names.HISTORY_ITEM_ID: _strings(pairs.item, held, in_pairs),
        names.HISTORY_QUERY: _strings(pairs.query, held, in_pairs),
        names.HISTORY_TIMESTAMP: wire.int_lists(pairs.timestamp[held], in_pairs),
        names.TARGET_POSITION: wire.int_lists(targets.position[asked], in_targets),
        names.TARGET_TIMESTAMP: wire.int_lists(targets.timestamp[asked], in_targets),
        names.TARGET_REQUEST: wire.int_lists(segments.target_request[asked], in_targets),
        names.TARGET_ITEM_ID: _strings(targets.item, asked, in_targets),
        names.TARGET_QUERY: _strings(targets.query, asked, in_targets),
    }
    for column, task in enumerate(tasks):
        features[names.label(task)] = wire.float_lists(targets.labels[asked, column], in_targets)
    return features


def _strings(column: columns.Strings, rows: slice, bounds: np.ndarray) -> wire.Feature:
    """The rows' strings, cut at `bounds`. Only the values that occur are encoded."""
    codes = column.codes[rows]
    present = np.flatnonzero(np.bincount(codes, minlength=len(column.values)))
    number = np.zeros(len(column.values), np.int64)
    number[present] = np.arange(len(present))
    return wire.bytes_lists(number[codes], column.values.take(pa.array(present)), bounds)


def _ragged(lists: Sequence[Sequence[bytes]]) -> wire.Feature:
    """A list of byte strings for each record."""
    flat = pa.array([value for values in lists for value in values], pa.binary())
    bounds = np.concatenate([[0], np.cumsum([len(values) for values in lists])]).astype(np.int64)
    return wire.bytes_lists(None, flat, bounds)


def item_examples(
    items: pa.Table, images: Sequence[bytes | None] | None, counts: np.ndarray, image_vectors: bool = True
) -> np.ndarray:
    """Serializes catalog items; a feature that an item lacks is an empty list.

    Args:
      items: n rows of the items table: item_id, and any of title, text, attributes, image_vector, text_vector and
        numeric_* columns. Attributes get their stored form.
      images: (n,) raw RGB pixels, or None where an item has none; None where no item has.
      counts: (n,) times that each is a pair of the train segments.
      image_vectors: whether `image_vector` is used.

    Returns:
      (n,) object array of bytes.
    """
    rows = items.num_rows
    features = {
        names.ITEM_ID: _optional(items, "item_id"),
        names.ITEM_TITLE: _optional(items, "title"),
        names.ITEM_TEXT: _optional(items, "text"),
        names.ITEM_ATTRIBUTES: _attributes(items),
        names.ITEM_IMAGE: _none(rows) if images is None else _ragged([[] if i is None else [i] for i in images]),
        names.ITEM_IMAGE_VECTOR: _vectors(items, "image_vector" if image_vectors else ""),
        names.ITEM_TEXT_VECTOR: _vectors(items, "text_vector"),
        names.ITEM_COUNT: wire.int_lists(counts, np.arange(rows + 1)),
    }
    for name in items.column_names:
        if name.startswith(NUMERIC_PREFIX):
            values = columns.floats(items[name])
            known = np.isfinite(values)
            feature = wire.float_lists(values[known], np.concatenate([[0], np.cumsum(known)]))
            features[names.numeric(name.removeprefix(NUMERIC_PREFIX))] = feature
    return wire.examples(features)


def query_examples(queries: columns.Strings, counts: np.ndarray) -> np.ndarray:
    """Serializes known queries, (n,), and how many pairs of the train segments have each.

    Returns:
      (n,) object array of bytes.
    """
    one = np.arange(len(queries) + 1)
    return wire.examples(
        {
            names.QUERY: wire.bytes_lists(queries.codes, queries.values, one),
            names.QUERY_COUNT: wire.int_lists(counts, one),
        }
    )


def _none(rows: int) -> wire.Feature:
    """An empty list of byte strings for each of `rows` records."""
    return wire.bytes_lists(None, pa.array([], pa.binary()), np.zeros(rows + 1, np.int64))


def _optional(items: pa.Table, name: str) -> wire.Feature:
    """A string a row; none where it is null or empty."""
    if name not in items.column_names:
        return _none(items.num_rows)
    values = columns.whole(items[name])
    there = pc.fill_null(pc.greater(pc.binary_length(values), 0), False)
    bounds = np.concatenate([[0], np.cumsum(there.to_numpy(zero_copy_only=False))])
    return wire.bytes_lists(None, values.filter(there).cast(pa.binary()), bounds)


def _lists(items: pa.Table, name: str) -> tuple[pa.Array, np.ndarray] | None:
    """All elements of a list column, and (n,) the length of each row's list; null is an empty one."""
    if name not in items.column_names:
        return None
    lists = columns.whole(items[name])
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return pc.list_flatten(lists), lengths.astype(np.int64)


def _attributes(items: pa.Table) -> wire.Feature:
    found = _lists(items, "attributes")
    if found is None:
        return _none(items.num_rows)
    stored = columns.strings(found[0], normalise_array)
    row = np.repeat(np.arange(items.num_rows), found[1])
    filled = pc.greater(pc.binary_length(stored.values), 0).to_numpy(zero_copy_only=False)
    kept = filled[stored.codes] if len(stored) else np.zeros(0, bool)
    bounds = np.concatenate([[0], np.cumsum(np.bincount(row[kept], minlength=items.num_rows))])
    return wire.bytes_lists(stored.codes[kept], stored.values, bounds)


def _vectors(items: pa.Table, name: str) -> wire.Feature:
    found = _lists(items, name)
    if found is None:
        return wire.float_lists(np.zeros(0, np.float32), np.zeros(items.num_rows + 1, np.int64))
    return wire.float_lists(columns.floats(found[0]), np.concatenate([[0], np.cumsum(found[1])]))
