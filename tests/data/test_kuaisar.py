"""KuaiSAR's files in the exact published layout, sound and damaged."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from seminar_tf.cli.prepare import command
from seminar_tf.data import csv_stream, dataset, duplicates, kuaisar, validation
from seminar_tf.data.dataset import DatasetError
from seminar_tf.data.known_ids import KnownIds
from tests.data import published
from tests.data.published import ITEMS, REC, SRC, START_MS, USERS, item_row, rec_row, src_row, write_csv


def _table(out, table):
    return pa.concat_tables([pq.read_table(file) for file in dataset.table_files(out, 1, table)])


def _write(folder, rec, src, items, users=()):
    folder.mkdir()
    write_csv(folder / "rec_inter.csv", REC, rec)
    write_csv(folder / "src_inter.csv", SRC, src)
    write_csv(folder / "item_features.csv", ITEMS, items)
    write_csv(folder / "user_features.csv", USERS, users)
    return folder


def _dead(out):
    rows = pq.read_table(out / "rejected" / "part-00000.parquet").to_pylist()
    return [(row["source"].rsplit("/", 1)[-1], row["row_number"], row["field"], row["reason"]) for row in rows]


def test_every_field_reaches_its_place(tmp_path):
    src = _write(
        tmp_path / "KuaiSAR_v2",
        [rec_row(1, 7, START_MS + 5000.0, 1, 1), rec_row(1, 8, "1.6847e+12", 0), rec_row(2, 7, 1684700000001.0)],
        [src_row(1, 3, START_MS, [20, 34, 3], 8, 2), src_row(1, 3, START_MS, [20, 34, 3], 9, 0)],
        [item_row(7, [1, 213, 24]), item_row(8, "[]", 0, "1970-01-01", 0)],
        [[1, 2, 3, 4, 5]],
    )
    # The archive unpacks to one folder, so the folder above will do as well.
    summary = kuaisar.prepare(src.parent, tmp_path / "out")
    names = ("user_id", "timestamp", "kind", "query", "item_id", "action", "request_id")
    events = [tuple(event[name] for name in names) for event in _table(tmp_path / "out", "events").to_pylist()]
    assert events == [
        ("1", START_MS + 5000, "browse", None, "7", "click", "r1684700005000"),
        ("2", START_MS + 1, "browse", None, "7", "click", "r1684700000001"),
        ("1", START_MS, "search", "20 34 3", "8", "click", "s3-1684700000000"),
    ]
    assert _table(tmp_path / "out", "items").to_pylist() == [
        {
            "item_id": "7",
            "title": "1 213 24",
            "attributes": ["author=10", "category1=9", "category2=136", "type=NORMAL", "upload=LongImport"],
            "numeric_upload_day": 19469.0,
        },
        {
            "item_id": "8",
            "title": None,
            "attributes": ["category2=136", "type=NORMAL", "upload=LongImport"],
            "numeric_upload_day": None,
        },
    ]
    assert _table(tmp_path / "out", "users").to_pylist() == [
        {
            "user_id": "1",
            "attributes": ["onehot_feat1=2", "onehot_feat2=3", "search_active_level=4", "rec_active_level=5"],
        }
    ]
    assert summary["not_clicked"] == {"rec_inter": 1, "src_inter": 1}
    assert (summary["browse_events"], summary["search_events"], summary["users"]) == (2, 1, 2)
    assert (summary["items_without_features"], summary["rejected"]) == (0, {})
    assert json.loads((tmp_path / "out" / "prepare.json").read_text()) == summary
    spec = dataset.describe(tmp_path / "out")
    assert (spec.tasks, spec.numeric, spec.image) == (("click",), ("upload_day",), "none")


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_written_passes_the_checks_of_ingestion(tmp_path, packed):
    src = published.write_kuaisar(tmp_path / "src", packed=packed)
    summary = kuaisar.prepare(src, tmp_path / "out")
    items = validation.check_items(_table(tmp_path / "out", "items"), "items")
    events = validation.check_events(
        _table(tmp_path / "out", "events"), KnownIds(items.accepted["item_id"].combine_chunks()), 2 * 10**12, "events"
    )
    assert items.rejected.num_rows == events.rejected.num_rows == 0
    assert summary["items_without_features"] == 1
    assert "777" in items.accepted["item_id"].to_pylist(), "an item that has an event and no features"
    assert (tmp_path / "out" / "rejected" / "_counts.json").is_file()


def test_unclicked_rows_and_labels_on_demand(tmp_path):
    src = _write(
        tmp_path / "src",
        [rec_row(1, 7, START_MS, 1, 1), rec_row(1, 8, START_MS, 0, 0)],
        [src_row(1, 3, START_MS, [5], 8, 0)],
        [item_row(7, [1]), item_row(8, [2])],
    )
    kuaisar.prepare(src, tmp_path / "out", unclicked=True, labels=("like",))
    names = ("item_id", "action", "is_target", "label_click")
    events = _table(tmp_path / "out", "events")
    assert [tuple(e[n] for n in names) for e in events.to_pylist()] == [
        ("7", "click", True, 1.0),
        ("8", "view", False, 0.0),
        ("8", "view", False, 0.0),
    ]
    np.testing.assert_array_equal(events["label_like"].to_numpy(), np.array([1.0, 0.0, np.nan], np.float32))
    assert dataset.describe(tmp_path / "out").tasks == ("click", "like")
    with pytest.raises(DatasetError, match="labels: expected some of like, follow, forward, found buy"):
        kuaisar.prepare(src, tmp_path / "other", labels=("buy",))


def test_each_bad_row_is_in_the_dead_letters_once_with_its_field(tmp_path):
    src = _write(
        tmp_path / "src",
        [
            rec_row("", 7, START_MS),
            rec_row(1, "x", START_MS),
            rec_row(1, 7, ""),
            rec_row(1, 7, "yesterday"),
            rec_row(1, 7, START_MS * 1000),
            rec_row(1, 7, START_MS, ""),
            rec_row(1, 7, START_MS),
            rec_row(1, 7, START_MS)[:-1],
        ],
        [
            src_row(1, 3, START_MS, "[]", 7),
            src_row(1, 3, START_MS, "[20, x]", 7),
            src_row(1, 3, START_MS, "[20\n1,2]", 7),
            src_row(1, 3, START_MS, [4], 7),
        ],
        [item_row(7, "[1, 2"), item_row("", [1]), item_row(8, [1], day="soon")],
        [["u", 1, 1, 1, 1]],
    )
    summary = kuaisar.prepare(src, tmp_path / "out")
    assert _dead(tmp_path / "out") == [
        ("rec_inter.csv", 0, "user_id", "missing_user_id"),
        ("rec_inter.csv", 1, "item_id", "unparsable_row"),
        ("rec_inter.csv", 2, "timestamp", "missing_timestamp"),
        ("rec_inter.csv", 3, "timestamp", "unparsable_row"),
        ("rec_inter.csv", 4, "timestamp", "unparsable_row"),
        ("rec_inter.csv", 5, "click", "unparsable_row"),
        ("rec_inter.csv", 7, None, "unparsable_row"),
        ("src_inter.csv", 0, "keyword", "search_without_query"),
        ("src_inter.csv", 1, "keyword", "unparsable_row"),
        ("src_inter.csv", 2, "keyword", "unparsable_row"),
        ("item_features.csv", 1, "item_id", "missing_item_id"),
        ("item_features.csv", 0, "caption", "bad_field"),
        ("item_features.csv", 2, "upload_time", "bad_field"),
        ("user_features.csv", 0, "user_id", "unparsable_row"),
    ]
    assert summary["rejected"]["events"] == {
        "missing_timestamp": 1,
        "missing_user_id": 1,
        "search_without_query": 1,
        "unparsable_row": 7,
    }
    assert summary["rows"] == {"events": 2, "items": 2, "users": 0}
    assert _table(tmp_path / "out", "items")["title"].to_pylist() == [None, "1"]


def test_rows_out_of_order_and_repeated_are_left_to_ingestion(tmp_path):
    rows = [rec_row(1, 7, START_MS + 9), rec_row(1, 8, START_MS), rec_row(1, 7, START_MS + 9)]
    src = _write(tmp_path / "src", rows, [], [item_row(7, [1]), item_row(8, [1])])
    kuaisar.prepare(src, tmp_path / "out")
    events = _table(tmp_path / "out", "events")
    assert events["timestamp"].to_pylist() == [START_MS + 9, START_MS, START_MS + 9]
    told = duplicates.drop_duplicates(validation.to_canonical(events, validation.schema.EVENTS, "events"))
    assert told.rejected["reason"].to_pylist() == ["duplicate_event"]


@pytest.mark.parametrize("seed", range(2))
def test_small_blocks_write_the_same_tables(tmp_path, monkeypatch, seed):
    src = published.write_kuaisar(tmp_path / "src", seed=seed)
    kuaisar.prepare(src, tmp_path / "whole")
    monkeypatch.setattr(csv_stream.read_batches, "__defaults__", (512,))
    kuaisar.prepare(src, tmp_path / "pieces")
    for table in ("events", "items", "users"):
        assert _table(tmp_path / "whole", table).equals(_table(tmp_path / "pieces", table)), table


def test_missing_files_and_columns_are_told_and_leave_nothing_behind(tmp_path):
    src = published.write_kuaisar(tmp_path / "src")
    with pytest.raises(DatasetError, match=r"found no rec_inter.csv.*Found there: nothing"):
        (tmp_path / "empty").mkdir()
        kuaisar.prepare(tmp_path / "empty", tmp_path / "out")
    (src / "user_features.csv").rename(tmp_path / "kept")
    with pytest.raises(DatasetError, match=r"user_features.csv is missing"):
        kuaisar.prepare(src, tmp_path / "out")
    (tmp_path / "kept").rename(src / "user_features.csv")
    text = (src / "item_features.csv").read_text().replace("caption", "title", 1)
    (src / "item_features.csv").write_text(text)
    with pytest.raises(DatasetError, match=r"item_features.csv: column caption is missing"):
        kuaisar.prepare(src, tmp_path / "out")
    assert not list(tmp_path.glob("out*")), "events were written already, and are gone"


def test_the_command(tmp_path):
    src = published.write_kuaisar(tmp_path / "src")
    arguments = ["kuaisar", "--src", str(src), "--out", str(tmp_path / "out")]
    told = CliRunner().invoke(command, [*arguments, "--label", "like"], catch_exceptions=False)
    assert told.exit_code == 0
    assert "KuaiSAR from" in told.output and "items without features" in told.output
    assert np.nansum(_table(tmp_path / "out", "events")["label_like"].to_numpy()) > 0
    again = CliRunner().invoke(command, arguments)
    assert again.exit_code != 0 and "--overwrite" in str(again.exception)
