"""Deletions and the retention window against a row-by-row oracle, and deletions that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seminar_tf.data.dataset import DatasetError
from seminar_tf.data.erasure import read_erasure
from seminar_tf.data.rejection import rejected_rows
from seminar_tf.data.retention import oldest_kept_ms

SCHEMA = pa.schema([("user_id", pa.string()), ("timestamp", pa.int64())])
DAY = 86_400_000


def deletions(path: Path, span: int, rows: list[tuple[str | None, int | None]]) -> None:
    folder = path / f"span-{span}" / "deletions"
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([dict(zip(SCHEMA.names, row)) for row in rows], SCHEMA), folder / "p.parquet")


@pytest.mark.parametrize("days", [0, 2])
@pytest.mark.parametrize("seed", range(3))
def test_equals_an_oracle(seed: int, days: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    asked = [[(f"u{rng.integers(6)}", int(rng.integers(9)) * DAY) for _ in range(4)] for _ in range(3)]
    for span, rows in enumerate(asked, 1):
        deletions(tmp_path, span, rows)
    now = 9 * DAY
    erasure = read_erasure(tmp_path, 2, oldest_kept_ms(days, now))
    users = [None if rng.random() < 0.1 else f"u{rng.integers(8)}" for _ in range(200)]
    moments = [None if rng.random() < 0.1 else int(rng.integers(10 * DAY)) for _ in range(200)]
    spans = rng.integers(1, 4, 200)
    known = [(user, until, span) for span, rows in enumerate(asked[:2], 1) for user, until in rows]
    expected = [
        any(user == u and (moment is None or moment <= until) for u, until, _ in known)
        or (days > 0 and moment is not None and moment < now - days * DAY)
        for user, moment in zip(users, moments)
    ]
    assert erasure.rows(pa.array(users, pa.string()), pa.array(moments, pa.int64())).tolist() == expected
    assert 0 < sum(expected) < 200
    profiles = [any(user == u and span <= s for u, _, s in known) for user, span in zip(users, spans)]
    assert erasure.profiles(pa.array(users, pa.string()), spans).tolist() == profiles
    text = [json.dumps({"user_id": user, "timestamp": moment}) for user, moment in zip(users, moments)]
    letters = rejected_rows(text, range(200), "bad_kind", "events", "f")
    assert erasure.letters(letters).tolist() == expected
    assert not erasure.letters(rejected_rows(text, range(200), "bad_id", "items", "f")).any()


def test_nothing_to_erase(tmp_path: Path) -> None:
    (tmp_path / "span-1").mkdir()
    erasure = read_erasure(tmp_path, 1)
    assert not erasure
    assert erasure.rows(pa.array(["u"]), pa.array([5])).tolist() == [False]
    assert read_erasure(tmp_path, 1, 4 * DAY)


@pytest.mark.parametrize("row", [(None, 5), (" ", 5), ("u", None)])
def test_a_deletion_is_never_skipped(row: tuple[str | None, int | None], tmp_path: Path) -> None:
    deletions(tmp_path, 1, [("fine", 1), row])
    with pytest.raises(DatasetError, match=r"p\.parquet: row 1 lacks its user_id or timestamp"):
        read_erasure(tmp_path, 1)
