"""A tiny dataset with one of every fault, and a way to run the component's executor on it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

import seminar_tf  # noqa: F401

# isort: split
import tensorflow as tf
from google.protobuf import json_format
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import artifact_utils, standard_artifacts

from components.behavior_example_gen.executor import Executor
from components.behavior_example_gen.settings import IngestSettings, pack
from pipelines.beam_arguments import beam_arguments
from seminar_tf.config import BeamConfig, DataConfig
from seminar_tf.data.dataset import describe

BEAM_ARGS = beam_arguments(BeamConfig())
NOW_MS = 10_000_000


def png(color: tuple[int, int, int], size: int = 7) -> bytes:
    """A PNG of one color."""
    sink = io.BytesIO()
    Image.fromarray(np.full((size, size, 3), color, np.uint8)).save(sink, "PNG")
    return sink.getvalue()


def event(user: str | None, time: int, item: str, query: str | None = None, **more: Any) -> dict[str, Any]:
    """A row of the events table."""
    kind = "browse" if query is None else "search"
    return {"user_id": user, "timestamp": time, "kind": kind, "query": query, "item_id": item, "action": "view"} | more


def write(path: Path, span: int, table: str, rows: list[dict[str, Any]], schema: pa.Schema, part: int = 0) -> None:
    """Writes rows as one Parquet file of a table."""
    folder = path / f"span-{span}" / table
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / f"part-{part}.parquet")


EVENTS = pa.schema(
    [
        ("user_id", pa.string()),
        ("timestamp", pa.int64()),
        ("kind", pa.string()),
        ("query", pa.string()),
        ("item_id", pa.string()),
        ("action", pa.string()),
        ("request_id", pa.string()),
    ]
)
ITEMS = pa.schema(
    [
        ("item_id", pa.string()),
        ("title", pa.string()),
        ("attributes", pa.list_(pa.string())),
        ("image", pa.binary()),
        ("image_path", pa.string()),
        ("numeric_price", pa.float32()),
    ]
)
USERS = pa.schema([("user_id", pa.string()), ("attributes", pa.list_(pa.string()))])
REQUESTS = pa.schema(
    [
        ("request_id", pa.string()),
        ("user_id", pa.string()),
        ("timestamp", pa.int64()),
        ("kind", pa.string()),
        ("query", pa.string()),
        ("item_id", pa.string()),
        ("label_click", pa.float32()),
    ]
)


def ingest(path: Path, out: Path, span: int = 1, moment: int = NOW_MS, **data: Any) -> standard_artifacts.Examples:
    """Runs the executor as TFX would, at a moment in ms since 1970, and returns the artifact it filled."""
    config = DataConfig(path=str(path), **({"partitions": 3} | data))
    settings = IngestSettings(data=config, dataset=describe(path), image_size=4, now_ms=moment)
    artifact = standard_artifacts.Examples()
    artifact.uri = str(out)
    context = BaseBeamExecutor.Context(beam_pipeline_args=list(BEAM_ARGS), tmp_dir=str(out), unique_id="1")
    Executor(context).Do(
        {},
        {"examples": [artifact]},
        {"input_base": str(path), "custom_config": json_format.MessageToJson(pack(settings)), "span": span},
    )
    return artifact


def read_split(artifact: standard_artifacts.Examples, split: str) -> list[dict[str, list[Any]]]:
    """Records of a split, in file order, as plain values by feature."""
    files = sorted(tf.io.gfile.glob(artifact_utils.get_split_uri([artifact], split) + "/*"))
    return [plain(record.numpy()) for record in tf.data.TFRecordDataset(files, compression_type="GZIP")]


def plain(record: bytes) -> dict[str, list[Any]]:
    """A serialized example's values by feature."""
    example = tf.train.Example.FromString(record)
    return {
        name: list(getattr(feature, feature.WhichOneof("kind")).value) if feature.WhichOneof("kind") else []
        for name, feature in example.features.feature.items()
    }
