"""The limits of a request, for requests that come as serialized tf.Example protos: their lists are a row's columns."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import DecodeError

import seminar_tf  # noqa: F401  (settles Keras 2 before TensorFlow loads)

from tensorflow.core.example import example_pb2  # isort: skip

from seminar_tf.features import names
from serving.errors import invalid
from serving.options import ServerOptions


def check(name: str, serialized: Sequence[bytes], limits: ServerOptions) -> None:
    """Refuses rows with too many values, and batches with too many scores.

    Args:
      name: the input, for the message.
      serialized: one proto a row. Damaged ones are passed over: the graph refuses them itself.
      limits: what a request may cost.

    Raises:
      CallError: INVALID_ARGUMENT naming the row and the feature.
    """
    widest = 0
    for row, data in enumerate(serialized):
        try:
            features = example_pb2.Example.FromString(data).features.feature
        except DecodeError:
            continue
        for feature, most in limits.max_columns.items():
            if feature not in features:
                continue
            found = features[feature]
            count = max(len(found.bytes_list.value), len(found.int64_list.value), len(found.float_list.value))
            if count > most:
                raise invalid(
                    f'input "{name}", row {row}: feature "{feature}" has {count} values; this server accepts at most '
                    f"{most} a row."
                )
            if feature == names.CANDIDATE_ITEM_ID:
                widest = max(widest, count)
    if widest * len(serialized) > limits.max_scores:
        raise invalid(
            f'input "{name}" asks for {len(serialized)} x {widest} scores; this server accepts at most '
            f"{limits.max_scores} a request. Send fewer rows at once."
        )
