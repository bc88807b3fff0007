"""Requests as tf.Example protos: how the served graph reads them, and how a client that has TensorFlow writes them.

A feature of the proto is an input of `serving_default` for one request, by the same name: lists as long as they are,
without padding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import seminar_tf  # noqa: F401  (settles Keras 2 before TensorFlow loads)
from seminar_tf.export import checks
from seminar_tf.export.inputs import EXAMPLES_INPUT, RAW, RankRequest, raw_inputs
from seminar_tf.features import names

import tensorflow as tf  # isort: skip

_HISTORY = (names.HISTORY_ITEM_ID, names.HISTORY_QUERY, names.HISTORY_TIMESTAMP)
# A request without a moment cannot be scored; whose it is, and a query, it can do without.
_REQUIRED = (names.REQUEST_TIMESTAMP,)


def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """The inputs of `serving_default`, padded on the right to the longest row.

    Features that are missing or empty are empty lists, "" for `query` and `user_id`; there is no default for
    `request_timestamp`. A row's `history_timestamp` has one value for each of its `history_item_id`, and so has
    `history_query`, or none at all: the user was browsing then. A list of another length is refused, for nobody could
    say which pairs its values belong to. Features of other names are passed over.

    Args:
      serialized: [B] strings.

    Returns:
      Input name -> tensor, as `export.inputs.RAW` lists them. Their computation fails with INVALID_ARGUMENT where a
      string is no tf.Example, a feature is of another type, or lists do not fit together.
    """
    spec = {name: tf.io.RaggedFeature(tf.as_dtype(given.dtype)) for name, given in RAW.items()}
    found = tf.io.parse_example(serialized, spec)
    counts = {name: rows.row_lengths() for name, rows in found.items()}
    with tf.control_dependencies(_checks(counts)):
        found = {name: tf.identity(rows) for name, rows in found.items()}
    width = tf.maximum(tf.reduce_max(counts[names.HISTORY_ITEM_ID]), 0)
    inputs = {}
    for name, given in RAW.items():
        if len(given.shape) == 1:
            inputs[name] = found[name].to_tensor(shape=[None, 1])[:, 0]
        elif name in _HISTORY:
            # An omitted list of queries is as wide as the others.
            inputs[name] = found[name].to_tensor(shape=tf.stack([-1, width]))
        else:
            inputs[name] = found[name].to_tensor()
    return inputs


def _checks(counts: dict[str, tf.Tensor]) -> list[tf.Operation]:
    """Checks of how many values [B] the features of each row have."""
    pairs = counts[names.HISTORY_ITEM_ID]
    times, queries = counts[names.HISTORY_TIMESTAMP], counts[names.HISTORY_QUERY]
    unlike = f"must have as many values as {names.HISTORY_ITEM_ID}"
    shown = "Rows, values found, values expected:"
    made = [
        checks.each_row(tf.equal(times, pairs), f"{names.HISTORY_TIMESTAMP} {unlike}. {shown}", [times, pairs]),
        checks.each_row(
            tf.equal(queries, pairs) | tf.equal(queries, 0),
            f"{names.HISTORY_QUERY} {unlike}, or none. {shown}",
            [queries, pairs],
        ),
    ]
    for name in (name for name, given in RAW.items() if len(given.shape) == 1):
        count = counts[name]
        if name in _REQUIRED:
            made.append(checks.each_row(tf.equal(count, 1), f"{name} must have one value. Rows, values:", [count]))
        else:
            made.append(checks.each_row(count <= 1, f"{name} must have one value or none. Rows, values:", [count]))
    return made


def examples_inputs(requests: Sequence[RankRequest]) -> dict[str, np.ndarray]:
    """The input of the signature `examples` for some requests.

    Returns:
      {"examples": [B] objects, serialized tf.Example protos}.
    """
    serialized = np.empty(len(requests), np.object_)
    serialized[:] = [_example(request).SerializeToString(deterministic=True) for request in requests]
    return {EXAMPLES_INPUT: serialized}


def _example(request: RankRequest) -> tf.train.Example:
    example = tf.train.Example()
    for name, array in raw_inputs([request]).items():
        feature, values = example.features.feature[name], array.reshape(-1).tolist()
        if RAW[name].dtype is np.object_:
            feature.bytes_list.value.extend(values)
        else:
            feature.int64_list.value.extend(values)
    return example
