"""The Beam pipeline of BehaviorExampleGen, free of TFX: tables in, examples by split and partition out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from components import beam_workers
from components.behavior_example_gen import failures, state, writing
from components.behavior_example_gen.catalog import BuildCatalog, BuildQueries
from components.behavior_example_gen.reading import (
    COUNTS,
    IDS,
    REJECTED,
    Inputs,
    ReadLetters,
    ReadRows,
    list_inputs,
)
from components.behavior_example_gen.segments import ITEM_COUNTS, QUERY_COUNTS, BuildSegments
from components.behavior_example_gen.settings import IngestSettings
from seminar_tf.data.erasure import TIMED, Erasure, read_erasure
from seminar_tf.data.retention import oldest_kept_ms
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


@dataclass(frozen=True)
class Plan:
    """One ingestion, before it begins.

    Attributes:
      path: the dataset's folder.
      span: the span to ingest up to.
      settings: of the ingestion.
      now_ms: events after this moment are rejected.
      inputs: files of each table, all spans.
      erasure: deleted users and the retention window.
      rules: fingerprint of what decides which rows are accepted.
      previous: the state whose rows are appended to; None reads every span.
    """

    path: str
    span: int
    settings: IngestSettings
    now_ms: int
    inputs: dict[str, Inputs]
    erasure: Erasure
    rules: str
    previous: state.State | None


def plan(path: str, span: int, settings: IngestSettings, now_ms: int) -> Plan:
    """Looks at the dataset and at the states.

    Raises:
      DatasetError: a file is unreadable or has unfit columns, or a deletion cannot be used.
    """
    tables = ["items", "users", "events"] + (["requests"] if settings.use_requests else [])
    inputs = {name: list_inputs(path, name, span) for name in tables}
    rules = state.rules_fingerprint(settings, {name: found.families for name, found in inputs.items()})
    previous = state.find(settings.state_dir, path, span, rules, now_ms) if settings.state_dir else None
    erasure = read_erasure(path, span, oldest_kept_ms(settings.data.retention_days, now_ms))
    return Plan(path, span, settings, now_ms, inputs, erasure, rules, previous)


def ingest(
    make_pipeline: Callable[[], beam.Pipeline], plan: Plan, folders: Mapping[str, str], letters: str, summary: str
) -> None:
    """Runs an ingestion: all of its files, or an error and none.

    Args:
      make_pipeline: a new pipeline, any runner's.
      plan: from `plan`.
      folders: by split, where its files go.
      letters: folder of the dead letters.
      summary: JSON file of the counts.

    Raises:
      IngestError: the disk is full, or a worker process died.
    """
    outputs = [*folders.values(), letters, summary]
    beam_workers.watch()
    with failures.whole_or_nothing(outputs, os.path.dirname(summary)):
        staged = state.begin(plan.settings.state_dir) if plan.settings.state_dir else ""
        try:
            with make_pipeline() as pipeline:
                write(build(pipeline, plan, staged), folders, letters, summary, plan.settings.data.partitions)
            if staged:
                counts = writing.read_json(summary)
                state.publish(staged, plan.path, plan.span, plan.rules, plan.now_ms, letters, counts)
        finally:
            if staged:
                shutil.rmtree(staged, ignore_errors=True)


def build(pipeline: beam.Pipeline, plan: Plan, staged: str = "") -> Road:
    """Adds the way from tables to examples to a pipeline.

    Args:
      pipeline: any runner's.
      plan: from `plan`.
      staged: folder of the state that is made on the way; "" makes none.
    """
    settings, inputs = plan.settings, plan.inputs
    items = _read(pipeline, "items", plan, ())
    known = beam.pvalue.AsList(items[IDS])
    others = {
        name: _read(pipeline, name, plan, () if name == "users" else (known,)) for name in inputs if name != "items"
    }
    sources = {name: found.sources for name, found in inputs.items()}
    grouped = {name: read.rows for name, read in others.items()}
    stages = [*others.values(), items]
    counts = []
    if plan.previous is not None:
        # Typed as the rows of tables are: what is grouped together must have one coder for its keys.
        parts = beam.Map(lambda part: part).with_output_types(Any)
        grouped["state"] = pipeline | "State" >> beam.Create(plan.previous.parts()) | "StateParts" >> parts
        stages.append(
            pipeline
            | "StateLetters" >> beam.Create(plan.previous.letters())
            | "ReadLetters" >> beam.ParDo(ReadLetters(plan.erasure)).with_outputs(REJECTED, COUNTS)
        )
        counts.append(pipeline | "StateCounts" >> beam.Create(_carried(plan.previous, inputs)))
    splits = (*names.SEGMENT_SPLITS, ITEM_COUNTS, QUERY_COUNTS, REJECTED, COUNTS)
    built = (
        grouped
        | "GroupByUsers" >> beam.CoGroupByKey()
        | "BuildSegments"
        >> beam.ParDo(BuildSegments(settings, plan.span, sources, plan.erasure, staged)).with_outputs(*splits)
    )
    catalog = (
        {"items": items.rows, "counts": built[ITEM_COUNTS]}
        | "GroupByItems" >> beam.CoGroupByKey()
        | "BuildCatalog"
        >> beam.ParDo(BuildCatalog(settings, plan.path, sources["items"])).with_outputs(
            REJECTED, COUNTS, main="examples"
        )
    )
    queries = built[QUERY_COUNTS] | "GroupByQueries" >> beam.GroupByKey() | "BuildQueries" >> beam.ParDo(BuildQueries())
    stages += [built, catalog]
    shards = {name: built[name] for name in names.SEGMENT_SPLITS} | {"catalog": catalog.examples, "queries": queries}
    return Road(
        splits=shards,
        rejected=tuple(stage[REJECTED] for stage in stages) | "AllRejected" >> beam.Flatten(),
        counts=(*(stage[COUNTS] for stage in stages), *counts) | "StageCounts" >> beam.Flatten(),
    )


def _carried(previous: state.State, inputs: Mapping[str, Inputs]) -> list[tuple[str, int]]:
    """Counts of rows that are not read again; of tables without an accepted row, that there were some to read."""
    read = [
        name for name in TIMED if name in inputs and any(g.span <= previous.manifest.span for g in inputs[name].groups)
    ]
    return [*previous.manifest.erased.items(), *((f"accepted_{name}", 0) for name in read)]


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


def _read(pipeline: beam.Pipeline, name: str, plan: Plan, known: tuple[Any, ...]) -> Any:
    """Rows of one table, with tagged outputs; of events and requests, those that no state holds."""
    inputs, spec = plan.inputs[name], plan.settings.dataset
    held = plan.previous.manifest.span if plan.previous is not None and name in TIMED else 0
    dims = (spec.image_dim, spec.text_dim)
    read = ReadRows(inputs.families, plan.settings.data.partitions, plan.now_ms, *dims, plan.erasure)
    return (
        pipeline
        | f"Files[{name}]" >> beam.Create([group for group in inputs.groups if group.span > held])
        | f"Spread[{name}]" >> beam.Reshuffle()
        | f"Read[{name}]" >> beam.ParDo(read, *known).with_outputs(REJECTED, COUNTS, IDS, main="rows")
    )
