"""One SQLite file of histories: its schema, its settings, and connections that threads take turns with."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator

from serving.gateway import packing
from serving.gateway.events import StoreDamaged, StoreError, StoreUnavailable

SCHEMA_VERSION = 2
# Version 1 had no tombstones; such a file gets them when it is opened. A program that knows version 1 only refuses it
# from then on, and had better: it would take deleted events in again.
_OLDER_VERSION = 1
# "SEMH": tells this file from any other SQLite database.
APPLICATION_ID = 0x53454D48
# One statement reads one moment: between two, another process may write the schema.
_IDENTITY = """
SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version), count(*)
FROM sqlite_master
"""
_TOMBSTONES = "CREATE TABLE tombstone (key BLOB PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID"
_SCHEMA = f"""
CREATE TABLE user (user INTEGER PRIMARY KEY, user_id BLOB NOT NULL UNIQUE, head BLOB NOT NULL);
CREATE TABLE chunk (key INTEGER PRIMARY KEY, pairs BLOB NOT NULL, ids BLOB NOT NULL);
CREATE TABLE event (user INTEGER, event_id BLOB, digest BLOB NOT NULL, PRIMARY KEY (user, event_id)) WITHOUT ROWID;
{_TOMBSTONES};
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""


class SQLiteFile:
    """An open file; connections are made as threads need them, and kept."""

    def __init__(self, path: str, timeout_s: float, synchronous: str) -> None:
        """Opens the file, or makes it, readable by this user only.

        Args:
          path: the file; SQLite keeps PATH-wal and PATH-shm beside it.
          timeout_s: how long to wait for another process that writes.
          synchronous: FULL or NORMAL.

        Raises:
          StoreError: no such folder, not a file of this store, or of another schema version.
        """
        self.path = path
        self.timeout_s = timeout_s
        self.synchronous = synchronous
        self._idle: list[sqlite3.Connection] = []
        self._mutex = threading.Lock()
        self._closed = False
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise StoreError(f"cannot open {path}: {error.strerror}. Make its folder, or name another.") from error
        with self.connection() as db:
            self._create(db)

    @contextlib.contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
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
        except packing.DamagedHistory as error:
            raise StoreDamaged(f"a history in {self.path} is damaged: {error}") from error
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{self.path} is damaged or no SQLite file: {error}.") from error
        finally:
            if db is not None:
                with self._mutex:
                    keep = not self._closed
                    if keep:
                        self._idle.append(db)
                if not keep:
                    db.close()

    @staticmethod
    @contextlib.contextmanager
    def transaction(db: sqlite3.Connection, begin: str) -> Iterator[None]:
        """A transaction that ends with the block: committed, or rolled back when it raises.

        Args:
          db: a connection of this file.
          begin: BEGIN to read one moment, BEGIN IMMEDIATE to write.
        """
        db.execute(begin)
        try:
            yield
            db.execute("COMMIT")
        except BaseException:
            # SQLite may have rolled back by itself (a full disk).
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Closes idle connections now and others when they come back; may be called twice."""
        with self._mutex:
            self._closed = True
            idle, self._idle = self._idle, []
        for db in idle:
            db.close()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=self.timeout_s, isolation_level=None, check_same_thread=False)
        db.execute(f"PRAGMA synchronous = {self.synchronous}")
        # Deleted content is overwritten, not only unlinked: a user who asked for it is gone from the file.
        db.execute("PRAGMA secure_delete = ON").fetchall()
        return db

    def _create(self, db: sqlite3.Connection) -> None:
        """Writes the schema in an empty file; in another one looks whether it is ours, before anything is changed."""
        found = self._identity(db)
        if found == (0, 0, 0):
            self._settle_journal(db)
            with self.transaction(db, "BEGIN IMMEDIATE"):
                if self._identity(db) == (0, 0, 0):  # no other process came first
                    for statement in _SCHEMA.strip().split(";\n"):
                        db.execute(statement)
            found = self._identity(db)
        if found[0] != APPLICATION_ID:
            raise StoreError(f"{self.path} is an SQLite file of another program. Name another file.")
        if found[1] == _OLDER_VERSION:
            with self.transaction(db, "BEGIN IMMEDIATE"):
                if self._identity(db)[1] == _OLDER_VERSION:
                    db.execute(_TOMBSTONES)
                    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            found = self._identity(db)
        if found[1] != SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} has schema version {found[1]}, this program knows {SCHEMA_VERSION}. Use the program's "
                "version that wrote it, or another file."
            )

    @staticmethod
    def _identity(db: sqlite3.Connection) -> tuple[int, int, int]:
        """application_id, user_version and the number of tables and indexes, all of one moment."""
        application, version, tables = db.execute(_IDENTITY).fetchone()
        return application, version, tables

    def _settle_journal(self, db: sqlite3.Connection) -> None:
        """Switches the file to WAL, for good; SQLite does not wait by itself while another process does the same."""
        deadline = time.monotonic() + self.timeout_s
        while True:
            try:
                db.execute("PRAGMA journal_mode = WAL").fetchall()
                return
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
