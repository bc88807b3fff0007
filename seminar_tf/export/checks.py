"""Checks in the served graph of what a SignatureDef cannot say; all fail as INVALID_ARGUMENT, on any server."""

from __future__ import annotations

from seminar_tf.features import names

import tensorflow as tf  # isort: skip


def request(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Inputs of a ranking, of which the history's have one shape and all have one number of rows.

    Args:
      inputs: those of `export.inputs.RAW` or `INDEXED`.

    Returns:
      The same; none of them is computed where the checks fail.
    """
    items = inputs[names.HISTORY_ITEM_ID]
    checks = []
    for name in (names.HISTORY_QUERY, names.HISTORY_TIMESTAMP):
        same = tf.reduce_all(tf.equal(tf.shape(inputs[name]), tf.shape(items)))
        message = f"{name} must have the shape of {names.HISTORY_ITEM_ID}:"
        checks.append(tf.debugging.Assert(same, [message, tf.shape(inputs[name]), tf.shape(items)]))
    with tf.control_dependencies(checks):
        return rows(inputs, names.HISTORY_ITEM_ID)


def rows(inputs: dict[str, tf.Tensor], like: str) -> dict[str, tf.Tensor]:
    """Inputs that all have as many rows as the one named `like`."""
    expected = tf.shape(inputs[like])[0]
    checks = []
    for name, tensor in inputs.items():
        if name != like:
            found = tf.shape(tensor)[0]
            message = f"{name} must have as many rows as {like}:"
            checks.append(tf.debugging.Assert(tf.equal(found, expected), [message, found, expected]))
    with tf.control_dependencies(checks):
        return {name: tf.identity(tensor) for name, tensor in inputs.items()}


def each_row(holds: tf.Tensor, message: str, counts: list[tf.Tensor]) -> tf.Operation:
    """A check of every row.

    Args:
      holds: [B] bool.
      message: what must be so.
      counts: [B] integers each, shown of the rows where it is not.
    """
    wrong = tf.reshape(tf.where(~holds), [-1])
    shown = [tf.gather(count, wrong) for count in counts]
    return tf.debugging.Assert(tf.reduce_all(holds), [message, wrong, *shown], summarize=5)
