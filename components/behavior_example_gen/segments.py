"""One partition of users: rows in, examples of the three segment splits and train counts out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.behavior_example_gen import arrow, state
from components.behavior_example_gen.reading import COUNTS, REJECTED, forget
from components.behavior_example_gen.settings import IngestSettings
from seminar_tf.data import columns, duplicates, rejection, validation
from seminar_tf.data.columns import Strings
from seminar_tf.data.erasure import Erasure
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

    def __init__(
        self,
        settings: IngestSettings,
        span: int,
        sources: dict[str, tuple[str, ...]],
        erasure: Erasure | None = None,
        staged: str = "",
    ) -> None:
        """Args:
        settings: of the ingestion.
        span: newest span.
        sources: files by number, of each table.
        erasure: what is to be left out of users and of a state's rows; the other rows lack it already.
        staged: folder of the state that is being made; "" makes none.
        """
        self._settings = settings
        self._span = span
        self._erasure = erasure
        self._staged = staged
        self._sources = {table: list(files) for table, files in sources.items()}

    def process(self, element: tuple[int, dict[str, Iterable[bytes]]]) -> Iterator[Any]:
        """Args:
        element: partition and, for each table, its rows as IPC bytes.
        """
        number, groups = element
        users, attributes = set(), {}
        found = yield from self._profiles(groups["users"])
        if found is not None:
            rows, rejected = arrow.newest_rows(found, "users", "user_id", self._sources["users"])
            yield beam.pvalue.TaggedOutput(REJECTED, arrow.to_bytes(rejected))
            yield beam.pvalue.TaggedOutput(COUNTS, ("accepted_users", -rejected.num_rows))
            users = set(columns.objects(columns.whole(rows["user_id"])))
            attributes = attribute_lists(rows, "user_id")
        events = yield from self._rows(number, "events", groups)
        requests = yield from self._rows(number, "requests", groups)
        if events is not None:
            if requests is None and self._settings.use_requests:
                requests = _no_requests()
            yield from self._build(number, events, requests, attributes)
            users -= set(columns.objects(events["user_id"].unique()))
        yield beam.pvalue.TaggedOutput(COUNTS, ("users_without_events", len(users)))

    def _profiles(self, pieces: Iterable[bytes]) -> Any:
        """Rows of `users` without those of deleted ones; None where there are none."""
        found = arrow.from_bytes(pieces)
        if found is None or not self._erasure:
            return found
        erased = self._erasure.profiles(found["user_id"], columns.integers(found["span"]))
        if not erased.any():
            return found
        for name, rows in (("accepted_users", -int(erased.sum())), ("erased_users", int(erased.sum()))):
            yield beam.pvalue.TaggedOutput(COUNTS, (name, rows))
        return None if erased.all() else found.filter(pa.array(~erased))

    def _rows(self, number: int, name: str, groups: dict[str, Iterable[Any]]) -> Any:
        """All rows of a table, those that a state keeps and the new ones, each once; None where there are none."""
        pieces = []
        for file in (file for table, file in groups.get("state", ()) if table == name):
            kept = validation.Checked(state.load(file), rejection.REJECTED_SCHEMA.empty_table())
            if self._erasure:
                kept = yield from forget(kept, self._erasure, name)
            yield beam.pvalue.TaggedOutput(COUNTS, (f"accepted_{name}", kept.accepted.num_rows))
            pieces.append(kept.accepted)
        new = arrow.from_bytes(groups.get(name, ()))
        if new is not None:
            pieces.append(new)
        rows = pa.concat_tables(pieces) if pieces else None
        if rows is None or not rows.num_rows:
            return None
        rows = yield from self._distinct(rows, name)
        if self._staged:
            state.save(self._staged, name, number, rows)
        return rows

    def _distinct(self, table: pa.Table, name: str) -> Any:
        rows = arrow.with_provenance(arrow.in_file_order(table), self._sources[name])
        checked = duplicates.drop_duplicates(rows, name)
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
    ids = column.values.take(pa.array(present)).cast(pa.string())
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
