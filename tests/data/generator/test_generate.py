"""Files that `generate` writes: valid rows, same seed same bytes, spans, memory."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seminar_tf.config_io import ConfigError
from seminar_tf.data import duplicates, validation
from seminar_tf.data.dataset import DatasetError, DatasetSpec, describe
from seminar_tf.data.generator import generate, preset
from seminar_tf.data.generator.config import DAY_MS, END_MS
from seminar_tf.data.generator.simulate import simulate
from seminar_tf.data.generator.world import build_world
from seminar_tf.data.known_ids import KnownIds


def content_hash(path: Path) -> dict[str, str]:
    return {str(f.relative_to(path)): hashlib.sha256(f.read_bytes()).hexdigest() for f in path.rglob("*.*")}


def test_describe_reads_what_was_written(tiny):
    expected = DatasetSpec(spans=(1,), tasks=("click", "like"), numeric=("price",), image="pixels", has_requests=True)
    assert describe(tiny.path) == expected


def test_validation_accepts_every_row(tiny):
    read = {name: pq.read_table(tiny.path / "span-1" / name) for name in ("events", "requests", "items", "users")}
    known = KnownIds(pa.array(tiny.items.item_id))
    checked = {
        "events": validation.check_events(read["events"], known, END_MS, "events"),
        "requests": validation.check_requests(read["requests"], known, END_MS, "requests"),
        "items": validation.check_items(read["items"], "items"),
        "users": validation.check_users(read["users"], "users"),
    }
    for name, result in checked.items():
        assert result.rejected.num_rows == 0
        assert duplicates.drop_duplicates(result.accepted, name).rejected.num_rows == 0
        assert result.accepted.num_rows == read[name].num_rows == tiny.summary.total(name)


def test_same_seed_gives_the_same_bytes_and_another_seed_others(tiny, tmp_path):
    generate(preset("tiny"), tmp_path / "again")
    generate(preset("tiny", seed=2), tmp_path / "other")
    first = content_hash(tiny.path)
    assert content_hash(tmp_path / "again") == first
    other = content_hash(tmp_path / "other")
    assert other.keys() == first.keys()
    assert not set(other.values()) & set(first.values())


def test_a_block_does_not_depend_on_those_before_it():
    config = preset("demo", users=450)
    alone = simulate(build_world(config), 2)
    world = build_world(config)
    for number in (0, 1):
        simulate(world, number)
    after = simulate(world, 2)
    assert alone.first_user == 2 * config.users_per_block
    for name in ("item", "click", "click_ms", "query", "direct", "click_truth"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(after, name))


def test_spans_hold_the_last_days_and_together_the_same_rows(tiny, tmp_path):
    config = preset("tiny", users=120, items=2_000, spans=3)
    generate(config, tmp_path / "cut")
    generate(preset("tiny", users=120, items=2_000), tmp_path / "whole")
    assert describe(tmp_path / "cut").spans == (1, 2, 3)
    for table, keys in (("events", ["user_id", "timestamp"]), ("items", ["item_id"]), ("users", ["user_id"])):
        whole = pq.read_table(tmp_path / "whole" / "span-1" / table).to_pandas().sort_values(keys)
        parts = [tmp_path / "cut" / f"span-{n}" / table for n in (1, 2, 3)]
        cut = pa.concat_tables([pq.read_table(p) for p in parts if p.exists()]).to_pandas().sort_values(keys)
        assert whole.reset_index(drop=True).equals(cut.reset_index(drop=True))
    known: set[str] = set()
    for span, first in ((1, 0), (2, END_MS - 2 * DAY_MS), (3, END_MS - DAY_MS)):
        requests = pq.read_table(tmp_path / "cut" / f"span-{span}" / "requests").to_pandas()
        events = pq.read_table(tmp_path / "cut" / f"span-{span}" / "events").to_pandas()
        assert requests.timestamp.min() >= first
        assert requests.timestamp.max() < (END_MS - (3 - span) * DAY_MS)
        items = tmp_path / "cut" / f"span-{span}" / "items"
        known |= set(pq.read_table(items, columns=["item_id"])["item_id"].to_pylist()) if items.exists() else set()
        assert set(events.item_id) | set(requests.item_id) <= known
    assert len(known) == 2_000


def test_every_daily_span_needs_an_event(tmp_path):
    with pytest.raises(ConfigError, match=r"spans: no event falls in span \d+ of 200"):
        generate(preset("tiny", users=2, spans=200), tmp_path / "cut")
    assert not list(tmp_path.iterdir())


def test_an_existing_dataset_stays_unless_overwritten(tiny, tmp_path):
    generate(preset("tiny", users=5), tmp_path / "out")
    before = content_hash(tmp_path / "out")
    with pytest.raises(DatasetError, match="--overwrite"):
        generate(preset("tiny"), tmp_path / "out")
    assert content_hash(tmp_path / "out") == before
    generate(preset("tiny"), tmp_path / "out", overwrite=True)
    assert content_hash(tmp_path / "out") == content_hash(tiny.path)


def test_configuration_and_truth_lie_beside_the_tables(tiny):
    assert json.loads((tiny.path / "ideal.json").read_text()) == tiny.summary.ideal
    assert json.loads((tiny.path / "generator.json").read_text())["users"] == 60


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"items": 20}, r"items: expected at least 64"),
        ({"events": 100}, r"mean_events: expected events / users above 10"),
        ({"users": 0}, r"users: expected a number above 0"),
        ({"spans": 400}, r"spans: expected 1 to 365"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(sizes, message):
    with pytest.raises(ConfigError, match=message):
        preset("tiny", **sizes)


_MEMORY = """
import resource, sys, tempfile
from seminar_tf.data.generator import generate, preset
for users in (2_000, 6_000):
    with tempfile.TemporaryDirectory() as folder:
        summary = generate(preset("tiny", users=users), folder + "/out")
    print(summary.total("events"), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_peak_memory_does_not_grow_with_users():
    # A process of its own: the peak of this one also tells of earlier tests.
    done = subprocess.run([sys.executable, "-c", _MEMORY], capture_output=True, text=True, check=True)
    (few, low), (many, high) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert many > 2.5 * few > 500_000
    # Holding the rows would add hundreds of MB; allocators and write buffers settle at a tenth more.
    assert high < 1.25 * low
