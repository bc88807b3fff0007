"""What is read off a dataset's schemas, and every fault of whole files."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seminar_tf.data import dataset
from seminar_tf.data.dataset import DatasetError, DatasetSpec

EVENTS = {
    "user_id": ["u"],
    "timestamp": [1],
    "kind": ["browse"],
    "query": pa.nulls(1, pa.string()),
    "item_id": ["a"],
    "action": ["click"],
}
REQUESTS = {"request_id": ["r"], **{k: v for k, v in EVENTS.items() if k != "action"}}


def _put(root, span, table, columns, name="part-0.parquet"):
    file = root / f"span-{span}" / table / name
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), file)
    return file


@pytest.fixture
def root(tmp_path):
    _put(tmp_path, 1, "events", EVENTS)
    _put(tmp_path, 1, "items", {"item_id": ["a"]})
    return tmp_path


def test_the_smallest_dataset(root):
    assert dataset.describe(root) == DatasetSpec(spans=(1,))


def test_tasks_numbers_vectors_and_requests_are_found_in_any_file(root):
    _put(root, 1, "events", {**EVENTS, "label_like": [1.0]}, "part-1.parquet")
    _put(root, 10, "events", EVENTS)
    _put(root, 10, "requests", {**REQUESTS, "label_click": [True]})
    items = {"item_id": ["b", "c"], "numeric_year": [1.0, 2.0], "numeric_age": [1, 2]}
    vectors = {"image_vector": pa.array([None, [1.0, 2.0, 3.0]]), "text_vector": pa.array([[1.0], None])}
    _put(root, 10, "items", {**items, **vectors})
    spec = dataset.describe(root)
    assert spec == DatasetSpec((1, 10), ("click", "like"), ("age", "year"), "vector", 3, 1, True)


@pytest.mark.parametrize("column, value", [("image", b"png"), ("image_path", "images/a.png")])
def test_pixels_win_over_vectors(root, column, value):
    _put(root, 1, "items", {"item_id": ["a"], column: [value], "image_vector": [[1.0]]})
    spec = dataset.describe(root)
    assert (spec.image, spec.image_dim) == ("pixels", 0)


def test_a_vector_column_without_a_vector_is_no_modality(root):
    _put(root, 1, "items", {"item_id": ["a"], "image_vector": pa.nulls(1, pa.list_(pa.float32()))})
    assert dataset.describe(root).image == "none"


def test_a_table_without_rows_is_fine(root):
    _put(root, 1, "events", pa.table(EVENTS).schema.empty_table().to_pydict() | {"timestamp": pa.array([], pa.int64())})
    assert dataset.describe(root).spans == (1,)


@pytest.mark.parametrize("column", EVENTS)
def test_a_missing_column_is_an_error_that_names_file_and_column(root, column):
    file = _put(root, 1, "events", {k: v for k, v in EVENTS.items() if k != column}, "part-1.parquet")
    with pytest.raises(DatasetError, match=f"part-1.parquet: column '{column}'") as caught:
        dataset.describe(root)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    "table, column, value, found",
    [
        ("events", "timestamp", 1.5, "double"),
        ("events", "timestamp", "2024-01-01", "string"),
        ("events", "user_id", 7, "int64"),
        ("events", "is_target", 1, "int64"),
        ("events", "label_click", "yes", "string"),
        ("items", "attributes", "genre=Drama", "string"),
        ("items", "image", "text", "string"),
        ("items", "image_vector", ["1"], "list"),
        ("items", "numeric_year", "1995", "string"),
    ],
)
def test_a_column_of_the_wrong_type_is_an_error_that_names_both_types(root, table, column, value, found):
    columns = EVENTS if table == "events" else {"item_id": ["a"]}
    _put(root, 1, table, {**columns, column: [value]})
    with pytest.raises(DatasetError, match=rf"column '{column}' is {found}.*, expected "):
        dataset.describe(root)


@pytest.mark.parametrize(
    "table, column, values",
    [
        ("events", "timestamp", pa.array([1], pa.uint16())),
        ("events", "user_id", pa.array(["u"]).dictionary_encode()),
        ("events", "item_id", pa.array(["u"], pa.large_string())),
        ("events", "query", pa.nulls(1)),
        ("events", "is_target", pa.array([True])),
        ("items", "image_vector", pa.array([[1.0, 2.0]], pa.list_(pa.float64(), 2))),
        ("items", "unheard_of", pa.array([1])),
    ],
)
def test_types_that_keep_their_meaning_are_accepted(root, table, column, values):
    columns = EVENTS if table == "events" else {"item_id": ["a"]}
    _put(root, 1, table, {**columns, column: values})
    assert dataset.describe(root).spans == (1,)


@pytest.mark.parametrize("content", [b"", b"not parquet", b"PAR1"])
def test_an_empty_or_broken_file_is_an_error_that_names_it(root, content):
    (root / "span-1" / "events" / "part-9.parquet").write_bytes(content)
    with pytest.raises(DatasetError, match=r"part-9\.parquet: not a readable Parquet file"):
        dataset.describe(root)


def test_missing_folders_are_told_apart(tmp_path):
    with pytest.raises(DatasetError, match="no span found"):
        dataset.describe(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="no span found"):
        dataset.describe(tmp_path)
    _put(tmp_path, 1, "events", EVENTS)
    with pytest.raises(DatasetError, match="no span has an items table"):
        dataset.describe(tmp_path)
    _put(tmp_path, 2, "items", {"item_id": ["a"]})
    with pytest.raises(DatasetError, match=r"span-2/events: no \*.parquet"):
        dataset.describe(tmp_path)
