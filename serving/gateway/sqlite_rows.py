"""What the SQLite store reads and writes of one user, inside a transaction of the caller's."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import partial

from serving.gateway import chunks, events, packing
from serving.gateway.chunks import Change
from serving.gateway.events import Stored
from serving.gateway.packing import Chunk

# A chunk's key is user << NUMBER_BITS | number: one clustered index, a user's chunks side by side.
NUMBER_BITS = 20


def load(db: sqlite3.Connection, user: int, number: int) -> Chunk:
    """A chunk of a user."""
    key = user << NUMBER_BITS | number
    found = db.execute("SELECT pairs, ids FROM chunk WHERE key = ?", (key,)).fetchone()
    return packing.unpack_chunk(*found or (None, None))


def newest(db: sqlite3.Connection, user: int, head: bytes) -> int:
    """The moment of a user's newest event; 0 where the history is damaged, which must not keep it."""
    try:
        return load(db, user, packing.unpack_head(head)[-1].number)[-1].timestamp
    except (packing.DamagedHistory, IndexError):
        return 0


def delete_all(db: sqlite3.Connection, user: int) -> None:
    low = user << NUMBER_BITS
    db.execute("DELETE FROM chunk WHERE key BETWEEN ? AND ?", (low, low + (1 << NUMBER_BITS) - 1))
    db.execute("DELETE FROM event WHERE user = ?", (user,))
    db.execute("DELETE FROM user WHERE user = ?", (user,))


def delete_until(db: sqlite3.Connection, user: int, head: bytes, until: int) -> int:
    """Deletes what is no later than `until`; the number of events."""
    change = chunks.remove(packing.unpack_head(head), partial(load, db, user), until)
    if not change.head:
        delete_all(db, user)
    elif change.forgotten:
        apply(db, user, [], change)
    return len(change.forgotten)


def unknown(db: sqlite3.Connection, user: int, batch: list[Stored]) -> list[Stored]:
    """The events that the user does not have yet."""
    query = "SELECT digest FROM event WHERE user = ? AND event_id = ?"
    rows = [db.execute(query, (user, event.event_id)).fetchone() for event in batch]
    return events.unknown(batch, [row and row[0] for row in rows])


def apply(db: sqlite3.Connection, user: int, new: list[Stored], change: Change) -> None:
    low = user << NUMBER_BITS
    rows = [(low | n, packing.pack_pairs(chunk), packing.pack_ids(chunk)) for n, chunk in change.put.items()]
    db.executemany("INSERT OR REPLACE INTO chunk VALUES (?, ?, ?)", rows)
    db.executemany("DELETE FROM chunk WHERE key = ?", [(low | number,) for number in change.drop])
    db.executemany("INSERT INTO event VALUES (?, ?, ?)", [(user, event.event_id, event.digest) for event in new])
    db.executemany("DELETE FROM event WHERE user = ? AND event_id = ?", [(user, gone) for gone in change.forgotten])
    db.execute("UPDATE user SET head = ? WHERE user = ?", (packing.pack_head(change.head), user))


def by_events(users: Sequence[tuple[int, bytes, bytes]], until: int, size: int) -> Iterator[list[bytes]]:
    """Names of users with events up to a moment, or with a head that cannot be read, batch by batch.

    Args:
      users: (number, name, packed head) of each user.
      until: ms since 1970. Most users have nothing so old, which their head says.
      size: events of a batch's users from which on it ends.
    """
    names: list[bytes] = []
    held = 0
    for _, name, packed in users:
        try:
            head = packing.unpack_head(packed)
        except packing.DamagedHistory:
            names.append(name)
            continue
        if head and head[0].first[0] <= until:
            names.append(name)
            held += sum(entry.size for entry in head)
        if held >= size:
            yield names
            names, held = [], 0
    if names:
        yield names
