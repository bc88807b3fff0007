"""Row checks, held against a row-by-row oracle in plain Python."""

import json
import math
import random

import numpy as np
import pyarrow as pa
import pytest

from seminar_tf.data import duplicates, validation
from seminar_tf.data import rejection as why
from seminar_tf.data.dataset import DatasetError
from seminar_tf.data.known_ids import KnownIds

NOW = 1_700_000_000_000
ITEMS = KnownIds(pa.array(["a", "b", "c"]))
NAN = math.nan


def _event(**changed):
    row = {
        "user_id": "u",
        "timestamp": 1_000,
        "kind": "browse",
        "query": None,
        "item_id": "a",
        "action": "click",
        "request_id": None,
        "label_click": 1.0,
    }
    return {**row, **changed}


EVENT_TYPES = pa.schema(
    [(n, pa.string()) for n in ("user_id", "kind", "query", "item_id", "action", "request_id")]
    + [("timestamp", pa.int64()), ("label_click", pa.float64())]
)


def _events(*rows):
    return pa.Table.from_pylist(list(rows), schema=EVENT_TYPES)


FAULTS = [
    ({"user_id": None}, why.MISSING_USER_ID),
    ({"user_id": ""}, why.MISSING_USER_ID),
    ({"user_id": " \t"}, why.MISSING_USER_ID),
    ({"timestamp": None}, why.MISSING_TIMESTAMP),
    ({"timestamp": -1}, why.BEFORE_1970),
    ({"timestamp": NOW + 1}, why.IN_FUTURE),
    ({"kind": None}, why.BAD_KIND),
    ({"kind": "Search"}, why.BAD_KIND),
    ({"kind": "search"}, why.SEARCH_WITHOUT_QUERY),
    ({"kind": "search", "query": " \u3000"}, why.SEARCH_WITHOUT_QUERY),
    ({"query": "shoes"}, why.BROWSE_WITH_QUERY),
    ({"item_id": None}, why.MISSING_ITEM_ID),
    ({"item_id": ""}, why.MISSING_ITEM_ID),
    ({"item_id": "nowhere"}, why.UNKNOWN_ITEM),
    ({"action": None}, why.MISSING_ACTION),
    ({"label_click": 1.5}, why.BAD_LABEL),
    ({"label_click": -0.1}, why.BAD_LABEL),
    ({"label_click": math.inf}, why.BAD_LABEL),
]


@pytest.mark.parametrize("changed, reason", FAULTS)
def test_an_event_with_one_fault_is_rejected_for_it(changed, reason):
    checked = validation.check_events(_events(_event(), _event(**changed), _event(item_id="b")), ITEMS, NOW, "f")
    assert checked.accepted["item_id"].to_pylist() == ["a", "b"]
    (letter,) = checked.rejected.to_pylist()
    assert (letter["table"], letter["reason"], letter["source"], letter["row_number"]) == ("events", reason, "f", 1)
    found = json.loads(letter["row"])
    assert set(found) == set(EVENT_TYPES.names)
    assert all(found[name] == value or value == math.inf for name, value in changed.items())


@pytest.mark.parametrize(
    "changed",
    [
        {"timestamp": 0},
        {"timestamp": NOW},
        {"kind": "search", "query": " red shoes"},
        {"query": ""},
        {"query": "  "},
        {"label_click": NAN},
        {"label_click": None},
        {"label_click": 0.0},
        {"user_id": "no row in users"},
    ],
)
def test_what_is_unusual_and_allowed_is_accepted(changed):
    checked = validation.check_events(_events(_event(**changed)), ITEMS, NOW, "f")
    assert (checked.accepted.num_rows, checked.rejected.num_rows) == (1, 0)


def test_accepted_events_have_canonical_columns_and_types():
    table = pa.table(
        {
            "extra": [1],
            "label_like": pa.array([True]),
            "action": pa.array(["click"], pa.large_string()),
            "item_id": pa.array(["a"]).dictionary_encode(),
            "query": pa.nulls(1),
            "kind": ["browse"],
            "timestamp": pa.array([7], pa.uint32()),
            "user_id": ["u"],
        }
    )
    accepted = validation.check_events(table, None, NOW, "f", families=("label_click",)).accepted
    assert accepted.schema == pa.schema(
        [
            ("user_id", pa.string()),
            ("timestamp", pa.int64()),
            ("kind", pa.string()),
            ("query", pa.string()),
            ("item_id", pa.string()),
            ("action", pa.string()),
            ("request_id", pa.string()),
            ("is_target", pa.bool_()),
            ("label_click", pa.float32()),
            ("label_like", pa.float32()),
        ]
    )
    (row,) = accepted.to_pylist()
    assert math.isnan(row["label_click"]) and row["label_like"] == 1.0 and row["query"] is None


def test_a_blank_query_of_a_browse_becomes_none_and_a_typed_one_stays_as_typed():
    rows = _events(_event(query=" "), _event(kind="search", query=" Red  shoes"))
    accepted = validation.check_events(rows, ITEMS, NOW, "f").accepted
    assert accepted["query"].to_pylist() == [None, " Red  shoes"]


def _oracle(row):
    """First reason in the documented order, None for a sound row."""
    query = row["query"] if row["query"] and row["query"].strip() else None
    label = row["label_click"]
    tests = [
        (why.MISSING_USER_ID, not row["user_id"]),
        (why.MISSING_TIMESTAMP, row["timestamp"] is None),
        (why.BEFORE_1970, row["timestamp"] is not None and row["timestamp"] < 0),
        (why.IN_FUTURE, row["timestamp"] is not None and row["timestamp"] > NOW),
        (why.BAD_KIND, row["kind"] not in ("search", "browse")),
        (why.SEARCH_WITHOUT_QUERY, row["kind"] == "search" and query is None),
        (why.BROWSE_WITH_QUERY, row["kind"] == "browse" and query is not None),
        (why.MISSING_ITEM_ID, not row["item_id"]),
        (why.UNKNOWN_ITEM, row["item_id"] not in ("a", "b", "c")),
        (why.MISSING_ACTION, row["action"] is None),
        (why.BAD_LABEL, label is not None and not math.isnan(label) and not 0 <= label <= 1),
    ]
    return next((reason for reason, fails in tests if fails), None)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_rows_with_several_faults_agree_with_the_oracle_in_whole_and_in_batches(seed):
    draw = random.Random(seed)
    values = {
        "user_id": ["u", "v", "", None],
        "timestamp": [0, 5, NOW, NOW + 1, -5, None],
        "kind": ["search", "browse", "search", "browse", "x", None],
        "query": [None, "", " ", "q", "r s"],
        "item_id": ["a", "b", "c", "z", "", None],
        "action": ["click", "click", None],
        "request_id": [None, "1"],
        "label_click": [None, NAN, 0.0, 0.5, 1.0, 2.0, -1.0],
    }
    rows = [{name: draw.choice(choices) for name, choices in values.items()} for _ in range(400)]
    table = _events(*rows)
    checked = validation.check_events(table, ITEMS, NOW, "f", provenance=True)
    wanted = [(n, reason) for n, reason in enumerate(map(_oracle, rows)) if reason]
    found = checked.rejected.to_pydict()
    assert list(zip(found["row_number"], found["reason"])) == wanted
    sound = [n for n, row in enumerate(rows) if _oracle(row) is None]
    assert checked.accepted["_row_number"].to_pylist() == sound
    batches = [
        validation.check_events(table.slice(at, 33), ITEMS, NOW, "f", row_offset=at, provenance=True)
        for at in range(0, 400, 33)
    ]
    accepted = pa.concat_tables([b.accepted for b in batches])
    # Compared as text, for NaN is not equal to itself.
    assert repr(accepted.to_pylist()) == repr(checked.accepted.to_pylist())
    assert pa.concat_tables([b.rejected for b in batches]).equals(checked.rejected)


def test_no_rows_give_no_rows():
    checked = validation.check_events(EVENT_TYPES.empty_table(), ITEMS, NOW, "f", provenance=True)
    assert checked.accepted.num_rows == checked.rejected.num_rows == 0
    assert duplicates.drop_duplicates(checked.accepted).accepted.num_rows == 0
    assert validation.check_items(pa.table({"item_id": pa.array([], pa.string())}), "f").accepted.num_rows == 0


def test_requests_need_an_id_and_follow_the_rules_of_events():
    row = {"request_id": "r", "user_id": "u", "timestamp": 1, "kind": "search", "query": "q", "item_id": "a"}
    rows = [row, {**row, "request_id": ""}, {**row, "query": None}, {**row, "item_id": "z"}, {**row, "label_like": 3.0}]
    types = {name: pa.string() for name in row} | {"timestamp": pa.int64(), "label_like": pa.float32()}
    checked = validation.check_requests(pa.Table.from_pylist(rows, schema=pa.schema(types.items())), ITEMS, NOW, "f")
    assert checked.accepted.num_rows == 1
    reasons = [why.MISSING_REQUEST_ID, why.SEARCH_WITHOUT_QUERY, why.UNKNOWN_ITEM, why.BAD_LABEL]
    assert checked.rejected["reason"].to_pylist() == reasons
    assert set(checked.rejected["table"].to_pylist()) == {"requests"}


def test_items_with_bad_ids_or_numbers_are_rejected():
    table = pa.table({"item_id": ["a", None, "b\nc", "d", "e"], "numeric_price": [1.0, 1.0, 1.0, math.inf, None]})
    checked = validation.check_items(table, "f")
    assert checked.accepted["item_id"].to_pylist() == ["a", "e"]
    assert checked.rejected["reason"].to_pylist() == [why.MISSING_ITEM_ID, why.BAD_ID, why.BAD_NUMBER]


@pytest.mark.parametrize("kind", [pa.list_(pa.float64()), pa.large_list(pa.float32())])
def test_a_bad_vector_is_reported_and_the_item_is_kept_without_it(kind):
    vectors = [[1, 2], [1], None, [1, NAN], [1, 2, 3], [math.inf, 0], [None, 1], [3, 4]]
    table = pa.table({"item_id": list("abcdefgh"), "image_vector": pa.array(vectors, kind)})
    for piece, offset in ((table, 0), (table.slice(1), 1)):
        checked = validation.check_items(piece, "f", image_dim=2, row_offset=offset)
        assert checked.accepted["item_id"].to_pylist() == list("abcdefgh")[offset:]
        kept = [[1, 2], None, None, None, None, None, None, [3, 4]]
        assert checked.accepted["image_vector"].to_pylist() == kept[offset:]
        assert checked.rejected["row_number"].to_pylist() == [1, 3, 4, 5, 6]
        assert set(checked.rejected["reason"].to_pylist()) == {why.BAD_VECTOR}


def test_vectors_of_a_rejected_item_are_not_reported_again():
    table = pa.table({"item_id": ["", "b"], "text_vector": pa.array([[1.0], [1.0]])})
    checked = validation.check_items(table, "f", text_dim=2)
    assert checked.rejected["reason"].to_pylist() == [why.MISSING_ITEM_ID, why.BAD_VECTOR]
    assert checked.accepted["text_vector"].to_pylist() == [None]


def test_fixed_size_vectors_are_read():
    fixed = pa.array([[1, 2], None, [3, 4]], pa.list_(pa.float64(), 2))
    for part in (fixed, fixed.slice(1)):
        names = ["a", "b", "c"][3 - len(part) :]
        checked = validation.check_items(pa.table({"item_id": names, "image_vector": part}), "f", image_dim=2)
        assert checked.accepted["image_vector"].to_pylist() == [[1, 2], None, [3, 4]][3 - len(part) :]
        assert checked.accepted.schema.field("image_vector").type == pa.list_(pa.float32())


def test_users_need_an_id():
    checked = validation.check_users(pa.table({"user_id": ["u", " "]}), "f")
    assert checked.accepted.to_pylist() == [{"user_id": "u", "attributes": None}]
    assert checked.rejected["reason"].to_pylist() == [why.MISSING_USER_ID]


@pytest.mark.parametrize("seed", [0, 1])
def test_duplicates_keep_the_first_and_null_equals_null(seed):
    draw = np.random.default_rng(seed)
    rows = [
        _event(user_id=f"u{draw.integers(2)}", timestamp=int(draw.integers(3)), item_id="ab"[draw.integers(2)])
        for _ in range(50)
    ]
    checked = validation.check_events(_events(*rows), ITEMS, NOW, "logs.parquet", provenance=True)
    unique = duplicates.drop_duplicates(checked.accepted)
    seen, first, repeated = set(), [], []
    for n, row in enumerate(rows):
        key = (row["user_id"], row["timestamp"], row["item_id"])
        (repeated if key in seen else first).append(n)
        seen.add(key)
    assert unique.accepted["_row_number"].to_pylist() == first
    assert unique.rejected["row_number"].to_pylist() == repeated
    assert set(unique.rejected["reason"].to_pylist()) == {why.DUPLICATE_EVENT}
    assert set(unique.rejected["source"].to_pylist()) == {"logs.parquet"}


@pytest.mark.parametrize("seed", [0, 1])
def test_duplicates_are_found_across_chunks_that_columns_do_not_share(seed):
    draw = np.random.default_rng(seed)
    rows = [_event(timestamp=int(t), query=None if t % 2 else "") for t in draw.integers(0, 40, 200)]
    whole = validation.check_events(_events(*rows), ITEMS, NOW, "f").accepted
    pieces = pa.concat_tables([whole.slice(0, 7), whole.slice(7, 90), whole.slice(97)])
    mixed = pieces.set_column(0, "user_id", whole["user_id"])
    wanted = duplicates.drop_duplicates(whole)
    assert wanted.accepted.num_rows == len({row["timestamp"] for row in rows})
    assert duplicates.drop_duplicates(mixed).accepted["timestamp"].equals(wanted.accepted["timestamp"])


@pytest.mark.parametrize(
    "table, reason", [("items", why.DUPLICATE_ITEM), ("users", why.DUPLICATE_USER), ("requests", "duplicate_candidate")]
)
def test_other_tables_have_duplicates_too(table, reason):
    row = {"user_id": "u", "item_id": "a", "request_id": "r"}
    unique = duplicates.drop_duplicates(pa.Table.from_pylist([row, row, {k: "x" for k in row}]), table, "f")
    assert unique.accepted.num_rows == 2
    assert unique.rejected["reason"].to_pylist() == [reason]


def test_events_that_differ_in_one_key_column_are_no_duplicates():
    changes = [{"user_id": "v"}, {"timestamp": 2}, {"kind": "search", "query": "q"}, {"kind": "search", "query": "r"}]
    changes += [{"item_id": "b"}, {"action": "like"}, {"request_id": "1"}, {}]
    checked = validation.check_events(_events(*(_event(**c) for c in changes)), ITEMS, NOW, "f")
    assert duplicates.drop_duplicates(checked.accepted).accepted.num_rows == len(changes)


def test_a_missing_column_or_a_value_that_does_not_fit_names_file_and_column():
    with pytest.raises(DatasetError, match=r"logs.parquet: column 'item_id'"):
        validation.check_events(_events(_event()).drop(["item_id"]), ITEMS, NOW, "logs.parquet")
    table = _events(_event())
    huge = table.set_column(table.column_names.index("timestamp"), "timestamp", pa.array([2**63], pa.uint64()))
    with pytest.raises(DatasetError, match=r"logs.parquet: column 'timestamp'"):
        validation.check_events(huge, ITEMS, NOW, "logs.parquet")


def test_text_that_is_not_utf8_is_an_error_that_names_the_column():
    raw = pa.array([b"\xff\xfe"], pa.binary())
    broken = pa.Array.from_buffers(pa.string(), 1, raw.buffers())
    table = _events(_event())
    table = table.set_column(table.column_names.index("action"), "action", broken)
    with pytest.raises(DatasetError, match=r"f: column 'action'"):
        validation.check_events(table, ITEMS, NOW, "f")


def test_a_rejected_row_with_image_bytes_is_told_without_them():
    checked = validation.check_items(pa.table({"item_id": [""], "image": [b"12345"]}), "f")
    assert json.loads(checked.rejected["row"][0].as_py())["image"] == "<5 bytes>"
