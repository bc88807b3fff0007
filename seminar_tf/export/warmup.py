"""Warm-up requests inside a SavedModel: TensorFlow prepares each shape's kernels before users wait for them.

TF Serving, and the embedded server, run every request of `assets.extra/tf_serving_warmup_requests` when they load a
version, before it takes calls. The messages come from tensorflow-serving-api, which TFX requires anyway; no gRPC is
involved in writing them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from seminar_tf.config import PipelineConfig
from seminar_tf.export import inputs
from seminar_tf.export.examples import examples_inputs
from seminar_tf.features import names
from seminar_tf.features.vocabulary import FeatureSizes

import tensorflow as tf  # isort: skip
from tensorflow_serving.apis import prediction_log_pb2

FILE = "assets.extra/tf_serving_warmup_requests"
# TF Serving refuses a file with more.
MOST_REQUESTS = 1000
# A recent moment, so that time gaps are of a usual size; any constant keeps the file reproducible.
_NOW_MS = 1_700_000_000_000


def write(
    saved_model: str | Path, config: PipelineConfig, sizes: FeatureSizes, items: list[str], signatures: Sequence[str]
) -> int:
    """Writes one request for each signature and candidate width.

    Args:
      saved_model: folder of the SavedModel.
      config: candidate widths, history length and the model's name.
      sizes: rows of the id spaces, which ids are drawn below.
      items: the item vocabulary, for raw requests.
      signatures: the model's. `rank_indexed_xla` gets no request: it fails on a server that has XLA switched off, and
        a warm-up request that fails keeps the model from being served at all.

    Returns:
      How many requests were written.

    Raises:
      ValueError: more requests than TF Serving takes.
    """
    wanted = [name for name in inputs.SIGNATURES if name in signatures and name != inputs.XLA_SIGNATURE]
    count = len(wanted) * len(config.serving.warmup_candidates)
    if count > MOST_REQUESTS:
        raise ValueError(
            f"config key serving.warmup_candidates: {count} warm-up requests, TF Serving takes {MOST_REQUESTS}; "
            "name fewer widths."
        )
    path = Path(saved_model) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with tf.io.TFRecordWriter(str(part)) as writer:
        for log in _logs(config, sizes, items, wanted):
            writer.write(log.SerializeToString(deterministic=True))
    part.replace(path)
    return count


def _logs(
    config: PipelineConfig, sizes: FeatureSizes, items: list[str], signatures: Sequence[str]
) -> Iterator[prediction_log_pb2.PredictionLog]:
    for width in config.serving.warmup_candidates:
        arrays = _requests(config.model.serving_history_length, width, sizes, items)
        for signature in signatures:
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = config.serving.model_name
            request.model_spec.signature_name = signature
            for name, array in arrays[signature].items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
            yield log


def _requests(length: int, width: int, sizes: FeatureSizes, items: list[str]) -> dict[str, dict[str, np.ndarray]]:
    """Signature -> inputs: one user with a full history, whose items are drawn evenly from the vocabulary."""
    times = _NOW_MS - 60_000 * np.arange(length, 0, -1, dtype=np.int64)
    known = [items[n % len(items)] for n in range(max(length, width))] if items else ["unknown"] * max(length, width)
    request = inputs.RankRequest(
        history=[(known[n], "", int(times[n])) for n in range(length)],
        candidates=known[:width],
        timestamp=_NOW_MS,
        user_id="warm-up",
        user_attributes=("warm=up",),
    )
    raw = inputs.raw_inputs([request])
    ids = 1 + np.arange(max(length, width), dtype=np.int32) % (sizes.items - 1)
    indexed = {
        names.HISTORY_ITEM_ID: ids[np.newaxis, :length],
        names.HISTORY_QUERY: np.full((1, length), names.EMPTY_QUERY_ID, np.int32),
        names.HISTORY_TIMESTAMP: times[np.newaxis],
        names.CANDIDATE_ITEM_ID: ids[np.newaxis, :width],
        names.QUERY: np.array([names.EMPTY_QUERY_ID], np.int32),
        names.REQUEST_TIMESTAMP: np.array([_NOW_MS], np.int64),
        names.USER_ATTRIBUTES: np.array([[names.FIRST_ATTRIBUTE_ID]], np.int32),
    }
    embedded = {names.ITEM_ID: raw[names.CANDIDATE_ITEM_ID][0], names.QUERY: np.full(width, b"", np.object_)}
    return {
        inputs.RAW_SIGNATURE: raw,
        inputs.INDEXED_SIGNATURE: indexed,
        inputs.EXAMPLES_SIGNATURE: examples_inputs([request]),
        inputs.SEARCH_SIGNATURE: indexed,
        inputs.EMBED_SIGNATURE: embedded,
    }
