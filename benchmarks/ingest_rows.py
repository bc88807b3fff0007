"""The rival of benchmarks/ingest.py: ingestion as a Beam pipeline is usually written, a Python dictionary an event.

It makes the records that BehaviorExampleGen makes of a clean dataset with event targets split by leave-last-out: one
example a user and split, the catalog and the queries with their train counts. Rows are checked and duplicates dropped;
dead letters, images, logged requests and spans are left out, which is in its favour.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
from apache_beam.io.parquetio import ReadFromParquet

from seminar_tf.data.examples import bytes_feature, float_feature, int_feature, serialize
from seminar_tf.features import names
from seminar_tf.features.text import normalise_text

_KEYS = ("user_id", "timestamp", "kind", "query", "item_id", "action", "request_id")
_FEWEST_UNITS = 3


def build(pipeline: beam.Pipeline, path: str, now_ms: int) -> dict[str, beam.PCollection]:
    """Serialized examples by split of span 1 of the dataset at `path`."""
    items = pipeline | "ReadItems" >> ReadFromParquet(f"{path}/span-1/items/*.parquet")
    known = beam.pvalue.AsDict(items | "KnownItems" >> beam.Map(lambda item: (item["item_id"], True)))
    segments = (
        pipeline
        | "ReadEvents" >> ReadFromParquet(f"{path}/span-1/events/*.parquet")
        | "Sound" >> beam.Filter(sound, now_ms, known)
        | "ByUser" >> beam.Map(lambda event: (event["user_id"], event))
        | "GroupByUser" >> beam.GroupByKey()
        | "Segments" >> beam.FlatMap(user_segments)
    )
    train = segments | "Train" >> beam.Filter(lambda segment: segment["split"] == "train")
    counts = {
        field: train
        | f"Each[{field}]" >> beam.FlatMap(lambda segment, field=field: [(pair[field], 1) for pair in segment["pairs"]])
        | f"Count[{field}]" >> beam.CombinePerKey(sum)
        for field in ("item_id", "query")
    }
    made = {
        name: segments
        | f"Only[{name}]" >> beam.Filter(lambda segment, name=name: segment["split"] == name)
        | f"Serialize[{name}]" >> beam.Map(segment_record)
        for name in names.SEGMENT_SPLITS
    }
    made["catalog"] = (
        {
            "item": items | "ItemById" >> beam.Map(lambda item: (item["item_id"], item)),
            "count": counts["item_id"],
        }
        | "JoinCounts" >> beam.CoGroupByKey()
        | "Serialize[catalog]" >> beam.Map(item_record)
    )
    made["queries"] = (
        counts["query"]
        | "NotEmpty" >> beam.Filter(lambda counted: bool(counted[0]))
        | "Serialize[queries]"
        >> beam.Map(
            lambda counted: serialize(
                {
                    names.QUERY: bytes_feature([counted[0].encode("utf-8")]),
                    names.QUERY_COUNT: int_feature([counted[1]]),
                }
            )
        )
    )
    return made


def sound(event: dict[str, Any], now_ms: int, known: Mapping[str, bool]) -> bool:
    """Whether an event passes ingestion's checks."""
    query = bool(event["query"] and event["query"].strip())
    return (
        bool(event["user_id"] and event["user_id"].strip())
        and event["timestamp"] is not None
        and 0 <= event["timestamp"] <= now_ms
        and event["kind"] in ("search", "browse")
        and query == (event["kind"] == "search")
        and event["item_id"] in known
        and event["action"] is not None
    )


def user_segments(grouped: tuple[str, Iterable[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """A user's segments: the pairs of each split, and targets that point into the whole sequence."""
    user, found = grouped
    distinct = {tuple(event[key] for key in _KEYS): event for event in found}
    pairs = sorted(distinct.values(), key=lambda event: event["timestamp"])
    first: dict[Any, int] = {}
    last: dict[Any, int] = {}
    for position, pair in enumerate(pairs):
        pair["query"] = normalise_text(pair["query"] or "")
        pair["key"] = pair["request_id"] if pair["request_id"] is not None else position
        first.setdefault(pair["key"], position)
        last[pair["key"]] = position
    units: list[tuple[int, list[dict[str, Any]]]] = []
    reach = -1
    for position, pair in enumerate(pairs):
        if position > reach:
            units.append((position, []))
        reach = max(reach, last[pair["key"]])
        if first[pair["key"]] >= 1:
            units[-1][1].append(pair | {"position": first[pair["key"]]})
    units = [unit for unit in units if unit[1]]
    held_out = len(units) >= _FEWEST_UNITS
    cuts = [0, units[-2][0], units[-1][0], len(pairs)] if held_out else [0, len(pairs), len(pairs), len(pairs)]
    groups = [units[:-2], units[-2:-1], units[-1:]] if held_out else [units, [], []]
    for split, name in enumerate(names.SEGMENT_SPLITS):
        held = pairs[cuts[split] : cuts[split + 1]]
        targets = [target for _, unit in groups[split] for target in unit]
        if held or targets:
            yield {"user": user, "split": name, "start": cuts[split], "pairs": held, "targets": targets}


def segment_record(segment: dict[str, Any]) -> bytes:
    """A segment, serialized."""
    pairs, targets = segment["pairs"], segment["targets"]
    number: dict[int, int] = {}
    for target in sorted(targets, key=lambda target: target["position"]):
        number.setdefault(target["position"], len(number))

    def text(rows: list[dict[str, Any]], field: str) -> Any:
        return bytes_feature([row[field].encode("utf-8") for row in rows])

    return serialize(
        {
            names.USER_ID: bytes_feature([segment["user"].encode("utf-8")]),
            names.SPAN: int_feature([1]),
            names.SPLIT: bytes_feature([segment["split"].encode()]),
            names.USER_ATTRIBUTES: bytes_feature([]),
            names.SEGMENT_START: int_feature([segment["start"]]),
            names.HISTORY_ITEM_ID: text(pairs, "item_id"),
            names.HISTORY_QUERY: text(pairs, "query"),
            names.HISTORY_TIMESTAMP: int_feature([pair["timestamp"] for pair in pairs]),
            names.TARGET_POSITION: int_feature([target["position"] for target in targets]),
            names.TARGET_TIMESTAMP: int_feature([target["timestamp"] for target in targets]),
            names.TARGET_REQUEST: int_feature([number[target["position"]] for target in targets]),
            names.TARGET_ITEM_ID: text(targets, "item_id"),
            names.TARGET_QUERY: text(targets, "query"),
            names.label("click"): float_feature([1.0] * len(targets)),
        }
    )


def item_record(joined: tuple[str, dict[str, list[Any]]]) -> bytes:
    """A catalog item with its count, serialized."""
    _, groups = joined
    (item,), count = groups["item"], sum(groups["count"])
    day = item["numeric_day"]
    return serialize(
        {
            names.ITEM_ID: bytes_feature([item["item_id"].encode("utf-8")]),
            names.ITEM_TITLE: bytes_feature([item["title"].encode("utf-8")] if item["title"] else []),
            names.ITEM_TEXT: bytes_feature([]),
            names.ITEM_ATTRIBUTES: bytes_feature([normalise_text(a).encode("utf-8") for a in item["attributes"]]),
            names.ITEM_IMAGE: bytes_feature([]),
            names.ITEM_IMAGE_VECTOR: float_feature([]),
            names.ITEM_TEXT_VECTOR: float_feature([]),
            names.ITEM_COUNT: int_feature([count]),
            names.numeric("day"): float_feature([] if day is None else [day]),
        }
    )
