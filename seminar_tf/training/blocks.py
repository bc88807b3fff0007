"""A block: many users' pairs in flat arrays, and the requests that point into them.

Training and evaluation cut batches from blocks. A block is all of a split, held in memory, or a run of segments that
streams by; the arithmetic is the same.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from seminar_tf.training.records import Segments


class Block(NamedTuple):
    """R requests with C candidates over P pairs of S users.

    Value arrays end with one row of zeros that belongs to nobody, so that a gather has something to read even where
    there is no value at all.

    Attributes:
      item, query: (P+1,) int32 ids. timestamp: (P+1,) int64, ms.
      attribute_splits: (S+1,) int64. attribute: (U+1,) int32.
      user: (R,) int64, the request's row in attribute_splits.
      begin, end: (R,) int64, pairs [begin, end) are the history that the request may see.
      request_query: (R,) int32. request_timestamp: (R,) int64, ms.
      candidate_splits: (R+1,) int64. candidate: (C+1,) int32 item ids. label: (C+1, tasks) float32, NaN is unknown.
    """

    item: tf.Tensor
    query: tf.Tensor
    timestamp: tf.Tensor
    attribute_splits: tf.Tensor
    attribute: tf.Tensor
    user: tf.Tensor
    begin: tf.Tensor
    end: tf.Tensor
    request_query: tf.Tensor
    request_timestamp: tf.Tensor
    candidate_splits: tf.Tensor
    candidate: tf.Tensor
    label: tf.Tensor


def request_block(segments: Segments, grouped: bool) -> Block:
    """Turns targets into requests.

    Args:
      segments: segments whose first pair is the first of the user's sequence: train segments, or joined ones.
      grouped: whether consecutive targets of one logged request become one request with several candidates; else
        every target is a request of its own.

    Returns:
      The block.

    Raises:
      tf.errors.InvalidArgumentError: a target points outside its segment.
    """
    owner = _owners(segments.target_splits)
    begin = tf.gather(segments.pair_splits, owner)
    end = begin + segments.target_position - tf.gather(segments.start, owner)
    last = tf.gather(segments.pair_splits, owner + 1)
    tf.debugging.assert_greater_equal(end, begin, message="a target lies before its segment's first pair.")
    tf.debugging.assert_less_equal(end, last, message="a target lies beyond its segment's last pair.")
    count = tf.size(owner, out_type=tf.int64)
    first = tf.range(count)
    if grouped:
        request = tf.convert_to_tensor(segments.target_request)
        same = tf.logical_and(tf.equal(owner[1:], owner[:-1]), tf.equal(request[1:], request[:-1]))
        starts = tf.concat([tf.ones([tf.minimum(count, 1)], tf.bool), tf.logical_not(same)], axis=0)
        first = tf.boolean_mask(first, starts)
    return Block(
        **_histories(segments),
        user=tf.gather(owner, first),
        begin=tf.gather(begin, first),
        end=tf.gather(end, first),
        request_query=tf.gather(segments.target_query, first),
        request_timestamp=tf.gather(segments.target_timestamp, first),
        candidate_splits=tf.concat([first, [count]], axis=0),
        candidate=_with_end(segments.target_item),
        label=_with_end(segments.label),
    )


def sequence_block(segments: Segments, stride: int, limit: int = 0, from_targets: bool = False) -> Block:
    """Cuts sequences into the windows that the PSU is pretrained on.

    Args:
      segments: segments; their targets are looked at with `from_targets` only.
      stride: a window ends at the end of the sequence, and every `stride` pairs before it.
      limit: newest windows kept of each sequence; 0 keeps all.
      from_targets: only windows that hold a pair from the sequence's first target on; none where it has no target.

    Returns:
      A block whose requests are windows of at least two pairs (one to predict, one to see), without candidates.
    """
    lengths = segments.pair_splits[1:] - segments.pair_splits[:-1]
    counts = tf.where(lengths >= 2, (lengths - 2) // stride + 1, tf.zeros_like(lengths))
    if limit:
        counts = tf.minimum(counts, tf.cast(limit, tf.int64))
    if from_targets:
        new = lengths - _first_targets(segments)
        # Windows of which a new pair is one: those that end behind the first of them.
        counts = tf.clip_by_value((new - 1) // stride + 1, 0, counts)
    splits = tf.concat([[tf.constant(0, tf.int64)], tf.cumsum(counts)], axis=0)
    owner = _owners(splits)
    nth = tf.range(splits[-1]) - tf.gather(splits, owner)
    end = tf.gather(segments.pair_splits, owner + 1) - nth * stride
    last = tf.maximum(end - 1, 0)
    return Block(
        **_histories(segments),
        user=owner,
        begin=tf.gather(segments.pair_splits, owner),
        end=end,
        request_query=tf.gather(_with_end(segments.query), last),
        request_timestamp=tf.gather(_with_end(segments.timestamp), last),
        candidate_splits=tf.zeros([tf.size(owner) + 1], tf.int64),
        candidate=tf.zeros([1], tf.int32),
        label=_with_end(segments.label[:0]),
    )


def _first_targets(segments: Segments) -> tf.Tensor:
    """(S,) int64, how many of a segment's pairs lie before its first target; more than it has where it has none."""
    owner = _owners(segments.target_splits)
    position = segments.target_position - tf.gather(segments.start, owner)
    return tf.math.unsorted_segment_min(position, owner, tf.size(segments.start))


def request_count(block: Block) -> tf.Tensor:
    """Scalar int64, requests of a block."""
    return tf.size(block.user, out_type=tf.int64)


def candidate_width(block: Block) -> int:
    """Candidates of a block's widest request."""
    return int(np.diff(block.candidate_splits.numpy()).max(initial=0))


def _histories(segments: Segments) -> dict[str, tf.Tensor]:
    """The fields of a Block that hold pairs and user attributes."""
    return {
        "item": _with_end(segments.item),
        "query": _with_end(segments.query),
        "timestamp": _with_end(segments.timestamp),
        "attribute_splits": tf.convert_to_tensor(segments.attribute_splits),
        "attribute": _with_end(segments.attribute),
    }


def _with_end(values: tf.Tensor) -> tf.Tensor:
    """The values and one row of zeros."""
    values = tf.convert_to_tensor(values)
    row = tf.concat([[1], tf.shape(values)[1:]], axis=0)
    return tf.concat([values, tf.zeros(row, values.dtype)], axis=0)


def _owners(splits: tf.Tensor) -> tf.Tensor:
    """Row of every value, (n,) int64, for row offsets (rows+1,) int64."""
    splits = tf.convert_to_tensor(splits)
    lengths = splits[1:] - splits[:-1]
    return tf.repeat(tf.range(tf.size(lengths, out_type=tf.int64)), lengths)
