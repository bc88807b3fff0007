"""Ingestion without TFX: the Beam pipeline that the component's executor runs, and its files as they are."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow.parquet as pq
from apache_beam.options.pipeline_options import PipelineOptions

import seminar_tf  # noqa: F401

# isort: split
import tensorflow as tf

from components.behavior_example_gen import road
from components.behavior_example_gen.settings import IngestSettings
from seminar_tf.config import DataConfig
from seminar_tf.data.dataset import describe
from seminar_tf.features import names
from tests.components.ingest_tables import NOW_MS


def pipeline() -> beam.Pipeline:
    """In this process."""
    return beam.Pipeline(runner="FnApiRunner", options=PipelineOptions([]))


def ingest(
    path: Path,
    out: Path,
    span: int = 1,
    state: Path | None = None,
    moment: int = NOW_MS,
    make: Callable[[], beam.Pipeline] = pipeline,
    **data: Any,
) -> road.Plan:
    """Ingests up to a span into the folder `out`; returns the plan, which tells what was appended to."""
    config = DataConfig(path=str(path), **({"partitions": 3} | data))
    settings = IngestSettings(config, describe(path), image_size=4, state_dir=str(state or ""))
    plan = road.plan(str(path), span, settings, moment)
    folders = {name: str(out / f"Split-{name}") for name in names.SPLITS}
    road.ingest(make, plan, folders, str(out / "rejected"), str(out / "summary.json"))
    return plan


def content(out: Path) -> dict[str, Any]:
    """All that an ingestion wrote: bytes of examples and of the summary, rows of dead letters."""
    found: dict[str, Any] = {}
    for file in sorted(path for path in out.rglob("*") if path.is_file()):
        name = str(file.relative_to(out))
        found[name] = pq.read_table(file).to_pylist() if file.suffix == ".parquet" else file.read_bytes()
    return found


def raw_records(folder: Path) -> list[bytes]:
    """Serialized records of a folder's gzip TFRecord files, in file order."""
    found = []
    for file in sorted(folder.glob("*.gz")):
        data = gzip.decompress(file.read_bytes())
        start = 0
        while start < len(data):
            # Length, its checksum, the record, its checksum.
            (length,) = struct.unpack_from("<Q", data, start)
            found.append(data[start + 12 : start + 12 + length])
            start += length + 16
    return found


def records(out: Path, split: str) -> list[dict[str, list[Any]]]:
    """Records of a split as plain values by feature, in file order."""
    return [
        {
            name: list(getattr(feature, feature.WhichOneof("kind")).value)
            for name, feature in tf.train.Example.FromString(record).features.feature.items()
        }
        for record in raw_records(out / f"Split-{split}")
    ]
