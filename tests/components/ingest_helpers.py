"""A way to run the component's executor on a dataset, and to read what it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import seminar_tf  # noqa: F401

# isort: split
import tensorflow as tf
from google.protobuf import json_format
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import artifact_utils, standard_artifacts

from components.behavior_example_gen.executor import Executor
from components.behavior_example_gen.packing import pack
from components.behavior_example_gen.settings import IngestSettings
from pipelines.beam_arguments import beam_arguments
from seminar_tf.config import BeamConfig, DataConfig
from seminar_tf.data.dataset import describe
from tests.components.ingest_tables import NOW_MS

BEAM_ARGS = beam_arguments(BeamConfig())


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
