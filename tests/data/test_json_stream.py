"""JSON lines in batches: Arrow's reader and the slow one agree, and every line that does not fit is told."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pytest

from seminar_tf.data import json_stream
from seminar_tf.data.dataset import DatasetError

FIELDS = {"u": pa.string(), "t": pa.int64(), "p": pa.float64(), "d": pa.list_(pa.string())}


def _read(path, block_bytes=1 << 20):
    found = list(json_stream.read_batches(path, FIELDS, ("u", "t"), "events", block_bytes))
    return pa.concat_tables([f.accepted for f in found]), pa.concat_tables([f.rejected for f in found])


def _objects(seed, count=200):
    random = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        row = {"u": f"é{number}", "t": number, "p": float(number), "d": ["a", "b"][: random.integers(0, 3)]}
        extra = {"style": {"Format:": " DVD"}, "vote": "3", "reviewText": 'x\n\t"y" ' * int(random.integers(0, 9))}
        rows.append({key: value for key, value in row.items() if key == "u" or random.random() < 0.9} | extra)
    return rows


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("escaped", [True, False])
def test_the_fast_and_the_slow_reader_agree(tmp_path, monkeypatch, seed, escaped):
    rows = _objects(seed)
    text = "".join(json.dumps(row, ensure_ascii=escaped) + "\n" for row in rows)
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(text.encode()))
    fast, no_letters = _read(tmp_path / "a.json.gz")
    monkeypatch.setattr(json_stream, "_read_fast", lambda *_: None)
    slow, _ = _read(tmp_path / "a.json.gz")
    assert no_letters.num_rows == 0
    assert fast.to_pylist() == slow.to_pylist()
    assert fast.drop(["_source", "_row_number"]).to_pylist() == [{n: row.get(n) for n in FIELDS} for row in rows]


@pytest.mark.parametrize("block_bytes", [64, 500, 1 << 20])
def test_each_line_that_does_not_fit_is_told_with_its_number(tmp_path, block_bytes):
    lines = [
        b'{"u": "a", "t": 1}',
        b'{"u": "b", "t": 2',
        b"",
        b'["u", "t"]',
        b'{"u": "\xff", "t": 4}',
        b'{"u": {}, "t": 5}',
        b'{"u": "c", "t": "soon"}',
        b'{"u": 7, "t": "8", "p": "9.5", "d": "x", "z": 1}',
        b'{"u": "d", "t": 9, "p": "from 14.99", "d": [["x"]]}',
        b'{"u": "e\\ud83d", "t": 10.0, "d": ["x", null]}',
        b'{"u": "f", "t": 1.5}',
        b'{"t": 11}{"t": 12}',
        b'{"u": "g"}',
    ]
    (tmp_path / "a.json").write_bytes(b"\n".join(lines))
    rows, rejected = _read(tmp_path / "a.json", block_bytes)
    wanted = ("u", "t", "p", "d", "_row_number")
    assert [tuple(row[name] for name in wanted) for row in rows.to_pylist()] == [
        ("a", 1, None, None, 0),
        ("7", 8, 9.5, ["x"], 7),
        ("d", 9, None, None, 8),
        ("e?", 10, None, ["x"], 9),
        ("g", None, None, None, 12),
    ]
    names = ("row_number", "reason", "field")
    assert [tuple(row[name] for name in names) for row in rejected.to_pylist()] == [
        (1, "unparsable_row", None),
        (3, "unparsable_row", None),
        (4, "unparsable_row", None),
        (5, "unparsable_row", "u"),
        (6, "unparsable_row", "t"),
        (8, "bad_field", "p"),
        (8, "bad_field", "d"),
        (10, "unparsable_row", "t"),
        (11, "unparsable_row", None),
    ]
    assert rejected["row"].to_pylist()[0] == '{"u": "b", "t": 2'


def test_a_long_bad_line_is_shortened(tmp_path):
    (tmp_path / "a.json").write_bytes(b'{"u": "a", "t": 1}\n' + b"x" * 5000 + b"\n")
    _, rejected = _read(tmp_path / "a.json")
    assert rejected["row"].to_pylist() == ["x" * 2000 + "... (5000 characters)"]


WHOLE = gzip.compress("".join(json.dumps(row) + "\n" for row in _objects(0, 2000)).encode(), mtime=0)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.json", b"", "is empty; expected a JSON object a line with u, t"),
        ("a.json.gz", gzip.compress(b"", mtime=0), "is empty"),
        ("a.json.gz", WHOLE[:-200], "not a whole file.*cut off"),
        ("a.json.gz", b'{"u": "a", "t": 1}\n', "not a whole file"),
        ("a.json", b"{'u': 'a', 't': 1}\n", "expected a JSON object a line with u, t; none of the first 1 lines"),
        ("a.json", b'{"user": "a", "time": 1}\n', "none of the first 1 lines holds them"),
        ("missing.json", None, "no such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=f"{name}.*{message}"):
        _read(tmp_path / name)
