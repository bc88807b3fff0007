"""The executor of BehaviorExampleGen: a Beam pipeline over the canonical tables."""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tfx import types
from tfx.components.example_gen import utils
from tfx.components.example_gen.base_example_gen_executor import BaseExampleGenExecutor
from tfx.components.util import examples_utils
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_component_specs

from components.behavior_example_gen import writing
from components.behavior_example_gen.catalog import BuildCatalog, BuildQueries
from components.behavior_example_gen.reading import COUNTS, IDS, REJECTED, Inputs, ReadRows, list_inputs
from components.behavior_example_gen.segments import ITEM_COUNTS, QUERY_COUNTS, BuildSegments
from components.behavior_example_gen.settings import IngestSettings, unpack
from seminar_tf.data import dead_letter
from seminar_tf.features import names

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Road:
    """What the Beam pipeline makes.

    Attributes:
      splits: by split, (partition, list of examples).
      rejected: dead letters as IPC bytes.
      counts: (name, number) to be added up.
    """

    splits: dict[str, beam.PCollection]
    rejected: beam.PCollection
    counts: beam.PCollection


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
            for name, shards in _build(pipeline, exec_properties).splits.items()
        }

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Ingests up to the span in `exec_properties` and fills the examples artifact."""
        self._log_startup(input_dict, output_dict, exec_properties)
        artifact = artifact_utils.get_single_instance(output_dict[standard_component_specs.EXAMPLES_KEY])
        artifact.split_names = artifact_utils.encode_split_names(list(names.SPLITS))
        letters = os.path.join(artifact.uri, writing.REJECTED_FOLDER)
        summary = os.path.join(artifact.uri, writing.SUMMARY_FILE)
        partitions = _settings(exec_properties).data.partitions
        with self._make_beam_pipeline() as pipeline:
            road = _build(pipeline, exec_properties)
            written = [
                shards
                | f"Write[{name}]"
                >> beam.ParDo(writing.WriteShard(artifact_utils.get_split_uri([artifact], name), partitions))
                | f"Rows[{name}]" >> beam.Map(lambda rows, name=name: (f"rows_{name}", rows))
                for name, shards in road.splits.items()
            ]
            refused = (
                road.rejected
                | "SplitByTable" >> beam.ParDo(writing.SplitByTable())
                | "GroupRejected" >> beam.GroupByKey()
                | "WriteRejected" >> beam.ParDo(writing.WriteDeadLetters(letters))
                | "CountRejected" >> beam.Map(lambda rows: ("rejected_total", rows))
            )
            _ = (
                (*written, refused, road.counts)
                | "AllCounts" >> beam.Flatten()
                | "SumCounts" >> beam.CombinePerKey(sum)
                | "CountsAsDict" >> beam.combiners.ToDict()
                | "WriteSummary" >> beam.Map(lambda counts: writing.write_json(summary, counts))
            )
        for name in names.SPLITS:
            _ensure_shard(artifact_utils.get_split_uri([artifact], name), partitions)
        examples_utils.set_payload_format(artifact, example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE)
        examples_utils.set_file_format(artifact, "tfrecords_gzip")
        _report(artifact, letters, summary)


def _settings(exec_properties: dict[str, Any]) -> IngestSettings:
    return unpack(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY])


def _build(pipeline: beam.Pipeline, exec_properties: dict[str, Any]) -> _Road:
    settings = _settings(exec_properties)
    path = exec_properties[standard_component_specs.INPUT_BASE_KEY]
    span = int(exec_properties[utils.SPAN_PROPERTY_NAME])
    now_ms = settings.now_ms or int(time.time() * 1000)
    tables = ["items", "users", "events"] + (["requests"] if settings.use_requests else [])
    inputs = {name: list_inputs(path, name, span) for name in tables}

    items = _read(pipeline, "items", inputs["items"], settings, now_ms, ())
    known = beam.pvalue.AsList(items[IDS])
    others = {
        name: _read(pipeline, name, inputs[name], settings, now_ms, () if name == "users" else (known,))
        for name in tables[1:]
    }
    sources = {name: found.sources for name, found in inputs.items()}
    splits = (*names.SEGMENT_SPLITS, ITEM_COUNTS, QUERY_COUNTS, REJECTED, COUNTS)
    built = (
        {name: read.rows for name, read in others.items()}
        | "GroupByUsers" >> beam.CoGroupByKey()
        | "BuildSegments" >> beam.ParDo(BuildSegments(settings, span, sources)).with_outputs(*splits)
    )
    catalog = (
        {"items": items.rows, "counts": built[ITEM_COUNTS]}
        | "GroupByItems" >> beam.CoGroupByKey()
        | "BuildCatalog"
        >> beam.ParDo(BuildCatalog(settings, path, sources["items"])).with_outputs(REJECTED, COUNTS, main="examples")
    )
    queries = built[QUERY_COUNTS] | "GroupByQueries" >> beam.GroupByKey() | "BuildQueries" >> beam.ParDo(BuildQueries())
    stages = [*others.values(), items, built, catalog]
    shards = {name: built[name] for name in names.SEGMENT_SPLITS} | {"catalog": catalog.examples, "queries": queries}
    return _Road(
        splits=shards,
        rejected=tuple(stage[REJECTED] for stage in stages) | "AllRejected" >> beam.Flatten(),
        counts=tuple(stage[COUNTS] for stage in stages) | "StageCounts" >> beam.Flatten(),
    )


def _read(
    pipeline: beam.Pipeline, name: str, inputs: Inputs, settings: IngestSettings, now_ms: int, known: tuple[Any, ...]
) -> Any:
    """Rows of one table, with tagged outputs."""
    dims = (settings.dataset.image_dim, settings.dataset.text_dim)
    read = ReadRows(inputs.families, settings.data.partitions, now_ms, *dims)
    return (
        pipeline
        | f"Files[{name}]" >> beam.Create(list(inputs.groups))
        | f"Spread[{name}]" >> beam.Reshuffle()
        | f"Read[{name}]" >> beam.ParDo(read, *known).with_outputs(REJECTED, COUNTS, IDS, main="rows")
    )


def _ensure_shard(folder: str, partitions: int) -> None:
    """Writes an empty file where a split has no examples: a split without a file cannot be read."""
    if not tf.io.gfile.glob(os.path.join(folder, "*")):
        for _ in writing.WriteShard(folder, partitions).process((0, [])):
            logger.warning("%s has no examples.", folder)


def _report(artifact: types.Artifact, letters: str, summary: str) -> None:
    """Logs counts, writes them beside the dead letters and sets them as the artifact's custom properties."""
    with tf.io.gfile.GFile(summary) as file:
        counts: dict[str, int] = json.load(file)
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
