"""Delimited text files: fields, row numbers, and lines that do not fit."""

import gzip

import pytest

from seminar_tf.data import text_rows
from seminar_tf.data.dataset import DatasetError
from seminar_tf.data.rejection import UNPARSABLE_ROW

COLUMNS = ("id", "text")


def test_csv_with_quotes_byte_order_mark_and_windows_line_ends(tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes('\ufeffid,more,text\r\n1,x,"a, ""b""\nc"\r\n2,x\r\n3,x,é\r\n4,x,y,z\r\n5,x,'.encode())
    rows = text_rows.read_csv(file, COLUMNS, "events")
    assert rows.accepted["id"].to_pylist() == ["1", "3", "5"]
    assert rows.accepted["text"].to_pylist() == ['a, "b"\nc', "é", ""]
    assert rows.accepted["_row_number"].to_pylist() == [0, 2, 4]
    assert rows.rejected["row"].to_pylist() == ["2,x", "4,x,y,z"]
    assert rows.rejected["row_number"].to_pylist() == [1, 3]
    assert set(rows.rejected["reason"].to_pylist()) == {UNPARSABLE_ROW}
    assert set(rows.rejected["source"].to_pylist()) == {str(file)}


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_latin_1_lines_with_a_long_separator(tmp_path, suffix):
    file = tmp_path / f"a.dat{suffix}"
    raw = "1::Léon: a film\n2\n3::x::y\n4::".encode("latin-1")
    file.write_bytes(gzip.compress(raw) if suffix else raw)
    rows = text_rows.read_delimited(file, COLUMNS, "items")
    assert rows.accepted["text"].to_pylist() == ["Léon: a film", ""]
    assert rows.accepted["_row_number"].to_pylist() == [0, 3]
    assert rows.rejected["row"].to_pylist() == ["2", "3::x::y"]


def test_numbers_that_cannot_be_read_reject_their_rows(tmp_path):
    values = ["1", " 2 ", "-3", "x", "", "1e3", "9" * 30, "4.5"]
    file = tmp_path / "a.csv"
    file.write_text("id,text\n" + "".join(f"{value},{value}\n" for value in values))
    as_ids = text_rows.parse_numbers(text_rows.read_csv(file, COLUMNS, "events"), ["id"], [], "events")
    assert as_ids.accepted["id"].to_pylist() == ["1", "2", "-3"]
    assert as_ids.rejected["row_number"].to_pylist() == [3, 4, 5, 6, 7]
    as_numbers = text_rows.parse_numbers(text_rows.read_csv(file, COLUMNS, "events"), [], ["text"], "events")
    assert as_numbers.accepted["text"].to_pylist() == [1.0, 2.0, -3.0, 4.5]
    assert as_numbers.rejected["source"].to_pylist() == [str(file)] * 4


@pytest.mark.parametrize(
    "content, message",
    [(b"", "is empty"), (b"id,other\n1,2\n", "its header is 'id,other'"), (b"id,text\n1,\xff\n", "UTF-8 CSV file")],
)
def test_a_csv_file_that_cannot_be_read_is_an_error(tmp_path, content, message):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=f"a.csv.*{message}"):
        text_rows.read_csv(tmp_path / "a.csv", COLUMNS, "events")


@pytest.mark.parametrize("name, content", [("a.dat", b""), ("a.dat.gz", b"not gzip"), ("b.dat.gz", b"")])
def test_a_dat_file_that_cannot_be_read_is_an_error(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=name):
        text_rows.read_delimited(tmp_path / name, COLUMNS, "events")


def test_a_truncated_gzip_file_is_an_error(tmp_path):
    (tmp_path / "a.dat.gz").write_bytes(gzip.compress(b"1::2\n" * 100)[:-10])
    with pytest.raises(DatasetError, match="gzip"):
        text_rows.read_delimited(tmp_path / "a.dat.gz", COLUMNS, "events")
