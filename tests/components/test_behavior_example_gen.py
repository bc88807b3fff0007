"""BehaviorExampleGen's executor on hand-made tables: every split, every fault, spans, images, determinism."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.behavior_example_gen.component import BehaviorExampleGen
from components.behavior_example_gen.packing import pack, unpack
from components.behavior_example_gen.settings import files_fingerprint
from seminar_tf.config import DataConfig, FeatureConfig
from seminar_tf.data.dataset import DatasetError, describe
from seminar_tf.data.retention import OLDEST_MS
from tests.components.ingest_helpers import ingest, read_split
from tests.components.ingest_tables import EVENTS, ITEMS, NOW_MS, REQUESTS, USERS, event, png, write

RED = (200, 10, 20)


def _items() -> list[dict]:
    return [
        {"item_id": "a", "title": "Red  shoe", "attributes": ["color=red", " tag=x  y "], "image": png(RED)},
        {"item_id": "b", "title": "Blue hat", "image_path": "pictures/b.png", "numeric_price": 3.5},
        {"item_id": "c", "title": None, "image": b"no image"},
        {"item_id": "d", "image_path": "pictures/missing.png"},
        {"item_id": "e", "image_path": "../outside.png"},
        {"item_id": "a", "title": "twice"},
        {"item_id": None, "title": "nameless"},
    ]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "set"
    rows = [
        event("u1", 400, "d", " red \t shoe ", request_id="r"),
        event("u1", 401, "a", "red shoe", request_id="r"),
        event("u1", 100, "a"),
        event("u1", 300, "c", "hat"),
        event("u1", 200, "b"),
        event("u2", 50, "b"),
        event("u2", 60, "a", "hat"),
        event("u2", 50, "b"),  # duplicate
        event("u2", -1, "b"),  # before 1970
        event("u2", NOW_MS + 1, "b"),  # in the future
        event("u2", 70, "zzz"),  # unknown item
        event(None, 80, "a"),  # nobody
    ]
    write(path, 1, "events", rows[:5], EVENTS)
    write(path, 1, "events", rows[5:], EVENTS, part=1)
    write(path, 1, "events", [], EVENTS, part=2)
    write(path, 1, "items", _items(), ITEMS)
    users = [{"user_id": "u1", "attributes": ["age=30"]}, {"user_id": "idle", "attributes": []}]
    write(path, 1, "users", users, USERS)
    (path / "pictures").mkdir()
    (path / "pictures" / "b.png").write_bytes(png((0, 0, 250), 3))
    (path.parent / "outside.png").write_bytes(png(RED))
    return path


@pytest.fixture(scope="module")
def artifact(dataset: Path, tmp_path_factory: pytest.TempPathFactory):
    return ingest(dataset, tmp_path_factory.mktemp("out"))


def test_a_user_is_stored_once_in_time_order(artifact) -> None:
    by_user = {row["user_id"][0]: row for row in read_split(artifact, "train")}
    assert by_user[b"u1"]["history_item_id"] == [b"a", b"b"]
    assert by_user[b"u2"]["history_item_id"] == [b"b", b"a"]
    assert by_user[b"u2"]["history_query"] == [b"", b"hat"]
    assert by_user[b"u2"]["history_timestamp"] == [50, 60]
    assert by_user[b"u1"]["user_attributes"] == [b"age=30"]
    assert by_user[b"u2"]["target_position"] == [1]
    assert by_user[b"u2"]["label_click"] == [1.0]
    assert by_user[b"u2"]["split"] == [b"train"]


def test_the_last_request_is_test_and_its_pairs_do_not_see_each_other(artifact) -> None:
    (test,) = read_split(artifact, "test")
    assert test["segment_start"] == [3]
    assert test["history_item_id"] == test["target_item_id"] == [b"d", b"a"]
    assert test["history_query"] == [b"red shoe", b"red shoe"]
    assert test["target_position"] == [3, 3]
    assert test["target_request"] == [0, 0]


def test_two_targets_are_too_few_to_hold_any_out(dataset: Path, tmp_path: Path) -> None:
    made = ingest(dataset, tmp_path, min_history=2)
    assert read_split(made, "eval") == []
    assert read_split(made, "test") == []


def test_catalog_has_every_item_with_pixels_and_train_counts(artifact) -> None:
    items = read_split(artifact, "catalog")
    by_id = {row["item_id"][0]: row for row in items}
    assert sorted(by_id) == [b"a", b"b", b"c", b"d", b"e"] and len(items) == 5
    pixels = np.frombuffer(by_id[b"a"]["item_image"][0], np.uint8).reshape(4, 4, 3)
    assert (pixels == RED).all()
    assert np.frombuffer(by_id[b"b"]["item_image"][0], np.uint8)[:3].tolist() == [0, 0, 250]
    assert all(by_id[name]["item_image"] == [] for name in (b"c", b"d", b"e"))
    assert by_id[b"a"]["item_attributes"] == [b"color=red", b"tag=x y"]
    assert by_id[b"a"]["item_title"] == [b"Red  shoe"]
    assert by_id[b"b"]["item_numeric_price"] == [3.5] and by_id[b"a"]["item_numeric_price"] == []
    train = [item for row in read_split(artifact, "train") for item in row["history_item_id"]]
    assert {name: row["item_count"][0] for name, row in by_id.items()} == {n: train.count(n) for n in by_id}


def test_queries_are_those_of_train_pairs(artifact) -> None:
    assert [(row["query"], row["query_count"]) for row in read_split(artifact, "queries")] == [([b"hat"], [1])]


def test_rejected_rows_are_kept_and_counted(artifact) -> None:
    letters = pq.read_table(Path(artifact.uri) / "rejected", columns=["table", "reason", "source", "row_number"])
    found = sorted((row["table"], row["reason"], row["row_number"]) for row in letters.to_pylist())
    assert found == [
        ("events", "before_1970", 3),
        ("events", "duplicate_event", 2),
        ("events", "in_future", 4),
        ("events", "missing_user_id", 6),
        ("events", "unknown_item", 5),
        ("items", "bad_image", 2),
        ("items", "bad_image", 3),
        ("items", "bad_image", 4),
        ("items", "duplicate_item", 5),
        ("items", "missing_item_id", 6),
    ]
    assert {row["source"] for row in letters.to_pylist()} == {
        "span-1/events/part-1.parquet",
        "span-1/items/part-0.parquet",
    }
    counts = {name: artifact.get_int_custom_property(name) for name in ("rejected_total", "rejected_bad_image")}
    assert counts == {"rejected_total": 10, "rejected_bad_image": 3}
    assert artifact.get_int_custom_property("rows_train") == 2
    assert artifact.get_int_custom_property("rows_catalog") == 5
    assert artifact.get_int_custom_property("accepted_events") == 7
    assert artifact.get_int_custom_property("pairs") == 7
    assert artifact.get_int_custom_property("users_without_events") == 1


def test_equal_input_gives_equal_files(dataset: Path, artifact, tmp_path: Path) -> None:
    again = ingest(dataset, tmp_path)
    files = sorted(p.relative_to(artifact.uri) for p in Path(artifact.uri).glob("Split-*/*"))
    assert files == sorted(p.relative_to(again.uri) for p in Path(again.uri).glob("Split-*/*"))
    for file in files:
        assert (Path(artifact.uri) / file).read_bytes() == (Path(again.uri) / file).read_bytes()


def test_a_later_span_adds_events_and_replaces_items(tmp_path: Path) -> None:
    path = tmp_path / "set"
    items = [{"item_id": name, "title": "old"} for name in "abcd"]
    write(path, 1, "items", items, ITEMS)
    write(path, 1, "events", [event("u", time, item) for time, item in enumerate("abc")], EVENTS)
    write(path, 2, "items", [{"item_id": "a", "title": "new"}], ITEMS)
    write(path, 2, "events", [event("u", 10, "d"), event("u", 1, "b"), event("u", 20, "a")], EVENTS)
    first = ingest(path, tmp_path / "one", span=1)
    assert [row["item_title"] for row in read_split(first, "catalog")].count([b"new"]) == 0
    second = ingest(path, tmp_path / "two", span=2, target_spans="newest")
    (train,) = read_split(second, "train")
    assert train["history_item_id"] == [b"a", b"b", b"c", b"d", b"a"]
    assert train["target_item_id"] == [b"d", b"a"] and train["target_position"] == [3, 4]
    titles = {row["item_id"][0]: row["item_title"] for row in read_split(second, "catalog")}
    assert titles == {b"a": [b"new"], b"b": [b"old"], b"c": [b"old"], b"d": [b"old"]}
    assert second.get_int_custom_property("rejected_duplicate_event") == 1


def test_the_artifact_says_from_which_moment_on_events_were_kept(artifact, tmp_path: Path) -> None:
    assert artifact.get_int_custom_property(OLDEST_MS) == 0
    write(tmp_path / "set", 1, "items", [{"item_id": "a"}], ITEMS)
    write(tmp_path / "set", 1, "events", [event("u", time, "a") for time in range(3)], EVENTS)
    moment = 1_700_000_000_000
    kept = ingest(tmp_path / "set", tmp_path / "out", moment=moment, retention_days=2)
    assert kept.get_int_custom_property(OLDEST_MS) == moment - 2 * 86_400_000


def test_logged_impressions_are_targets_where_there_are_any(tmp_path: Path) -> None:
    path = tmp_path / "set"
    write(path, 1, "items", [{"item_id": name} for name in "abc"], ITEMS)
    write(path, 1, "events", [event("u", time, item) for time, item in ((1, "a"), (5, "b"), (9, "c"))], EVENTS)
    shown = [("r1", 5, "b", 1.0), ("r1", 5, "c", 0.0), ("r2", 9, "c", None), ("r0", 1, "a", 1.0)]
    rows = [
        {
            "request_id": r,
            "user_id": "u",
            "timestamp": t,
            "kind": "search",
            "query": "q",
            "item_id": i,
            "label_click": y,
        }
        for r, t, i, y in shown
    ]
    write(path, 1, "requests", rows, REQUESTS)
    made = ingest(path, tmp_path / "out")
    (train,) = read_split(made, "train")
    assert train["target_position"] == [1, 1, 2] and train["target_request"] == [0, 0, 1]
    assert train["target_item_id"] == [b"b", b"c", b"c"] and train["target_query"] == [b"q"] * 3
    assert train["label_click"][:2] == [1.0, 0.0] and np.isnan(train["label_click"][2])
    (events,) = read_split(ingest(path, tmp_path / "events", targets="events"), "train")
    assert events["target_position"] == [1, 2]


def test_the_cache_key_covers_files_of_older_spans_and_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "set"
    for span in (1, 2):
        write(path, span, "events", [event("u", span, "a")], EVENTS)
        write(path, span, "items", [{"item_id": "a"}], ITEMS)
    before = files_fingerprint(path, 2)
    write(path, 2, "events", [event("u", 7, "a")], EVENTS)
    assert files_fingerprint(path, 2) == before
    write(path, 1, "events", [event("u", 7, "a"), event("u", 8, "a")], EVENTS)
    assert files_fingerprint(path, 2) != before
    assert files_fingerprint(path, 1) == ""
    component = BehaviorExampleGen(DataConfig(path=str(path)), FeatureConfig(image_size=8), describe(path), code="x")
    settings = unpack(component.exec_properties["custom_config"])
    assert (settings.image_size, settings.code, settings.dataset.spans) == (8, "x", (1, 2))
    assert settings.older_files == files_fingerprint(path, 2)
    assert unpack(_as_json(pack(settings))) == settings


def test_impossible_wishes_are_refused_with_advice(dataset: Path) -> None:
    spec = describe(dataset)
    with pytest.raises(DatasetError, match="span 7 is not in"):
        BehaviorExampleGen(DataConfig(path=str(dataset)), FeatureConfig(), spec, span=7)
    with pytest.raises(DatasetError, match=r"set data\.targets to events"):
        BehaviorExampleGen(DataConfig(path=str(dataset), targets="requests"), FeatureConfig(), spec)


def _as_json(proto: object) -> str:
    from google.protobuf import json_format

    return json_format.MessageToJson(proto)  # type: ignore[arg-type]
