"""CSV files in batches: the same rows, numbers and dead letters whatever the block, and what cannot be read."""

import gzip

import numpy as np
import pyarrow as pa
import pytest

from seminar_tf.data import csv_stream
from seminar_tf.data.dataset import DatasetError
from seminar_tf.data.rejection import UNPARSABLE_ROW


def _read(path, block_bytes=1 << 20, optional=()):
    found = list(csv_stream.read_batches(path, ("id", "text"), optional, "events", block_bytes))
    return pa.concat_tables([f.accepted for f in found]), pa.concat_tables([f.rejected for f in found])


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_quotes_byte_order_mark_windows_line_ends_and_optional_columns(tmp_path, name):
    raw = '\ufeffid,more,text\r\n1,x,"[2, 3], ""b""\nc"\r\n2,x\r\n3,x,é\r\n4,x,y,z\r\n\r\n5,x,'.encode()
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    rows, rejected = _read(tmp_path / name, optional=("more", "absent"))
    assert rows["id"].to_pylist() == ["1", "3", "5"]
    assert rows["text"].to_pylist() == ['[2, 3], "b"\nc', "é", ""]
    assert rows["more"].to_pylist() == ["x"] * 3
    assert rows["absent"].to_pylist() == [None] * 3
    assert rows["_row_number"].to_pylist() == [0, 2, 4]
    assert list(zip(rejected["row"].to_pylist(), rejected["row_number"].to_pylist())) == [("2,x", 1), ("4,x,y,z", 3)]
    assert set(rejected["reason"].to_pylist()) == {UNPARSABLE_ROW}
    assert set(rejected["source"].to_pylist()) == {str(tmp_path / name)}


@pytest.mark.parametrize("seed", range(4))
def test_blocks_change_nothing(tmp_path, seed):
    random = np.random.default_rng(seed)
    lines, sound, bad = [], [], []
    for number in range(300):
        if random.random() < 0.2:
            bad.append((number, f"{number},b,c" if random.random() < 0.5 else f"{number}"))
            lines.append(bad[-1][1])
        else:
            sound.append((number, "x" * int(random.integers(0, 20)) + "\n" * int(random.integers(0, 2))))
            lines.append(f'{number},"{sound[-1][1]}"')
    (tmp_path / "a.csv").write_text("id,text\n" + "\n".join(lines) + "\n" * int(random.integers(0, 2)))
    for block_bytes in (64, 257, 1 << 20):
        rows, rejected = _read(tmp_path / "a.csv", block_bytes)
        assert list(zip(rows["_row_number"].to_pylist(), rows["text"].to_pylist())) == sound
        assert rows["id"].to_pylist() == [str(number) for number, _ in sound]
        assert list(zip(rejected["row_number"].to_pylist(), rejected["row"].to_pylist())) == bad


def test_bytes_that_are_no_utf_8_cost_no_more_than_their_field(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"id,text\n1,\xff\n2,a,\xff\n3,caf\xc3\xa9\n")
    rows, rejected = _read(tmp_path / "a.csv", 64)
    assert rows["text"].to_pylist() == ["\ufffd", "café"]
    assert rejected["row"].to_pylist() == ["2,a,\ufffd"]


def test_a_file_without_rows_is_a_batch_without_rows(tmp_path):
    (tmp_path / "a.csv").write_text("id,text\n")
    rows, rejected = _read(tmp_path / "a.csv")
    assert (rows.num_rows, rejected.num_rows) == (0, 0)
    assert rows.column_names == ["id", "text", "_source", "_row_number"]


PACKED = gzip.compress(b"id,text\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(5000)), mtime=0)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.csv", b"", "is empty; expected a header with id, text"),
        ("a.csv", b"id,other\n1,2\n", "column text is missing.*it names id, other"),
        ("a.csv", b'id,text\n1,"' + b"x,y\n" * 99, "longer than 64 bytes. A quotation mark that is never closed"),
        ("a.csv.gz", PACKED[:-300], "not a whole gzip file.*cut off"),
        ("a.csv.gz", b"id,text\n1,2\n", "not a whole gzip file"),
        ("missing.csv", None, "no such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=f"{name}.*{message}"):
        _read(tmp_path / name, 64)
