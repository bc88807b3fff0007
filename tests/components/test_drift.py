"""Drift of a span against the one before: derived rows against plain Python, distances against NumPy, what it does."""

from __future__ import annotations

import json
import logging
import math
from collections import Counter, defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tfx.types import standard_artifacts

from components.drift import comparing, rows
from components.drift.artifacts import SpanStatistics
from components.drift.executor import DISTANCES_FILE, STATISTICS_FILE, DriftError, Executor
from seminar_tf.config import DriftConfig
from seminar_tf.config_io import to_json

HOUR = 3_600_000
DAY = 24 * HOUR


def events(seed, count=3000, items=(0.5, 0.3, 0.2), searches=0.4, first_hour=0, hours=24, day=1):
    """A day's events as plain rows; the last ones lack what they need."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        typed = rng.random() < searches
        made.append(
            {
                "user_id": f"u{rng.integers(200)}",
                "timestamp": int(day * DAY + (first_hour + rng.integers(hours)) * HOUR + rng.integers(HOUR)),
                "kind": "search" if typed else "browse",
                "query": f" q{rng.integers(4)}  word" if typed else None,
                "item_id": f"i{rng.choice(len(items), p=items)}",
            }
        )
    return made


def write(path, span, made):
    folder = path / f"span-{span}" / "events"
    folder.mkdir(parents=True)
    table = pa.Table.from_pylist(
        made, pa.schema([(n, pa.int64() if n == "timestamp" else pa.string()) for n in made[0]])
    )
    half = len(made) // 2
    for part, piece in enumerate((table[:half], table[half:])):
        pq.write_table(piece.append_column("action", pa.array(["click"] * len(piece))), folder / f"part-{part}.parquet")


def test_derived_rows(tmp_path):
    made = events(0, 300)
    nulls = [{**made[0], name: None} for name in ("user_id", "timestamp", "item_id")]
    write(tmp_path, 4, made + nulls)
    found = rows.derive(rows.read_span(tmp_path, 4)).to_pydict()
    times = defaultdict(list)
    for n, row in enumerate(made):
        times[row["user_id"]].append((row["timestamp"], n))
    for user in times.values():
        user.sort()
    for n, row in enumerate(made):
        mine = times[row["user_id"]]
        place = mine.index((row["timestamp"], n))
        assert found["item_id"][n] == [row["item_id"]] and found["kind"][n] == [row["kind"]]
        assert found["hour"][n] == [row["timestamp"] // HOUR % 24]
        assert found["query"][n] == (None if row["query"] is None else [" ".join(row["query"].split())])
        assert found["query_words"][n] == (None if row["query"] is None else [2.0])
        assert found["events_per_user"][n] == ([len(mine)] if place == 0 else None)
        if place == 0:
            assert found["gap_hours"][n] is None
        else:
            hours = (row["timestamp"] - mine[place - 1][0]) / HOUR
            assert found["gap_hours"][n][0] == pytest.approx(math.log2(1 + hours), rel=1e-5)


def test_a_span_without_events():
    empty = pa.schema([(n, pa.int64() if n == "timestamp" else pa.string()) for n in events(0, 1)[0]]).empty_table()
    assert rows.derive(empty).num_rows == 0


def shares(made, name):
    found = Counter(row[name] for row in made if row[name] is not None)
    return {value: count / sum(found.values()) for value, count in found.items()}


def test_distances_are_those_of_numpy(tmp_path):
    one, two = events(1), events(2, items=(0.2, 0.2, 0.2, 0.4), searches=0.6, first_hour=8, hours=8)
    write(tmp_path, 1, one)
    write(tmp_path, 2, two)
    before, today = (comparing.statistics(rows.derive(rows.read_span(tmp_path, span))) for span in (1, 2))
    distances, _ = comparing.compare(today, before, DriftConfig(action="warn"))
    found = {distance.feature: distance for distance in distances}
    assert set(found) == {*DriftConfig().categorical, *DriftConfig().numeric}
    for name in ("item_id", "kind"):
        p, q = shares(one, name), shares(two, name)
        wanted = max(abs(p.get(value, 0) - q.get(value, 0)) for value in {*p, *q})
        assert found[name].value == pytest.approx(wanted, abs=1e-6) and found[name].measure == "L-infinity distance"
    assert found["hour"].alarming and 0.1 < found["hour"].value <= 1
    assert not found["query_words"].alarming and found["query_words"].value < 0.01
    same, _ = comparing.compare(today, today, DriftConfig(action="warn"))
    assert max(distance.value for distance in same) == 0


def artifact(kind, folder, span, number=1):
    made = kind()
    made.uri, made.id = str(folder), number
    made.set_int_custom_property("span", span)
    return made


def check(tmp_path, span, config, against=None):
    """Runs the component; gives its statistics artifact."""
    made = artifact(SpanStatistics, tmp_path / "out" / f"statistics-{span}-{config.action}", span)
    anomalies = artifact(standard_artifacts.ExampleAnomalies, tmp_path / "out" / f"anomalies-{span}", span)
    inputs = {"examples": [artifact(standard_artifacts.Examples, tmp_path, span)]}
    inputs["baseline"] = [] if against is None else [against]
    properties = {"path": str(tmp_path), "config": to_json(config), "code": ""}
    Executor().Do(inputs, {"statistics": [made], "anomalies": [anomalies]}, properties)
    return made


def test_it_blocks_or_warns_and_says_what(tmp_path, caplog):
    write(tmp_path, 1, events(1))
    write(tmp_path, 2, events(2, day=2))
    write(tmp_path, 3, events(3, items=(0.1, 0.1, 0.8), day=3))
    block = DriftConfig(action="block", min_events=100)
    first = check(tmp_path, 1, block)
    second = check(tmp_path, 2, block, first)
    assert second.get_int_custom_property("alarms") == 0 and second.get_int_custom_property("events") == 3000
    told = r"drift of span 3 against span 2: item_id: L-infinity distance 0\.[56]\d+, above the accepted 0\.1\. Look at"
    with pytest.raises(DriftError, match=told):
        check(tmp_path, 3, block, second)
    with caplog.at_level(logging.WARNING):
        third = check(tmp_path, 3, DriftConfig(action="warn", min_events=100), second)
    assert third.get_int_custom_property("alarms") == 1 and "item_id: L-infinity" in caplog.text
    report = json.loads((tmp_path / "out" / "statistics-3-warn" / DISTANCES_FILE).read_text())
    assert (report["span"], report["against"]) == (3, 2)
    assert [one["feature"] for one in report["distances"] if one["alarming"]] == ["item_id"]
    assert (tmp_path / "out" / "statistics-3-warn" / STATISTICS_FILE).stat().st_size
    # Spans too small to tell are not compared; nor are features that were not asked for.
    check(tmp_path, 3, DriftConfig(action="block", min_events=3001), second)
    assert "not compared, as one has 3000 events and drift.min_events is 3001" in caplog.text
    check(tmp_path, 3, DriftConfig(action="block", min_events=100, categorical=("kind",)), second)
