"""The embedded store: one SQLite file, nothing to run beside it.

WAL with synchronous=FULL: `append` returns after fsync, so neither SIGKILL nor a power cut loses what it acknowledged
(NORMAL would keep the first promise only, and loses the last commits with the power). The fsync is nearly all of an
append's time, so appends of threads that wait for it are committed together.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from serving.gateway import chunks, events, packing
from serving.gateway import sqlite_rows as rows
from serving.gateway.events import Event, EventConflict, History, Stored, StoreDamaged, StoreError, StoreUnavailable
from serving.gateway.sqlite_file import SQLiteFile
from serving.gateway.store import Expired, HistoryStore, StoreOptions

_LOG = logging.getLogger(__name__)
# Of `expire`: users whose heads are read at a time, events of a transaction's users (or a single user's), and its
# longest pause.
_LOOKED_AT_ONCE, _EVENTS_AT_ONCE, _LONGEST_PAUSE_S = 1024, 4096, 0.25


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
        name = events.text("user_id", user_id, "user_id")
        job = _Job(name, events.after(events.stored(events_), self.oldest_ms() - 1))
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
            numbers = chunks.needed(packing.unpack_head(row[1]), wanted)
            keys = [row[0] << rows.NUMBER_BITS | number for number in numbers]
            marks = ",".join("?" * len(keys))
            found = dict(db.execute(f"SELECT key, pairs FROM chunk WHERE key IN ({marks})", keys).fetchall())
            history = packing.unpack_history([found.get(key) for key in keys])
        return chunks.since(chunks.newest(history, wanted), self.oldest_ms())

    def delete_user(self, user_id: str, until_ms: int | None = None) -> bool:
        name = events.text("user_id", user_id, "user_id")
        until = None if until_ms is None else events.timestamp("until_ms", until_ms)
        with self._writer, self._file.connection() as db:
            with self._file.transaction(db, "BEGIN IMMEDIATE"):
                row = db.execute("SELECT user, head FROM user WHERE user_id = ?", (name,)).fetchone()
                if until is None:
                    newest = 0 if row is None else rows.newest(db, row[0], row[1])
                    deleted, until = row is not None, max(self.now_ms(), newest)
                    if row is not None:
                        rows.delete_all(db, row[0])
                else:
                    deleted = row is not None and rows.delete_until(db, row[0], row[1], until) > 0
                db.execute(
                    "INSERT INTO tombstone VALUES (?, ?) "
                    "ON CONFLICT (key) DO UPDATE SET until = max(until, excluded.until)",
                    (events.tombstone_key(name), until),
                )
            if deleted:
                self._empty_log(db)
        return deleted

    def expire(self, before_ms: int) -> Expired:
        until = events.timestamp("before_ms", before_ms) - 1
        found, at = Expired(), -1
        while True:
            with self._file.connection() as db:
                users = db.execute(
                    "SELECT user, user_id, head FROM user WHERE user > ? ORDER BY user LIMIT ?", (at, _LOOKED_AT_ONCE)
                ).fetchall()
            if not users:
                break
            at = users[-1][0]
            found = replace(found, users=found.users + len(users))
            for names in rows.by_events(users, until, _EVENTS_AT_ONCE):
                damaged: tuple[str, ...] = ()
                try:
                    gone = self._expire_users(names, until)
                except StoreDamaged:
                    # One damaged history must not keep the others'.
                    gone, damaged = self._expire_one_by_one(names, until)
                found = replace(found, events=found.events + gone, damaged=found.damaged + damaged)
        # Also where nothing was deleted now: an earlier call may have been killed before this.
        with self._file.connection() as db:
            self._empty_log(db)
        return found

    def _empty_log(self, db: sqlite3.Connection) -> None:
        """Writes SQLite's log back and empties it: it still has the pages of what was deleted."""
        if db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            _LOG.warning("%s: readers keep its log; deleted events leave it at the next checkpoint.", self._file.path)

    def _expire_users(self, names: Sequence[bytes], until: int) -> int:
        """Deletes some users' events up to a moment, in one transaction; the number of events."""
        began, gone = time.monotonic(), 0
        with self._writer, self._file.connection() as db, self._file.transaction(db, "BEGIN IMMEDIATE"):
            for name in names:
                row = db.execute("SELECT user, head FROM user WHERE user_id = ?", (name,)).fetchone()
                gone += 0 if row is None else rows.delete_until(db, row[0], row[1], until)
        # Writers of other processes poll for their turn: without a pause they might never find one.
        time.sleep(min(time.monotonic() - began, _LONGEST_PAUSE_S))
        return gone

    def _expire_one_by_one(self, names: Sequence[bytes], until: int) -> tuple[int, tuple[str, ...]]:
        """The number of events deleted, and the users whose history is damaged."""
        gone, damaged = 0, []
        for name in names:
            try:
                gone += self._expire_users([name], until)
            except StoreDamaged:
                damaged.append(name.decode("utf-8"))
        return gone, tuple(damaged)

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
        head = packing.unpack_head(row[1]) if row else []
        new = rows.unknown(db, row[0], batch) if row else batch
        if not new:
            return 0
        if row is None:
            user = db.execute("INSERT INTO user (user_id, head) VALUES (?, ?)", (user_id, b"")).lastrowid
            assert user is not None
        else:
            user = row[0]

        options, load = self.options, partial(rows.load, db, user)
        change = chunks.insert(head, load, new, options.max_history, options.chunk_size, options.tail_size)
        rows.apply(db, user, new, change)
        return len(new)
