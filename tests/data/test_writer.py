"""The dataset writer: whole or not at all, streamed into parts."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seminar_tf.data import dataset
from seminar_tf.data.dataset import DatasetError
from seminar_tf.data.writer import DatasetWriter


def _events(rows, start=0):
    return pa.table(
        {
            "user_id": ["u"] * rows,
            "timestamp": np.arange(start, start + rows),
            "kind": ["browse"] * rows,
            "query": pa.nulls(rows),
            "item_id": ["i"] * rows,
            "action": ["click"] * rows,
        }
    )


def _write(path, **kwargs):
    with DatasetWriter(path, **kwargs) as writer:
        writer.write(1, "events", _events(2))
        writer.write(1, "items", pa.table({"item_id": ["i"]}))


@pytest.mark.parametrize("sizes", [(5,), (100, 0, 1000, 3), (300, 300), (299, 2)])
def test_rows_keep_their_order_over_parts_of_a_bounded_size(tmp_path, sizes):
    with DatasetWriter(tmp_path / "d", rows_per_file=300) as writer:
        start = 0
        for size in sizes:
            writer.write(1, "events", _events(size, start))
            start += size
    files = dataset.table_files(tmp_path / "d", 1, "events")
    assert all(0 < pq.read_metadata(file).num_rows <= 300 for file in files)
    found = pa.concat_tables([pq.read_table(file) for file in files])
    assert found["timestamp"].to_pylist() == list(range(start))
    assert writer.rows == {(1, "events"): start}


def test_several_spans_and_tables_and_an_empty_one(tmp_path):
    with DatasetWriter(tmp_path / "d") as writer:
        for span in (1, 2):
            writer.write(span, "events", _events(span))
        writer.write(1, "items", pa.table({"item_id": ["i"], "title": ["t"]}))
        writer.write(1, "users", pa.table({"user_id": pa.array([], pa.string())}))
        writer.write_json("truth.json", {"ndcg": 0.5})
    spec = dataset.describe(tmp_path / "d")
    assert spec.spans == (1, 2) and spec.image == "none"
    assert json.loads((tmp_path / "d" / "truth.json").read_text()) == {"ndcg": 0.5}
    (users,) = dataset.table_files(tmp_path / "d", 1, "users")
    assert pq.read_metadata(users).num_rows == 0


def test_an_exception_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError, match="on purpose"), DatasetWriter(tmp_path / "d") as writer:
        writer.write(1, "events", _events(3))
        raise RuntimeError("on purpose")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_at_the_final_path_before_the_end(tmp_path):
    with DatasetWriter(tmp_path / "d") as writer:
        writer.write(1, "events", _events(3))
        assert not (tmp_path / "d").exists()
    assert [child.name for child in tmp_path.iterdir()] == ["d"]


def test_an_existing_dataset_is_replaced_only_when_asked(tmp_path):
    _write(tmp_path / "d")
    with pytest.raises(DatasetError, match="--overwrite"):
        DatasetWriter(tmp_path / "d")
    with pytest.raises(RuntimeError), DatasetWriter(tmp_path / "d", overwrite=True):
        raise RuntimeError
    assert dataset.find_spans(tmp_path / "d") == (1,), "a failed overwrite keeps the old dataset"
    with DatasetWriter(tmp_path / "d", overwrite=True) as writer:
        writer.write(3, "events", _events(1))
    assert dataset.find_spans(tmp_path / "d") == (3,)
    assert [child.name for child in tmp_path.iterdir()] == ["d"]


def test_a_folder_that_is_no_dataset_is_never_overwritten(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DatasetError, match="holds no dataset"):
        DatasetWriter(tmp_path, overwrite=True)
    with pytest.raises(DatasetError, match="is a file"):
        DatasetWriter(tmp_path / "thesis.tex", overwrite=True)


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "d").mkdir()
    _write(tmp_path / "d")
    assert dataset.find_spans(tmp_path / "d") == (1,)


@pytest.mark.parametrize(
    "span, table, data, message",
    [
        (1, "event", _events(1), "no table is called 'event'"),
        (0, "events", _events(1), "spans count from 1"),
        (1, "events", _events(1).drop(["kind"]), "column 'kind'"),
        (1, "events", _events(1).append_column("qurey", pa.array(["x"])), "no place for column 'qurey'"),
        (1, "events", _events(1).append_column("label_like", pa.array([1.0])), "was begun with columns"),
    ],
)
def test_rows_that_do_not_fit_are_refused(tmp_path, span, table, data, message):
    with pytest.raises(DatasetError, match=message), DatasetWriter(tmp_path / "d") as writer:
        writer.write(1, "events", _events(1))
        writer.write(span, table, data)
    assert not (tmp_path / "d").exists()


def test_types_become_canonical_and_column_order_does_not_matter(tmp_path):
    with DatasetWriter(tmp_path / "d") as writer:
        writer.write(1, "items", pa.table({"item_id": ["a"], "numeric_price": [1.0], "title": ["t"]}))
        writer.write(1, "items", pa.table({"numeric_price": [2], "title": pa.nulls(1), "item_id": ["b"]}))
    (file,) = dataset.table_files(tmp_path / "d", 1, "items")
    found = pq.read_table(file)
    assert found.schema.field("numeric_price").type == pa.float32()
    assert found["title"].to_pylist() == ["t", None]
