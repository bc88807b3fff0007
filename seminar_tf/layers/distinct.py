"""The distinct ids of a batch, in a form for graphs of any shape and in one that XLA can compile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import tensorflow as tf

_static: ContextVar[bool] = ContextVar("static_shapes", default=False)


@contextmanager
def static_shapes(on: bool) -> Iterator[None]:
    """Whether ops traced inside must have shapes that follow from their inputs' shapes alone, as XLA asks."""
    token = _static.set(on)
    try:
        yield
    finally:
        _static.reset(token)


def are_shapes_static() -> bool:
    """Whether the code that runs is inside `static_shapes(True)`."""
    return _static.get()


@dataclass(frozen=True)
class Distinct:
    """Distinct ids in the order of their first occurrence.

    Attributes:
      ids: [c] int32; c is their number, or with static shapes min(n, rows), and zeros fill it up.
      row: [n] int32, where each of the n given ids stands in `ids`.
      count: int32 scalar, number of distinct ids.
    """

    ids: tf.Tensor
    row: tf.Tensor
    count: tf.Tensor


def distinct(ids: tf.Tensor, rows: int) -> Distinct:
    """Finds the distinct ones among ids.

    Args:
      ids: [n] int32, each in [0, rows).
      rows: size of the id space.
    """
    if not _static.get():
        unique, row = tf.unique(ids)
        return Distinct(unique, row, tf.size(unique))
    places = tf.range(tf.size(ids))
    first = tf.gather(tf.math.unsorted_segment_min(places, ids, rows), ids)
    is_first = tf.equal(first, places)
    rank = tf.cumsum(tf.cast(is_first, tf.int32)) - 1
    # Each kept id is alone in its segment; a negative segment is dropped.
    kept = tf.math.unsorted_segment_sum(ids, tf.where(is_first, rank, -1), tf.minimum(tf.size(ids), rows))
    return Distinct(kept, tf.gather(rank, first), tf.reduce_sum(tf.cast(is_first, tf.int32)))


def merge_rows(gradient: tf.Tensor | tf.IndexedSlices) -> tf.Tensor | tf.IndexedSlices:
    """A gradient in which no row of a table occurs twice, so that its norm is that of the whole gradient.

    The gradient of a look-up has one slice an occurrence; how many there are of a row depends on how the batch is
    split. With static shapes the result is dense.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    if _static.get():
        return tf.convert_to_tensor(gradient)
    indices, row = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, row, tf.size(indices))
    return tf.IndexedSlices(values, indices, gradient.dense_shape)
