"""Parts that the adapters share, against plain Python: distinct ids, attribute lists, faults of fields."""

import random

import numpy as np
import pyarrow as pa
import pytest

from seminar_tf.data import row_faults
from seminar_tf.data.attribute_lists import attribute_lists
from seminar_tf.data.id_set import IdSet
from seminar_tf.data.row_faults import Fault


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("waiting_rows", [1, 7, 1000])
def test_id_sets(seed, waiting_rows):
    draw = random.Random(seed)
    sets, oracles = (IdSet(waiting_rows), IdSet(waiting_rows)), ({}, {})
    for _ in range(20):
        for held, oracle in zip(sets, oracles):
            ids = [draw.choice(["", "é", "xé", str(draw.randrange(60))]) for _ in range(draw.randrange(9))]
            held.add(pa.chunked_array([ids[:3], ids[3:]], pa.string()))
            oracle.update(dict.fromkeys(ids))
    assert [len(held) for held in sets] == [len(oracle) for oracle in oracles]
    # Stable: of one last character in order of appearance.
    lacking = sorted((i for i in oracles[0] if i not in oracles[1]), key=lambda i: i[-1:])
    assert sets[0].without(sets[1]).to_pylist() == lacking
    assert sets[0].without(IdSet()).to_pylist() == sorted(oracles[0], key=lambda i: i[-1:])
    assert IdSet().without(sets[0]).to_pylist() == []


@pytest.mark.parametrize("seed", range(3))
def test_attribute_lists(seed):
    draw = random.Random(seed)
    rows = 25
    words = lambda: draw.choice([None, "", "  ", "a", " b=c ", "é"])  # noqa: E731
    single = [[words() for _ in range(rows)] for _ in range(2)]
    lists = [draw.choice([None, [words() for _ in range(draw.randrange(4))]]) for _ in range(rows)]
    columns = [
        ("x", pa.chunked_array([single[0][:9], single[0][9:]], pa.string())),
        ("l", pa.array(lists, pa.list_(pa.string()))),
        ("y", pa.array(single[1], pa.string())),
    ]
    expected = []
    for x, values, y in zip(single[0], lists, single[1]):
        named = [("x", x), *(("l", value) for value in values or []), ("y", y)]
        expected.append([f"{name}={value.strip()}" for name, value in named if value and value.strip()])
    assert attribute_lists(columns, rows).to_pylist() == expected
    assert attribute_lists([], 2).to_pylist() == [[], []]


def test_times():
    texts = ["1684742000330", "1684742000330.0", " 1.684742e+12 ", "1684742000330.6", "-5", "", " ", None]
    texts += ["soon", "1e400", "nan", "inf", "0x10", "1,5", "1684742000330000", "9" * 30, "2023-05-22 15:53:20"]
    column = pa.chunked_array([texts], pa.string())
    missing, unparsable = row_faults.time_faults(column, "time")
    assert [text for text, bad in zip(texts, missing.bad) if bad] == ["", " ", None]
    sound = ~(missing.bad | unparsable.bad)
    assert [text for text, good in zip(texts, sound) if good] == texts[:5]
    made = row_faults.milliseconds(column.filter(pa.array(sound))).to_pylist()
    assert made == [1684742000330, 1684742000330, 1684742000000, 1684742000331, -5]


def test_a_row_with_several_faults_is_rejected_once_for_the_first():
    rows = pa.table({"a": ["p", "q", "r"], "_source": ["f"] * 3, "_row_number": [10, 12, 15]})
    faults = [
        Fault("first", "a", np.array([True, False, False])),
        Fault("second", "b", np.array([True, False, True])),
    ]
    checked = row_faults.drop_faulty(rows, faults, "events")
    assert checked.accepted["a"].to_pylist() == ["q"]
    names = ("row_number", "reason", "field", "source", "row")
    assert [tuple(row[name] for name in names) for row in checked.rejected.to_pylist()] == [
        (10, "first", "a", "f", '{"a": "p"}'),
        (15, "second", "b", "f", '{"a": "r"}'),
    ]
    told = row_faults.report_fields(rows, faults, "items")
    assert list(zip(told["row_number"].to_pylist(), told["field"].to_pylist())) == [(10, "a"), (10, "b"), (15, "b")]
    assert set(told["reason"].to_pylist()) == {"bad_field"}
