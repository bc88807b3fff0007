"""The schema of raw examples, which follows from the dataset: a fault in the data shows up as an anomaly against it."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from seminar_tf.data.dataset import DatasetSpec
from seminar_tf.features import names

_BYTES = (
    names.USER_ID,
    names.USER_ATTRIBUTES,
    names.SPLIT,
    names.HISTORY_ITEM_ID,
    names.HISTORY_QUERY,
    names.TARGET_ITEM_ID,
    names.TARGET_QUERY,
    names.ITEM_ID,
    names.ITEM_TITLE,
    names.ITEM_TEXT,
    names.ITEM_ATTRIBUTES,
    names.ITEM_IMAGE,
    names.QUERY,
)
_INTS = (
    names.SPAN,
    names.SEGMENT_START,
    names.HISTORY_TIMESTAMP,
    names.TARGET_POSITION,
    names.TARGET_TIMESTAMP,
    names.TARGET_REQUEST,
    names.ITEM_COUNT,
    names.QUERY_COUNT,
)


def raw_schema(dataset: DatasetSpec) -> schema_pb2.Schema:
    """Every feature of every split, with its type. All are optional: each split has its own."""
    floats = (
        *(names.label(task) for task in dataset.tasks),
        *(names.numeric(column) for column in dataset.numeric),
        names.ITEM_IMAGE_VECTOR,
        names.ITEM_TEXT_VECTOR,
    )
    types = {name: schema_pb2.BYTES for name in _BYTES}
    types |= {name: schema_pb2.INT for name in _INTS} | {name: schema_pb2.FLOAT for name in floats}
    return schema_pb2.Schema(feature=[schema_pb2.Feature(name=name, type=types[name]) for name in sorted(types)])


def write_schema(dataset: DatasetSpec, path: str | Path) -> Path:
    """Writes `raw_schema` as a text proto, the file that ImportSchemaGen takes.

    The file is left alone where it says the same already: its modification time is part of TFX's cache key.
    """
    path = Path(path)
    text = text_format.MessageToString(raw_schema(dataset))
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.with_name(f".{path.name}.staged")
        staged.write_text(text, encoding="utf-8")
        staged.replace(path)
    return path
