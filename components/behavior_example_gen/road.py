"""The Beam pipeline of BehaviorExampleGen, free of TFX: tables in, examples by split and partition out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from components.behavior_example_gen import writing
from components.behavior_example_gen.catalog import BuildCatalog, BuildQueries
from components.behavior_example_gen.reading import COUNTS, IDS, REJECTED, Inputs, ReadRows, list_inputs
from components.behavior_example_gen.segments import ITEM_COUNTS, QUERY_COUNTS, BuildSegments
from components.behavior_example_gen.settings import IngestSettings
from seminar_tf.features import names


@dataclass(frozen=True)
class Road:
    """What the pipeline makes.

    Attributes:
      splits: by split, (partition, list of examples).
      rejected: dead letters as IPC bytes.
      counts: (name, number) to be added up.
    """

    splits: dict[str, beam.PCollection]
    rejected: beam.PCollection
    counts: beam.PCollection


def build(pipeline: beam.Pipeline, path: str, span: int, settings: IngestSettings, now_ms: int) -> Road:
    """Adds the way from tables to examples to a pipeline.

    Args:
      pipeline: any runner's.
      path: the dataset's folder.
      span: the span to ingest up to.
      settings: of the ingestion.
      now_ms: events after this moment are rejected.

    Raises:
      DatasetError: a file is unreadable or has unfit columns.
    """
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
    return Road(
        splits=shards,
        rejected=tuple(stage[REJECTED] for stage in stages) | "AllRejected" >> beam.Flatten(),
        counts=tuple(stage[COUNTS] for stage in stages) | "StageCounts" >> beam.Flatten(),
    )


def write(road: Road, folders: Mapping[str, str], letters: str, summary: str, partitions: int) -> None:
    """Adds the writing of files.

    Args:
      road: from `build`.
      folders: by split, where its files go.
      letters: folder of the dead letters.
      summary: JSON file of the counts.
      partitions: how many, which file names tell.
    """
    written = [
        shards
        | f"Write[{name}]" >> beam.ParDo(writing.WriteShard(folders[name], partitions))
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
