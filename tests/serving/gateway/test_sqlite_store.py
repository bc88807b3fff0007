"""What only the SQLite store has: a file, with a schema, rights and traces."""

from __future__ import annotations

import sqlite3
import stat
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving.gateway.events import Event, EventConflict, StoreDamaged, StoreError, StoreUnavailable
from serving.gateway.sqlite_store import SQLiteStore
from serving.gateway.store import StoreOptions


def event(n):
    return Event(f"e{n}", f"item{n}", "some words", n)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "histories.db"


@pytest.mark.parametrize("version", [0, 3, 99])
def test_another_schema_version_is_refused(path, version):
    SQLiteStore(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {version}")
    db.close()
    with pytest.raises(StoreError, match=f"schema version {version}, this program knows 2"):
        SQLiteStore(path)


def test_a_file_without_tombstones_gets_them(path):
    with SQLiteStore(path) as store:
        store.append("u", [event(1)])
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE tombstone")
        db.execute("PRAGMA user_version = 1")
    db.close()
    with ThreadPoolExecutor(3) as pool:
        stores = list(pool.map(lambda n: SQLiteStore(path), range(3)))
    assert stores[0].delete_user("u") and stores[1].append("u", [event(1)]) == 0
    for store in stores:
        store.close()


def test_files_of_others_are_refused_and_left_alone(path, tmp_path):
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        SQLiteStore(path)
    assert path.read_bytes() == before
    (tmp_path / "text").write_text("hello " * 500)
    with pytest.raises(StoreError, match="damaged or no SQLite file"):
        SQLiteStore(tmp_path / "text")
    with pytest.raises(StoreError, match="Make its folder"):
        SQLiteStore(tmp_path / "missing" / "histories.db")


def test_durable_settings_and_rights(path):
    with SQLiteStore(path) as store, store._file.connection() as db:
        found = [db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
        assert found == ["wal", 2]  # 2 is FULL
        assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    with pytest.raises(ValueError, match="expected FULL or NORMAL"):
        SQLiteStore(path, synchronous="OFF")


def test_nothing_of_a_deleted_user_stays_in_the_files(path):
    with SQLiteStore(path, StoreOptions(max_history=300, chunk_size=16, tail_size=4)) as store:
        for start in range(0, 600, 20):
            store.append(
                "secret-user",
                [Event(f"secret-event{n}", f"secret-item{n}", "secret words", n) for n in range(start, start + 20)],
            )
            store.append("other", [event(start)])
        assert any(b"secret-item" in file.read_bytes() for file in path.parent.iterdir())
        assert store.delete_user("secret-user")
        for file in path.parent.iterdir():
            assert b"secret" not in file.read_bytes(), file
        assert len(store.history("other", 99)) == 30


def test_a_busy_file_is_unavailable_and_nothing_is_acknowledged(path):
    with SQLiteStore(path, StoreOptions(timeout_s=0.05)) as store:
        with sqlite3.connect(path) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="locked"):
                store.append("u", [event(1)])
            other.execute("ROLLBACK")
        other.close()
        assert len(store.history("u", 9)) == 0
        assert store.append("u", [event(1)]) == 1


def test_appends_that_wait_are_committed_together_and_fail_apart(path):
    with SQLiteStore(path) as store:
        store.append("u", [event(1)])
        store.append("torn", [event(1)])
        with sqlite3.connect(path) as db:
            db.execute("UPDATE user SET head = x'09' WHERE user_id = CAST('torn' AS BLOB)")
        db.close()
        commits = []
        store._commit, commit = lambda jobs: (commits.append(len(jobs)), commit(jobs)), store._commit
        batches = [("u", [event(2)]), ("u", [Event("e1", "other", "", 1)]), ("torn", [event(2)]), ("v", [event(3)])]
        with ThreadPoolExecutor(4) as pool:
            with store._writer:
                futures = [pool.submit(store.append, *batch) for batch in batches]
                while len(store._pending) < 4:
                    threading.Event().wait(0.001)
            errors = [future.exception() for future in futures]
        assert [type(error) for error in errors] == [type(None), EventConflict, StoreDamaged, type(None)]
        assert commits[0] == 4
        assert len(store.history("u", 9)) == 2 and len(store.history("v", 9)) == 1
        with pytest.raises(StoreError, match="damaged"):
            store.history("torn", 9)
        assert store.delete_user("torn") and len(store.history("torn", 9)) == 0


@pytest.mark.parametrize("attempt", range(20))
def test_many_open_an_empty_file_at_once(path, attempt):
    # One attempt in four used to meet the moment between reading a file's mark and counting its tables.
    with ThreadPoolExecutor(6) as pool:
        stores = list(pool.map(lambda n: SQLiteStore(path), range(6)))
    for n, store in enumerate(stores):
        assert store.append("u", [event(n)]) == 1
    for store in stores:
        assert len(store.history("u", 99)) == 6
        store.close()
