"""Incremental ingestion: appending a span to the kept rows makes the bytes of reading every span, or reads them."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.behavior_example_gen import state
from tests.components.ingest_tables import DELETIONS, EVENTS, ITEMS, NOW_MS, REQUESTS, USERS, event, write
from tests.components.road_helpers import content, ingest, records

DAY = 86_400_000
START = 100 * DAY


def write_span(path: Path, span: int, seed: int, logged: bool = False, users: int = 9) -> None:
    """A day of random events: repeats of older rows, unknown items, late rows of days before, and faults."""
    rng = np.random.default_rng([seed, span])
    rows = []
    for _ in range(60):
        user, item = f"u{rng.integers(users)}", f"i{rng.integers(8)}"
        # A third arrives late; moments collide, and so do whole rows.
        day = span - int(rng.random() < 0.3)
        moment = START + day * DAY + int(rng.integers(12)) * 1000
        query = f"q{rng.integers(3)}" if rng.random() < 0.4 else None
        request = f"r{rng.integers(40)}" if rng.random() < 0.3 else None
        rows.append(event(user, moment, item, query, request_id=request))
    today = START + span * DAY
    rows += [event(None, today, "i1"), event("u1", -1, "i1"), event("u2", today, "never"), event("u3", today, "i1")]
    rows.append(rows[-1])
    write(path, span, "events", rows, EVENTS)
    items = [{"item_id": f"i{n}", "title": f"title {span}"} for n in (range(8) if span == 1 else [span])]
    write(path, span, "items", items, ITEMS)
    write(path, span, "users", [{"user_id": f"u{span}", "attributes": [f"span={span}"]}], USERS)
    if logged:
        shown = [
            {
                "request_id": f"s{rng.integers(30)}",
                "user_id": f"u{rng.integers(users + 3)}",
                "timestamp": START + span * DAY + int(rng.integers(99)),
                "kind": "browse",
                "item_id": f"i{rng.integers(9)}",
                "label_click": float(rng.integers(2)),
            }
            for _ in range(50)
        ]
        write(path, span, "requests", shown, REQUESTS)


NOW = START + 50 * DAY


@pytest.mark.parametrize(("seed", "logged"), [(0, False), (1, True)])
def test_appending_makes_the_bytes_of_a_rebuild(seed: int, logged: bool, tmp_path: Path) -> None:
    path, kept = tmp_path / "set", tmp_path / "state"
    for span in (1, 2, 3):
        write_span(path, span, seed, logged)
        if span == 3:
            # The day on which u0 asks to be forgotten, and u1's first two days.
            asked = [("u0", START + 9 * DAY), ("u1", START + 2 * DAY + 5000), ("stranger", 7)]
            write(path, 3, "deletions", [{"user_id": u, "timestamp": t} for u, t in asked], DELETIONS)
        options: dict[str, Any] = {"span": span, "moment": NOW, "retention_days": 49}
        plan = ingest(path, tmp_path / f"appended-{span}", state=kept, **options)
        assert (plan.previous.manifest.span if plan.previous else 0) == span - 1
        ingest(path, tmp_path / f"rebuilt-{span}", **options)
        assert content(tmp_path / f"appended-{span}") == content(tmp_path / f"rebuilt-{span}")
    assert [json.loads(file.read_text())["span"] for file in kept.glob("span-*/manifest.json")] == [3]
    counts = json.loads((tmp_path / "appended-3" / "summary.json").read_text())
    assert counts["erased_events"] > 5 and counts["accepted_events"] > 50 and counts["rejected_total"] > 5
    # Another split of the same rows needs no table of events to be read.
    again = ingest(path, tmp_path / "other", span=3, moment=NOW, state=kept, retention_days=49, min_history=2)
    assert again.previous is not None and again.previous.manifest.span == 3


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A state of span 1 that was made by hand, and two spans."""
    for span in (1, 2):
        write_span(tmp_path / "set", span, seed=0)
    staged = state.begin(str(tmp_path / "state"))
    state.publish(staged, str(tmp_path / "set"), 1, "rules", NOW, str(tmp_path / "none"), {})
    return tmp_path


def find(published: Path, rules: str = "rules", now_ms: int = NOW) -> state.State | None:
    return state.find(str(published / "state"), str(published / "set"), 2, rules, now_ms)


def test_a_fit_state_is_found_and_a_later_one_is_not(published: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    found = find(published)
    assert found is not None and found.manifest.span == 1 and "appends to the sequences of span 1" in caplog.text
    assert state.find(str(published / "state"), str(published / "set"), 0, "rules", NOW) is None
    assert "holds no state of a span up to 0" in caplog.text


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("data.partitions", {"rules": "others"}),
        ("files of span 1", {"touch": True}),
        ("later moment", {"now_ms": NOW - 1}),
        ("in the future", {"letter": "in_future", "now_ms": NOW + 1}),
        ("brings the item", {"letter": "unknown_item"}),
        ("missing or has another size", {"cut": True}),
    ],
)
def test_an_unfit_state_is_left_alone_and_the_log_says_why(
    reason: str, change: dict[str, Any], published: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if change.pop("touch", False):
        write(published / "set", 1, "users", [], USERS, part=1)
    letter = change.pop("letter", "")
    if letter or change.get("cut"):
        from seminar_tf.data.dead_letter import DeadLetterWriter
        from seminar_tf.data.rejection import rejected_rows

        row = json.dumps({"item_id": "i2", "user_id": "u", "timestamp": 5})
        with DeadLetterWriter(published / "letters", "events") as writer:
            writer.write(rejected_rows([row], [0], letter or "bad_kind", "events", "f"))
        staged = state.begin(str(published / "state"))
        state.publish(staged, str(published / "set"), 1, "rules", NOW, str(published / "letters"), {})
    if change.pop("cut", False):
        (part,) = (published / "state").glob("span-*/letters-events.parquet")
        part.write_bytes(part.read_bytes()[:-1])
    assert find(published, **change) is None
    assert reason in caplog.text and "reads every span" in caplog.text


def test_states_of_killed_runs_are_removed_and_broken_ones_not_used(
    published: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = published / "state"
    # No process has this number: Linux gives out none above 2**22.
    (root / f".staged-{2**22 + 1}-x").mkdir()
    (root / "span-2-broken").mkdir()
    (root / "span-2-broken" / "manifest.json").write_text("{}")
    staged = state.begin(str(root))
    assert [child.name for child in root.glob(".staged-*")] == [Path(staged).name]
    assert find(published) is not None and "is no manifest of a state" in caplog.text


def test_a_deleted_user_leaves_everything_and_may_come_back(tmp_path: Path) -> None:
    path, kept = tmp_path / "set", tmp_path / "state"
    write(path, 1, "items", [{"item_id": name} for name in "abc"], ITEMS)
    secret = [event("gone", t, "b", "a secret") for t in (10, 20, 30)] + [event("gone", 15, "nothing", "a secret")]
    others = [event("stays", t, item) for t, item in ((5, "a"), (6, "b"), (7, "c"), (8, "a"))]
    write(path, 1, "events", [*secret, secret[0], *others], EVENTS)
    write(path, 1, "users", [{"user_id": name, "attributes": ["age=9"]} for name in ("gone", "stays")], USERS)
    ingest(path, tmp_path / "one", state=kept)
    assert b"gone" in {row["user_id"][0] for row in records(tmp_path / "one", "train")}
    write(path, 2, "events", [event("gone", 40, "c"), event("gone", 41, "a"), event("gone", 25, "a")], EVENTS)
    write(path, 2, "deletions", [{"user_id": "gone", "timestamp": 30}], DELETIONS)
    plan = ingest(path, tmp_path / "two", span=2, state=kept)
    assert plan.previous is not None
    rows = [row for split in ("train", "eval", "test") for row in records(tmp_path / "two", split)]
    mine = [row for row in rows if row["user_id"] == [b"gone"]]
    assert [(row["history_item_id"], row["history_timestamp"], row["user_attributes"]) for row in mine] == [
        ([b"c", b"a"], [40, 41], [])
    ]
    assert mine[0]["target_timestamp"] == [41]
    assert records(tmp_path / "two", "queries") == []
    counted = {row["item_id"][0]: row["item_count"][0] for row in records(tmp_path / "two", "catalog")}
    assert counted[b"b"] == 1
    # Neither dead letters nor the kept rows know of what was deleted.
    for file in [*(tmp_path / "two").rglob("*.parquet"), *kept.rglob("*.parquet")]:
        assert "secret" not in str(content(file.parent))
    held = [state.load(str(file)).to_pylist() for file in kept.rglob("*.arrow")]
    assert "secret" not in str(held) and "stays" in str(held)
    counts = json.loads((tmp_path / "two" / "summary.json").read_text())
    assert counts["erased_events"] == 6 and counts["erased_users"] == 1


def test_retention_drops_what_is_older_than_the_window(tmp_path: Path) -> None:
    path = tmp_path / "set"
    write(path, 1, "items", [{"item_id": "a"}], ITEMS)
    write(path, 1, "events", [event("u", START + n * DAY, "a") for n in range(6)], EVENTS)
    ingest(path, tmp_path / "out", moment=START + 5 * DAY, retention_days=3)
    pairs = [
        t
        for split in ("train", "eval", "test")
        for row in records(tmp_path / "out", split)
        for t in row["history_timestamp"]
    ]
    assert sorted(pairs) == [START + n * DAY for n in (2, 3, 4, 5)]


def test_manifests_survive_json() -> None:
    told = state.Manifest(1, "f", "r", NOW_MS, {"erased_events": 1}, {"a": 2})
    assert state.Manifest(**json.loads(json.dumps(dataclasses.asdict(told)))) == told
