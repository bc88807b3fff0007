"""Cuts the windows of many requests out of a block at once, by index arithmetic: no copy of a history is stored."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from seminar_tf.features import names
from seminar_tf.training.blocks import Block


def history_windows(block: Block, requests: tf.Tensor, length: int) -> dict[str, tf.Tensor]:
    """The newest visible pairs of each request.

    Args:
      block: pairs and requests.
      requests: (B,) int64 numbers of requests.
      length: L.

    Returns:
      `history_item_id`, `history_query` (B, L) int32 and `history_timestamp` (B, L) int64 ms: oldest first, newest
      last, right-padded with 0.
    """
    begin = tf.gather(block.begin, requests)
    end = tf.gather(block.end, requests)
    index = tf.maximum(begin, end - length)[:, tf.newaxis] + tf.range(length, dtype=tf.int64)
    visible = index < end[:, tf.newaxis]
    return {
        names.HISTORY_ITEM_ID: _gather(block.item, index, visible),
        names.HISTORY_QUERY: _gather(block.query, index, visible),
        names.HISTORY_TIMESTAMP: _gather(block.timestamp, index, visible),
    }


def user_attributes(block: Block, requests: tf.Tensor, width: int) -> tf.Tensor:
    """(B, width) int32 attribute ids of each request's user, 0 is padding."""
    user = tf.gather(block.user, requests)
    return _rows(block.attribute, block.attribute_splits, user, width)[0]


def candidates(block: Block, requests: tf.Tensor, width: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The candidates that each request came with.

    Args:
      block: pairs and requests.
      requests: (B,) int64 numbers of requests.
      width: W, candidates kept of a request: the first ones.

    Returns:
      (B, W) int32 item ids, 0 is padding, and (B, W, tasks) float32 labels, NaN is unknown or padding.
    """
    items, index, present = _rows(block.candidate, block.candidate_splits, requests, width)
    labels = tf.gather(block.label, tf.where(present, index, 0))
    return items, tf.where(present[:, :, tf.newaxis], labels, float("nan"))


def request_batch(block: Block, requests: tf.Tensor, length: int, attributes: int) -> dict[str, tf.Tensor]:
    """Everything of a batch but its candidates and labels.

    Args:
      block: pairs and requests.
      requests: (B,) int64 numbers of requests.
      length: L.
      attributes: width of `user_attributes`.

    Returns:
      The history windows, `user_attributes` (B, attributes) int32, `query` (B,) int32, `request_timestamp` (B,)
      int64 ms.
    """
    return {
        **history_windows(block, requests, length),
        names.USER_ATTRIBUTES: user_attributes(block, requests, attributes),
        names.QUERY: tf.gather(block.request_query, requests),
        names.REQUEST_TIMESTAMP: tf.gather(block.request_timestamp, requests),
    }


def label_columns(labels: tf.Tensor, tasks: Sequence[str]) -> dict[str, tf.Tensor]:
    """Splits (B, N, tasks) float32 labels into one `label_<task>` (B, N) a task."""
    return {names.label(task): labels[:, :, n] for n, task in enumerate(tasks)}


def _rows(values: tf.Tensor, splits: tf.Tensor, rows: tf.Tensor, width: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The first `width` values of ragged rows, zero-padded, with their index in `values` and which are there."""
    index = tf.gather(splits, rows)[:, tf.newaxis] + tf.range(width, dtype=tf.int64)
    present = index < tf.gather(splits, rows + 1)[:, tf.newaxis]
    return _gather(values, index, present), index, present


def _gather(values: tf.Tensor, index: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """values[index] where `present`, else 0."""
    return tf.where(present, tf.gather(values, tf.where(present, index, 0)), tf.zeros([], values.dtype))
