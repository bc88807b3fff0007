"""The embedded store: one SQLite file, nothing to run beside it.

WAL with synchronous=FULL: `append` returns after fsync, so neither SIGKILL nor a power cut loses what it acknowledged
(NORMAL would keep the first promise only, and loses the last commits with the power). The fsync is nearly all of an
append's time, so appends of threads that wait for it are committed together.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from serving.gateway import chunks, events
from serving.gateway.chunks import Change, Chunk
from serving.gateway.events import Event, EventConflict, History, Stored, StoreError, StoreUnavailable
from serving.gateway.store import HistoryStore, StoreOptions

SCHEMA_VERSION = 1
# "SEMH": tells this file from any other SQLite database.
APPLICATION_ID = 0x53454D48
# A chunk's key is user << _NUMBER_BITS | number: one clustered index, a user's chunks side by side.
_NUMBER_BITS = 20
_SCHEMA = f"""
CREATE TABLE user (user INTEGER PRIMARY KEY, user_id BLOB NOT NULL UNIQUE, head BLOB NOT NULL);
CREATE TABLE chunk (key INTEGER PRIMARY KEY, pairs BLOB NOT NULL, ids BLOB NOT NULL);
CREATE TABLE event (user INTEGER, event_id BLOB, digest BLOB NOT NULL, PRIMARY KEY (user, event_id)) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""


class _Job:
    """One append that waits for its commit."""

    def __init__(self, user_id: bytes, batch: list[Stored]) -> None:
        self.user_id = user_id
        self.batch = batch
        self.done = False
        self.stored = 0
        self.error: Exception | None = None


class SQLiteStore(HistoryStore):
    """Histories in one SQLite file; several processes of one machine may share it (not over a network file system)."""

    def __init__(
        self,
        path: str | Path,
        options: StoreOptions | None = None,
        synchronous: str = "FULL",
    ) -> None:
        """Opens the file, or makes it, readable by this user only.

        Args:
          path: the file; SQLite keeps PATH-wal and PATH-shm beside it.
          options: cap, timeout and chunk sizes.
          synchronous: FULL, or NORMAL where losing the last commits with the power is acceptable.

        Raises:
          StoreError: no such folder, not a file of this store, or of another schema version.
          ValueError: `synchronous` is another word.
        """
        if synchronous not in ("FULL", "NORMAL"):
            raise ValueError(f"synchronous is {synchronous!r}, expected FULL or NORMAL.")
        self.path = str(path)
        self.options = options or StoreOptions()
        self.synchronous = synchronous
        self._idle: list[sqlite3.Connection] = []
        self._pending: list[_Job] = []
        self._mutex = threading.Lock()
        self._writer = threading.Lock()
        self._closed = False
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise StoreError(f"cannot open {self.path}: {error.strerror}. Make its folder, or name another.") from error
        with self._connection() as db:
            self._create(db)

    def append(self, user_id: str, events_: Sequence[Event]) -> int:
        job = _Job(events.text("user_id", user_id, "user_id"), events.stored(events_))
        if not job.batch:
            return 0
        with self._mutex:
            self._pending.append(job)
        with self._writer:
            # Whoever held the lock before may have taken this job along.
            if not job.done:
                self._commit_pending()
        if job.error is not None:
            raise job.error
        return job.stored

    def history(self, user_id: str, limit: int) -> History:
        name = events.text("user_id", user_id, "user_id")
        wanted = min(limit, self.options.max_history)
        with self._connection() as db, self._transaction(db, "BEGIN"):
            row = db.execute("SELECT user, head FROM user WHERE user_id = ?", (name,)).fetchone()
            if row is None or wanted <= 0:
                return events.NO_HISTORY
            numbers = chunks.needed(chunks.unpack_head(row[1]), wanted)
            keys = [row[0] << _NUMBER_BITS | number for number in numbers]
            marks = ",".join("?" * len(keys))
            found = dict(db.execute(f"SELECT key, pairs FROM chunk WHERE key IN ({marks})", keys).fetchall())
            history = chunks.unpack_history([found.get(key) for key in keys])
        return chunks.newest(history, wanted)

    def delete_user(self, user_id: str) -> bool:
        name = events.text("user_id", user_id, "user_id")
        with self._writer, self._connection() as db:
            with self._transaction(db, "BEGIN IMMEDIATE"):
                row = db.execute("SELECT user FROM user WHERE user_id = ?", (name,)).fetchone()
                if row is None:
                    return False
                low = row[0] << _NUMBER_BITS
                db.execute("DELETE FROM chunk WHERE key BETWEEN ? AND ?", (low, low + (1 << _NUMBER_BITS) - 1))
                db.execute("DELETE FROM event WHERE user = ?", row)
                db.execute("DELETE FROM user WHERE user = ?", row)
            # The log still has the user's old pages: write it back and empty it.
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return True

    def check(self) -> None:
        with self._connection() as db:
            db.execute("SELECT user FROM user LIMIT 1").fetchall()

    def close(self) -> None:
        with self._mutex:
            self._closed = True
            idle, self._idle = self._idle, []
        for db in idle:
            db.close()

    def _create(self, db: sqlite3.Connection) -> None:
        """Writes the schema in an empty file; in another one looks whether it is ours, before anything is changed."""
        found = self._identity(db)
        if found == (0, 0, 0):
            self._settle_journal(db)
            with self._transaction(db, "BEGIN IMMEDIATE"):
                if self._identity(db) == (0, 0, 0):  # no other process came first
                    for statement in _SCHEMA.strip().split(";\n"):
                        db.execute(statement)
            found = self._identity(db)
        if found[0] != APPLICATION_ID:
            raise StoreError(f"{self.path} is an SQLite file of another program. Name another file.")
        if found[1] != SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} has schema version {found[1]}, this program knows {SCHEMA_VERSION}. Use the program's "
                "version that wrote it, or another file."
            )

    @staticmethod
    def _identity(db: sqlite3.Connection) -> tuple[int, int, int]:
        """application_id, user_version and the number of tables and indexes."""
        queries = ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
        application, version, tables = (db.execute(query).fetchone()[0] for query in queries)
        return application, version, tables

    def _settle_journal(self, db: sqlite3.Connection) -> None:
        """Switches the file to WAL, for good; SQLite does not wait by itself while another process does the same."""
        deadline = time.monotonic() + self.options.timeout_s
        while True:
            try:
                db.execute("PRAGMA journal_mode = WAL").fetchall()
                return
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _commit_pending(self) -> None:
        """Commits all appends that wait, in one transaction; the caller holds the writer's lock."""
        with self._mutex:
            jobs, self._pending = self._pending, []
        self._commit(jobs)
        if len(jobs) > 1 and any(isinstance(job.error, StoreError) for job in jobs):
            # One user's damaged history, say, must not keep the others' events out.
            for job in jobs:
                if not isinstance(job.error, EventConflict):
                    self._commit([job])
        for job in jobs:
            job.done = True

    def _commit(self, jobs: list[_Job]) -> None:
        """Commits jobs together; all get the error where that fails, for then nothing of it is stored."""
        for job in jobs:
            job.error = StoreUnavailable(f"{self.path}: the append was interrupted.")
        outcomes: list[EventConflict | None] = []
        try:
            with self._connection() as db, self._transaction(db, "BEGIN IMMEDIATE"):
                for job in jobs:
                    outcome: EventConflict | None = None
                    try:
                        job.stored = self._append(db, job.user_id, job.batch)
                    except EventConflict as error:  # found before anything of the job is written
                        outcome = error
                    outcomes.append(outcome)
            for job, outcome in zip(jobs, outcomes):
                job.error = outcome
        except StoreError as error:
            for job in jobs:
                job.error = error

    def _append(self, db: sqlite3.Connection, user_id: bytes, batch: list[Stored]) -> int:
        row = db.execute("SELECT user, head FROM user WHERE user_id = ?", (user_id,)).fetchone()
        head = chunks.unpack_head(row[1]) if row else []
        new = self._unknown(db, row[0], batch) if row else batch
        if not new:
            return 0
        if row is None:
            user = db.execute("INSERT INTO user (user_id, head) VALUES (?, ?)", (user_id, b"")).lastrowid
            assert user is not None
        else:
            user = row[0]

        def load(number: int) -> Chunk:
            key = user << _NUMBER_BITS | number
            found = db.execute("SELECT pairs, ids FROM chunk WHERE key = ?", (key,)).fetchone()
            return chunks.unpack_chunk(*found or (None, None))

        options = self.options
        change = chunks.insert(head, load, new, options.max_history, options.chunk_size, options.tail_size)
        self._apply(db, user, new, change)
        return len(new)

    @staticmethod
    def _unknown(db: sqlite3.Connection, user: int, batch: list[Stored]) -> list[Stored]:
        """The events that the user does not have yet."""
        query = "SELECT digest FROM event WHERE user = ? AND event_id = ?"
        rows = [db.execute(query, (user, event.event_id)).fetchone() for event in batch]
        return events.unknown(batch, [row and row[0] for row in rows])

    @staticmethod
    def _apply(db: sqlite3.Connection, user: int, new: list[Stored], change: Change) -> None:
        low = user << _NUMBER_BITS
        rows = [(low | n, chunks.pack_pairs(chunk), chunks.pack_ids(chunk)) for n, chunk in change.put.items()]
        db.executemany("INSERT OR REPLACE INTO chunk VALUES (?, ?, ?)", rows)
        db.executemany("DELETE FROM chunk WHERE key = ?", [(low | number,) for number in change.drop])
        db.executemany("INSERT INTO event VALUES (?, ?, ?)", [(user, event.event_id, event.digest) for event in new])
        db.executemany("DELETE FROM event WHERE user = ? AND event_id = ?", [(user, gone) for gone in change.forgotten])
        db.execute("UPDATE user SET head = ? WHERE user = ?", (chunks.pack_head(change.head), user))

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection that no other thread uses; SQLite's errors become the store's."""
        with self._mutex:
            if self._closed:
                raise StoreUnavailable(f"the store {self.path} is closed.")
            db = self._idle.pop() if self._idle else None
        try:
            if db is None:
                db = self._connect()
            yield db
        except sqlite3.OperationalError as error:
            raise StoreUnavailable(f"{self.path}: {error}.") from error
        except (sqlite3.DatabaseError, chunks.DamagedHistory) as error:
            raise StoreError(f"{self.path} is damaged or no SQLite file: {error}.") from error
        finally:
            if db is not None:
                with self._mutex:
                    keep = not self._closed
                    if keep:
                        self._idle.append(db)
                if not keep:
                    db.close()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=self.options.timeout_s, isolation_level=None, check_same_thread=False)
        db.execute(f"PRAGMA synchronous = {self.synchronous}")
        # Deleted content is overwritten, not only unlinked: a user who asked for it is gone from the file.
        db.execute("PRAGMA secure_delete = ON").fetchall()
        return db

    @staticmethod
    @contextlib.contextmanager
    def _transaction(db: sqlite3.Connection, begin: str) -> Iterator[None]:
        db.execute(begin)
        try:
            yield
            db.execute("COMMIT")
        except BaseException:
            # SQLite may have rolled back by itself (a full disk).
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
