"""One partition of users: rows in, examples of the three segment splits and train counts out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.behavior_example_gen import arrow
from components.behavior_example_gen.reading import COUNTS, REJECTED
from components.behavior_example_gen.settings import IngestSettings
from seminar_tf.data import columns, validation
from seminar_tf.data.columns import Strings
from seminar_tf.data.examples import segment_examples
from seminar_tf.data.sequences import Segments, build_segments
from seminar_tf.features import names
from seminar_tf.features.text import normalise_text

ITEM_COUNTS = "item_counts"
QUERY_COUNTS = "query_counts"


class BuildSegments(beam.DoFn):
    """Turns the grouped rows of a partition into segments.

    Main output: none. Tagged: `train`, `eval`, `test`: (partition, list of examples, sorted by user id);
    ITEM_COUNTS and QUERY_COUNTS: (partition by id, table of id and count over train pairs); REJECTED; COUNTS.
    """

    def __init__(self, settings: IngestSettings, span: int, sources: dict[str, tuple[str, ...]]) -> None:
        self._settings = settings
        self._span = span
        self._sources = {table: list(files) for table, files in sources.items()}

    def process(self, element: tuple[int, dict[str, Iterable[bytes]]]) -> Iterator[Any]:
        """Args:
        element: partition and, for each table, its rows as IPC bytes.
        """
        number, groups = element
        users, attributes = set(), {}
        found = arrow.from_bytes(groups["users"])
        if found is not None:
            rows, rejected = arrow.newest_rows(found, "users", "user_id", self._sources["users"])
            yield beam.pvalue.TaggedOutput(REJECTED, arrow.to_bytes(rejected))
            yield beam.pvalue.TaggedOutput(COUNTS, ("accepted_users", -rejected.num_rows))
            users = set(columns.objects(columns.whole(rows["user_id"])))
            attributes = attribute_lists(rows, "user_id")
        events = arrow.from_bytes(groups["events"])
        if events is not None:
            events = yield from self._distinct(events, "events")
            requests = arrow.from_bytes(groups.get("requests", ()))
            if requests is not None:
                requests = yield from self._distinct(requests, "requests")
            elif self._settings.use_requests:
                requests = _no_requests()
            yield from self._build(number, events, requests, attributes)
            users -= set(columns.objects(events["user_id"].unique()))
        yield beam.pvalue.TaggedOutput(COUNTS, ("users_without_events", len(users)))

    def _distinct(self, table: pa.Table, name: str) -> Any:
        rows = arrow.with_provenance(arrow.in_file_order(table), self._sources[name])
        checked = validation.drop_duplicates(rows, name)
        if checked.rejected.num_rows:
            yield beam.pvalue.TaggedOutput(REJECTED, arrow.to_bytes(checked.rejected))
            yield beam.pvalue.TaggedOutput(COUNTS, (f"accepted_{name}", -checked.rejected.num_rows))
        return checked.accepted.drop(list(validation.PROVENANCE))

    def _build(
        self, number: int, events: pa.Table, requests: pa.Table | None, attributes: dict[bytes, list[bytes]]
    ) -> Iterator[Any]:
        config, tasks = self._settings.data, self._settings.dataset.tasks
        segments = build_segments(events, requests, config, tasks, self._span)
        records = segment_examples(segments, self._span, tasks, attributes)
        for split, name in enumerate(names.SEGMENT_SPLITS):
            examples = records[segments.split == split].tolist()
            if examples:
                yield beam.pvalue.TaggedOutput(name, (number, examples))
        yield from self._counts(segments)

    def _counts(self, segments: Segments) -> Iterator[Any]:
        partitions = self._settings.data.partitions
        train = segments.train_pairs()
        for tag, column in ((ITEM_COUNTS, segments.pairs.item), (QUERY_COUNTS, segments.pairs.query)):
            for part in arrow.partition(count_values(column, train), "id", partitions):
                yield beam.pvalue.TaggedOutput(tag, part)
        targets = np.diff(segments.target_start)
        for split, name in enumerate(names.SEGMENT_SPLITS):
            chosen = segments.split == split
            yield beam.pvalue.TaggedOutput(COUNTS, (f"targets_{name}", int(targets[chosen].sum())))
        yield beam.pvalue.TaggedOutput(COUNTS, ("users", len(segments.pairs.users)))
        yield beam.pvalue.TaggedOutput(COUNTS, ("pairs", len(segments.pairs.user)))


def count_values(column: Strings, rows: np.ndarray) -> pa.Table:
    """Table of `id` and `count`: how often each non-empty value occurs at `rows`."""
    counts = np.bincount(column.codes[rows], minlength=len(column.values))
    present = np.flatnonzero(counts)
    ids = pa.array(column.values[present], pa.binary()).cast(pa.string())
    table = pa.table({"id": ids, "count": pa.array(counts[present], pa.int64())})
    return table.filter(pc.greater(pc.binary_length(table["id"]), 0))


def attribute_lists(rows: pa.Table, key: str) -> dict[bytes, list[bytes]]:
    """`name=value` strings in their stored form, by id, of rows that have any."""
    made = {}
    for identity, values in zip(rows[key].to_pylist(), rows["attributes"].to_pylist()):
        kept = [normalise_text(value) for value in values or [] if value]
        if any(kept):
            made[identity.encode("utf-8")] = [value.encode("utf-8") for value in kept if value]
    return made


def _no_requests() -> pa.Table:
    """Impressions of a partition that has none: no targets, still history."""
    kinds = {"user_id": pa.string(), "request_id": pa.string(), "item_id": pa.string(), "query": pa.string()}
    kinds |= {"timestamp": pa.int64(), "order": pa.int64(), "span": pa.int32()}
    return pa.schema(list(kinds.items())).empty_table()
