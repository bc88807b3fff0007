"""The executor of BehaviorExampleGen: a Beam pipeline over the canonical tables."""

from __future__ import annotations

import logging
import os
import time
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tfx import types
from tfx.components.example_gen import utils
from tfx.components.example_gen.base_example_gen_executor import BaseExampleGenExecutor
from tfx.components.util import examples_utils
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_component_specs

from components.behavior_example_gen import road, writing
from components.behavior_example_gen.packing import unpack
from seminar_tf.data import dead_letter
from seminar_tf.data.retention import OLDEST_MS
from seminar_tf.features import names

logger = logging.getLogger(__name__)


class Executor(BaseExampleGenExecutor):
    """Reads tables, checks rows, groups them by a hash of the user and writes segments, catalog and queries.

    Equal input gives equal files: rows are sorted within a partition and each partition has files of its own.
    """

    def GetInputSourceToExamplePTransform(self) -> beam.PTransform:
        """Not used: a segment needs more than one record, so `GenerateExamplesByBeam` is overridden."""
        raise TypeError("BehaviorExampleGen joins four tables; call GenerateExamplesByBeam.")

    def GenerateExamplesByBeam(
        self, pipeline: beam.Pipeline, exec_properties: dict[str, Any]
    ) -> dict[str, beam.PCollection]:
        """Serialized examples by split, as the base class has it; `Do` writes the same ones partition by partition."""
        return {
            name: shards | f"Records[{name}]" >> beam.FlatMap(lambda shard: shard[1])
            for name, shards in road.build(pipeline, _plan(exec_properties)).splits.items()
        }

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Ingests up to the span in `exec_properties` and fills the examples artifact.

        Raises:
          DatasetError: the dataset cannot be read.
          IngestError: the disk is full, or a worker process died; the artifact holds nothing then.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        artifact = artifact_utils.get_single_instance(output_dict[standard_component_specs.EXAMPLES_KEY])
        artifact.split_names = artifact_utils.encode_split_names(list(names.SPLITS))
        letters = os.path.join(artifact.uri, writing.REJECTED_FOLDER)
        summary = os.path.join(artifact.uri, writing.SUMMARY_FILE)
        folders = {name: artifact_utils.get_split_uri([artifact], name) for name in names.SPLITS}
        plan = _plan(exec_properties)
        road.ingest(self._make_beam_pipeline, plan, folders, letters, summary)
        partitions = plan.settings.data.partitions
        for name in names.SPLITS:
            _ensure_shard(folders[name], partitions)
        examples_utils.set_payload_format(artifact, example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE)
        examples_utils.set_file_format(artifact, "tfrecords_gzip")
        _report(artifact, letters, summary)
        # What the skew check must leave out as well.
        artifact.set_int_custom_property(OLDEST_MS, plan.erasure.oldest_ms)


def _plan(exec_properties: dict[str, Any]) -> road.Plan:
    settings = unpack(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY])
    path = exec_properties[standard_component_specs.INPUT_BASE_KEY]
    span = int(exec_properties[utils.SPAN_PROPERTY_NAME])
    return road.plan(path, span, settings, settings.now_ms or int(time.time() * 1000))


def _ensure_shard(folder: str, partitions: int) -> None:
    """Writes an empty file where a split has no examples: a split without a file cannot be read."""
    if not tf.io.gfile.glob(os.path.join(folder, "*")):
        for _ in writing.WriteShard(folder, partitions).process((0, [])):
            logger.warning("%s has no examples.", folder)


def _report(artifact: types.Artifact, letters: str, summary: str) -> None:
    """Logs counts, writes them beside the dead letters and sets them as the artifact's custom properties."""
    counts = writing.read_json(summary)
    refused = dead_letter.read_counts(letters)
    prefix = "accepted_"
    accepted = {name.removeprefix(prefix): rows for name, rows in counts.items() if name.startswith(prefix)}
    dead_letter.report(refused, accepted, letters)
    if counts.get("users_without_events"):
        logger.warning("%d users have no events and get no segment.", counts["users_without_events"])
    counts.setdefault("rejected_total", 0)
    for (_, reason), rows in refused.items():
        counts[f"rejected_{reason}"] = counts.get(f"rejected_{reason}", 0) + rows
    for name, rows in sorted(counts.items()):
        artifact.set_int_custom_property(name, int(rows))
