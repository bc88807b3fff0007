"""The embedded store: one SQLite file, nothing to run beside it.

WAL with synchronous=FULL: `append` returns after fsync, so neither SIGKILL nor a power cut loses what it acknowledged
(NORMAL would keep the first promise only, and loses the last commits with the power). The fsync is nearly all of an
append's time, so appends of threads that wait for it are committed together.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from serving.gateway import chunks, events
from serving.gateway.chunks import Change, Chunk
from serving.gateway.events import Event, EventConflict, History, Stored, StoreError, StoreUnavailable
from serving.gateway.sqlite_file import SQLiteFile
from serving.gateway.store import HistoryStore, StoreOptions

# A chunk's key is user << _NUMBER_BITS | number: one clustered index, a user's chunks side by side.
_NUMBER_BITS = 20


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
        self.options = options or StoreOptions()
        self._file = SQLiteFile(str(path), self.options.timeout_s, synchronous)
        self._pending: list[_Job] = []
        self._mutex = threading.Lock()
        self._writer = threading.Lock()

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
        with self._file.connection() as db, self._file.transaction(db, "BEGIN"):
            row = db.execute("SELECT user, head FROM user WHERE user_id = ?", (name,)).fetchone()
            if row is None or wanted <= 0:
                return events.NO_HISTORY
            numbers = chunks.needed(chunks.unpack_head(row[1]), wanted)
            keys = [row[0] << _NUMBER_BITS | number for number in numbers]
            marks = ",".join("?" * len(keys))
            found = dict(db.execute(f"SELECT key, pairs FROM chunk WHERE key IN ({marks})", keys).fetchall())
            history = chunks.unpack_history([found.get(key) for key in keys])
        return chunks.newest(history, wanted)

    def delete_user(self, user_id: str, until_ms: int | None = None) -> bool:
        name = events.text("user_id", user_id, "user_id")
        until = None if until_ms is None else events.timestamp("until_ms", until_ms)
        with self._writer, self._file.connection() as db:
            with self._file.transaction(db, "BEGIN IMMEDIATE"):
                row = db.execute("SELECT user, head FROM user WHERE user_id = ?", (name,)).fetchone()
                if until is None:
                    newest = 0 if row is None else self._newest(db, row[0], row[1])
                    deleted, until = row is not None, max(self.now_ms(), newest)
                    if row is not None:
                        self._delete_all(db, row[0])
                else:
                    deleted = row is not None and self._delete_until(db, row[0], row[1], until)
                db.execute(
                    "INSERT INTO tombstone VALUES (?, ?) "
                    "ON CONFLICT (key) DO UPDATE SET until = max(until, excluded.until)",
                    (events.tombstone_key(name), until),
                )
            if deleted:
                # The log still has the user's old pages: write it back and empty it. While a reader keeps that from
                # being done, it is left to the next checkpoint.
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return deleted

    def check(self) -> None:
        with self._file.connection() as db:
            db.execute("SELECT user FROM user LIMIT 1").fetchall()

    def close(self) -> None:
        self._file.close()

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
            job.error = StoreUnavailable(f"{self._file.path}: the append was interrupted.")
        outcomes: list[EventConflict | None] = []
        try:
            with self._file.connection() as db, self._file.transaction(db, "BEGIN IMMEDIATE"):
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
        deletion = db.execute("SELECT until FROM tombstone WHERE key = ?", (events.tombstone_key(user_id),)).fetchone()
        batch = events.after(batch, deletion and deletion[0])
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

        options, load = self.options, partial(self._load, db, user)
        change = chunks.insert(head, load, new, options.max_history, options.chunk_size, options.tail_size)
        self._apply(db, user, new, change)
        return len(new)

    @staticmethod
    def _load(db: sqlite3.Connection, user: int, number: int) -> Chunk:
        """A chunk of a user."""
        key = user << _NUMBER_BITS | number
        found = db.execute("SELECT pairs, ids FROM chunk WHERE key = ?", (key,)).fetchone()
        return chunks.unpack_chunk(*found or (None, None))

    def _newest(self, db: sqlite3.Connection, user: int, head: bytes) -> int:
        """The moment of a user's newest event; 0 where the history is damaged, which must not keep it."""
        try:
            return self._load(db, user, chunks.unpack_head(head)[-1].number)[-1].timestamp
        except (chunks.DamagedHistory, IndexError):
            return 0

    @staticmethod
    def _delete_all(db: sqlite3.Connection, user: int) -> None:
        low = user << _NUMBER_BITS
        db.execute("DELETE FROM chunk WHERE key BETWEEN ? AND ?", (low, low + (1 << _NUMBER_BITS) - 1))
        db.execute("DELETE FROM event WHERE user = ?", (user,))
        db.execute("DELETE FROM user WHERE user = ?", (user,))

    def _delete_until(self, db: sqlite3.Connection, user: int, head: bytes, until: int) -> bool:
        """Deletes what is no later than `until`; whether there was any."""
        change = chunks.remove(chunks.unpack_head(head), partial(self._load, db, user), until)
        if change.head:
            self._apply(db, user, [], change)
        else:
            self._delete_all(db, user)
        return bool(change.forgotten)

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
