"""Requests as the model takes them: the newest pairs of a history, ids in range, no axis without elements."""

from __future__ import annotations

from seminar_tf.features import names
from seminar_tf.features.vocabulary import FeatureSizes

import tensorflow as tf  # isort: skip


def cut_history(inputs: dict[str, tf.Tensor], length: int, real: tf.Tensor) -> dict[str, tf.Tensor]:
    """The newest pairs of each row, moved to the left.

    Args:
      inputs: holds the three history features, (B, L) each, oldest first, right-padded.
      length: pairs to keep.
      real: (B, L) bool, False at padding.

    Returns:
      The history features, (B, max(1, min(L, length))), padded on the right with zeros and "".
    """
    position, inside = window(real, length)
    width = tf.shape(real)[1]
    # One more column, of padding, so that an empty history has something to gather from.
    source = tf.where(inside, position, width)
    cut = {}
    for name in (names.HISTORY_ITEM_ID, names.HISTORY_QUERY, names.HISTORY_TIMESTAMP):
        padding = tf.constant("") if inputs[name].dtype == tf.string else tf.zeros([], inputs[name].dtype)
        cut[name] = tf.gather(_add_column(inputs[name], padding), source, batch_dims=1)
    return cut


def window(real: tf.Tensor, length: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Positions of the newest `length` pairs of each row, and which of them hold one: (B, max(1, min(L, length)))."""
    width = tf.shape(real)[1]
    # The end of a row is behind its last real pair; the maximum over an empty row would be the lowest int32.
    ends = tf.where(real, tf.range(1, width + 1)[tf.newaxis, :], 0)
    end = tf.maximum(tf.reduce_max(ends, axis=1), 0)[:, tf.newaxis]
    kept = tf.maximum(tf.minimum(width, length), 1)
    position = tf.maximum(end - kept, 0) + tf.range(kept)[tf.newaxis, :]
    return position, position < end


def clean(batch: dict[str, tf.Tensor], sizes: FeatureSizes) -> dict[str, tf.Tensor]:
    """Ids that cannot be out of range: an out-of-range gather is an error on CPU and silently zero on GPU.

    Ids above the table (a client with a newer vocabulary) become the last OOV bucket, negative ones padding. The query
    of a real pair is at least the empty query, and padding carries no query and no time.
    """
    items = _in_range(batch[names.HISTORY_ITEM_ID], 0, sizes.items)
    real = items > 0
    history_query = _in_range(batch[names.HISTORY_QUERY], names.EMPTY_QUERY_ID, sizes.queries)
    timestamp = batch[names.HISTORY_TIMESTAMP]
    return {
        names.HISTORY_ITEM_ID: items,
        names.HISTORY_QUERY: tf.where(real, history_query, 0),
        names.HISTORY_TIMESTAMP: tf.where(real, tf.maximum(timestamp, 0), tf.zeros_like(timestamp)),
        names.CANDIDATE_ITEM_ID: _in_range(batch[names.CANDIDATE_ITEM_ID], 0, sizes.items),
        names.QUERY: _in_range(batch[names.QUERY], names.EMPTY_QUERY_ID, sizes.queries),
        names.REQUEST_TIMESTAMP: tf.maximum(batch[names.REQUEST_TIMESTAMP], 0),
        names.USER_ATTRIBUTES: _in_range(batch[names.USER_ATTRIBUTES], 0, sizes.attributes),
    }


def _in_range(ids: tf.Tensor, lowest: int, rows: int) -> tf.Tensor:
    return tf.cast(tf.clip_by_value(ids, lowest, rows - 1), tf.int32)


def _add_column(values: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    return tf.concat([values, tf.fill([tf.shape(values)[0], 1], value)], axis=1)


def at_least_one_column(ids: tf.Tensor) -> tf.Tensor:
    """(B, N) ids -> (B, max(N, 1)), with padding."""
    return tf.pad(ids, [[0, 0], [0, tf.maximum(1 - tf.shape(ids)[1], 0)]])
