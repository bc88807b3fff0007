"""Dead letters: parts appear whole, counts agree with rows."""

import json
import logging
from collections import Counter

import pyarrow.parquet as pq
import pytest

from seminar_tf.data import dead_letter
from seminar_tf.data.rejection import BAD_KIND, REJECTED_SCHEMA, UNKNOWN_ITEM, rejected_rows


def _letters(reasons, table="events"):
    return rejected_rows([f"row {n}" for n in range(len(reasons))], range(len(reasons)), reasons, table, "f")


def test_rows_and_counts_are_kept(tmp_path):
    with dead_letter.DeadLetterWriter(tmp_path, "a") as writer:
        writer.write(_letters([BAD_KIND, UNKNOWN_ITEM]))
        writer.write(_letters([BAD_KIND]))
    assert writer.counts == Counter({("events", BAD_KIND): 2, ("events", UNKNOWN_ITEM): 1})
    found = pq.read_table(tmp_path / "part-a.parquet")
    assert found.schema == REJECTED_SCHEMA
    assert found["reason"].to_pylist() == [BAD_KIND, UNKNOWN_ITEM, BAD_KIND]


def test_no_rejected_rows_no_file(tmp_path):
    with dead_letter.DeadLetterWriter(tmp_path / "rejected") as writer:
        writer.write(REJECTED_SCHEMA.empty_table())
    assert not (tmp_path / "rejected").exists()
    assert dead_letter.read_counts(tmp_path / "rejected") == Counter()


def test_a_part_appears_only_when_complete_and_not_after_an_exception(tmp_path):
    with pytest.raises(RuntimeError), dead_letter.DeadLetterWriter(tmp_path) as writer:
        writer.write(_letters([BAD_KIND]))
        assert not list(tmp_path.glob("part-*"))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_of_the_same_work_replaces_the_first_ones_part(tmp_path):
    for reasons in ([BAD_KIND, BAD_KIND], [UNKNOWN_ITEM], []):
        with dead_letter.DeadLetterWriter(tmp_path, "a") as writer:
            writer.write(_letters(reasons))
        assert dead_letter.read_counts(tmp_path) == Counter(("events", reason) for reason in reasons)


def test_counts_of_several_parts_go_to_json_and_log(tmp_path, caplog):
    for name, table in (("a", "events"), ("b", "events"), ("c", "items")):
        with dead_letter.DeadLetterWriter(tmp_path, name) as writer:
            writer.write(_letters([BAD_KIND, UNKNOWN_ITEM, BAD_KIND], table))
    with caplog.at_level(logging.INFO):
        summary = dead_letter.report(dead_letter.read_counts(tmp_path), {"events": 10, "items": 3}, tmp_path)
    assert summary["rejected"] == {
        "events": {BAD_KIND: 4, UNKNOWN_ITEM: 2},
        "items": {BAD_KIND: 2, UNKNOWN_ITEM: 1},
    }
    assert json.loads((tmp_path / dead_letter.COUNTS_FILE).read_text()) == summary
    assert f"events: 4 rows rejected as {BAD_KIND}" in caplog.text
    assert "items: 3 rows accepted" in caplog.text
