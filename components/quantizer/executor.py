"""The Quantizer's executor: restore, fit, encode, export."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.json_file import write_json
from seminar_tf.config import PipelineConfig
from seminar_tf.config_io import from_json
from seminar_tf.export.metadata import ModelMetadata
from seminar_tf.export.restored import restore_ranker
from seminar_tf.export.signatures import export_ranker
from seminar_tf.retrieval.served import Prepared, prepare

_LOG = logging.getLogger(__name__)

CODES_FILE = "codebook.npz"
QUALITY_FILE = "quality.json"


class Executor(base_executor.BaseExecutor):
    """Writes the served model and its codebook artifact, each whole or not at all."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See Quantizer.

        Raises:
          CodebookError: a channel has fewer vectors than centroids.
          ValueError: other tables than float for a rival of SEMINAR.
          MetadataError: the model is no ranker with float tables.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        config = from_json(PipelineConfig, exec_properties["config"])
        source = path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["model"]))
        metadata = ModelMetadata.load(source)
        model = restore_ranker(source)
        prepared = prepare(model, config.retrieval, config.seed)
        _LOG.info("served tables: %s; search: %s", config.retrieval.tables, prepared.search)
        artifact = artifact_utils.get_single_instance(output_dict["codebook"])
        _write(prepared, Path(artifact.uri))
        _describe(prepared, artifact)
        served = artifact_utils.get_single_uri(output_dict["served_model"])
        export_ranker(
            model,
            artifact_utils.get_single_uri(input_dict["transform_graph"]),
            config,
            metadata.tasks,
            path_utils.serving_model_dir(served),
            item_count=metadata.item_count,
        )


def _write(prepared: Prepared, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if prepared.codes is not None:
        prepared.codes.save(folder / CODES_FILE)
    report = {
        "search": prepared.search,
        "bytes_per_pair": prepared.bytes_per_pair,
        "channels": {name: asdict(quality) for name, quality in prepared.quality.items()},
    }
    write_json(folder / QUALITY_FILE, report)


def _describe(prepared: Prepared, artifact: types.Artifact) -> None:
    artifact.set_string_custom_property("search", prepared.search)
    artifact.set_float_custom_property("bytes_per_pair", prepared.bytes_per_pair)
    for name, quality in prepared.quality.items():
        artifact.set_float_custom_property(f"error_{name}", quality.error)
        artifact.set_int_custom_property(f"dead_{name}", quality.dead)
        artifact.set_float_custom_property(f"entropy_{name}", quality.entropy)
