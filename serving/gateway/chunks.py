"""A history as a few packed chunks, and what an append changes of them.

A row a pair is slow to read 10,000 of (docs/gateway.md), nearly all of it Python objects. So both stores keep sorted
chunks of up to a few hundred pairs whose strings are joined by 0xFF, a byte that UTF-8 never has: a whole history is
split at the speed of C. A head lists the chunks; new events go in a small last chunk, which is folded into the one
before when it is full, so that an append writes little.

This module is arithmetic on values. How a change gets to disk at once, and at most one at a time, is the store's part.
"""

from __future__ import annotations

import bisect
import itertools
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from serving.gateway.events import NO_HISTORY, History, Stored

# What packed heads and pairs begin with: their format.
_FORMAT = 1
_SEPARATOR = b"\xff"
_HEAD = struct.Struct("<BI")
_ENTRY = struct.Struct("<IIq")
_PAIRS = struct.Struct("<BII")


class DamagedHistory(ValueError):
    """Bytes that no packed history has."""


class Entry(NamedTuple):
    """One chunk in the head: its number, how many events it has, and the sort key of its first one."""

    number: int
    size: int
    first: tuple[int, bytes]


Head = list[Entry]
Chunk = list[Stored]


@dataclass
class Change:
    """What an append changes: the new head; chunks to write and to remove by number; event_ids that go."""

    head: Head
    put: dict[int, Chunk] = field(default_factory=dict)
    drop: list[int] = field(default_factory=list)
    forgotten: list[bytes] = field(default_factory=list)


def pack_head(head: Head) -> bytes:
    """A head as bytes."""
    entries = b"".join(_ENTRY.pack(entry.number, entry.size, entry.first[0]) for entry in head)
    return _HEAD.pack(_FORMAT, len(head)) + entries + _SEPARATOR.join(entry.first[1] for entry in head)


def unpack_head(packed: bytes | None) -> Head:
    """The head from its bytes; None (no such user) is an empty one.

    Raises:
      DamagedHistory: another format.
    """
    if not packed:
        return []
    kind, count = _HEAD.unpack_from(packed.ljust(_HEAD.size, b"\0"))
    if kind != _FORMAT:
        raise DamagedHistory(f"a head of format {kind}, expected {_FORMAT}; a newer version of this project wrote it.")
    end = _HEAD.size + count * _ENTRY.size
    ids = packed[end:].split(_SEPARATOR)
    if len(packed) < end or len(ids) != count:
        raise DamagedHistory(f"a head of {count} chunks has {len(ids)} ids.")
    entries = _ENTRY.iter_unpack(packed[_HEAD.size : end])
    return [Entry(number, size, (time, first)) for (number, size, time), first in zip(entries, ids)]


def pack_pairs(chunk: Chunk) -> bytes:
    """Timestamps, items and queries of a chunk as bytes."""
    times = np.array([event.timestamp for event in chunk], "<i8").tobytes()
    items = _SEPARATOR.join([event.item_id for event in chunk])
    queries = _SEPARATOR.join([event.query for event in chunk])
    return _PAIRS.pack(_FORMAT, len(chunk), len(items)) + times + items + queries


def pack_ids(chunk: Chunk) -> bytes:
    """The event_ids of a chunk as bytes: apart from the pairs, because reading a history does not need them."""
    return _SEPARATOR.join([event.event_id for event in chunk])


def unpack_chunk(pairs: bytes | None, ids: bytes | None) -> Chunk:
    """The events of a chunk from `pack_pairs` and `pack_ids`.

    Raises:
      DamagedHistory: one of them is missing (None), or they do not belong together.
    """
    if pairs is None or ids is None:
        raise DamagedHistory("a chunk that the head names is missing.")
    found = unpack_history([pairs])
    names = ids.split(_SEPARATOR)
    if len(names) != len(found):
        raise DamagedHistory(f"a chunk of {len(found)} pairs has {len(names)} event_ids.")
    return list(map(Stored, found.timestamps.tolist(), names, found.item_ids, found.queries))


def unpack_history(packed: Sequence[bytes | None]) -> History:
    """Packed pairs of some chunks, in order, as one history.

    Raises:
      DamagedHistory: a chunk is missing (None), or its bytes are not those that `pack_pairs` writes.
    """
    if not packed:
        return NO_HISTORY
    times, items, queries = [], [], []
    for blob in packed:
        if blob is None or len(blob) < _PAIRS.size:
            raise DamagedHistory("a chunk that the head names is missing or cut off.")
        kind, count, size = _PAIRS.unpack_from(blob)
        if kind != _FORMAT:
            raise DamagedHistory(
                f"pairs of format {kind}, expected {_FORMAT}; a newer version of this project wrote it."
            )
        start = _PAIRS.size + 8 * count
        times.append(blob[_PAIRS.size : start])
        items.append(blob[start : start + size])
        queries.append(blob[start + size :])
    joined = b"".join(times)
    stamps = np.frombuffer(joined, "<i8", len(joined) // 8).astype(np.int64, copy=False)
    item_ids, texts = _SEPARATOR.join(items).split(_SEPARATOR), _SEPARATOR.join(queries).split(_SEPARATOR)
    if not len(stamps) == len(item_ids) == len(texts):
        raise DamagedHistory(f"{len(stamps)} timestamps, {len(item_ids)} items and {len(texts)} queries.")
    return History(item_ids, texts, stamps)


def newest(history: History, limit: int) -> History:
    """The last `limit` pairs."""
    if limit >= len(history):
        return history
    if limit <= 0:
        return NO_HISTORY
    return History(history.item_ids[-limit:], history.queries[-limit:], history.timestamps[-limit:])


def since(history: History, oldest: int) -> History:
    """The pairs that are no older than a moment, ms since 1970."""
    return newest(history, len(history) - int(np.searchsorted(history.timestamps, oldest)))


def needed(head: Head, limit: int) -> list[int]:
    """Numbers of the chunks that hold the newest `limit` events, oldest first."""
    numbers: list[int] = []
    for entry in reversed(head):
        if limit <= 0:
            break
        numbers.append(entry.number)
        limit -= entry.size
    return numbers[::-1]


def insert(
    head: Head,
    load: Callable[[int], Chunk],
    events: Sequence[Stored],
    max_history: int,
    chunk_size: int,
    tail_size: int,
) -> Change:
    """What it takes to add events.

    Args:
      head: the user's chunks; not changed.
      load: gives the chunk of a number, as it was before this change.
      events: sorted, none of them known to the user.
      max_history: events kept; the oldest chunks go while those after them have as many.
      chunk_size: most events of a chunk.
      tail_size: events of the last chunk from which on a newer event begins another one.

    Returns:
      The change.
    """
    change = Change(list(head))

    def get(entry: Entry) -> Chunk:
        return change.put.get(entry.number) or load(entry.number)

    begin = 0
    while begin < len(events):
        at, end = _place(change.head, events, begin)
        group = list(events[begin:end])
        begin = end
        last = at >= len(change.head) - 1
        chunk = get(change.head[at]) if change.head else []
        replaced = 1 if change.head else 0
        if last and len(chunk) >= tail_size and group[0] > chunk[-1]:
            first = at + 1
            replaced = 0
            if at and change.head[at - 1].size + len(chunk) <= chunk_size:
                folded = get(change.head[at - 1]) + chunk
                _replace(change, at - 1, 2, [folded])
                first = at
            _replace(change, first, replaced, _cut(group, chunk_size, True))
        else:
            _replace(change, at, replaced, _cut(sorted(chunk + group), chunk_size, last))
    total = sum(entry.size for entry in change.head)
    while change.head and total - change.head[0].size >= max_history:
        oldest = change.head[0]
        total -= oldest.size
        change.forgotten.extend(event.event_id for event in get(oldest))
        _replace(change, 0, 1, [])
    kept = {entry.number for entry in change.head}
    change.drop = sorted({entry.number for entry in head} - kept)
    return change


def remove(head: Head, load: Callable[[int], Chunk], until: int) -> Change:
    """What it takes to remove events up to a moment.

    Args:
      head: the user's chunks; not changed.
      load: gives the chunk of a number.
      until: ms since 1970; events of that moment go, later ones stay.

    Returns:
      The change; its head is empty where no event is left.
    """
    change = Change(list(head))
    # Chunks are in the order of time: all that begin no later than `until` go, but for later events of the last one.
    gone = [entry for entry in head if entry.first[0] <= until]
    kept: Chunk = []
    for entry in gone:
        chunk = load(entry.number)
        kept = [event for event in chunk if event.timestamp > until]
        change.forgotten.extend(event.event_id for event in chunk[: len(chunk) - len(kept)])
    _replace(change, 0, len(gone), [kept] if kept else [])
    numbers = {entry.number for entry in change.head}
    change.drop = sorted({entry.number for entry in head} - numbers)
    return change


def _place(head: Head, events: Sequence[Stored], begin: int) -> tuple[int, int]:
    """Position of the chunk that event `begin` belongs to, and the end of the events that belong there too."""
    key = events[begin][:2]
    at = max(bisect.bisect_right(head, key, key=attrgetter("first")) - 1, 0)
    end = begin + 1
    limit = head[at + 1].first if at + 1 < len(head) else None
    while end < len(events) and (limit is None or events[end][:2] < limit):
        end += 1
    return at, end


def _cut(events: Chunk, size: int, last: bool) -> list[Chunk]:
    """Pieces of at most `size`: full ones and a rest at the end of the history, even ones elsewhere."""
    pieces = math.ceil(len(events) / size)
    width = size if last else math.ceil(len(events) / pieces)
    return [events[start : start + width] for start in range(0, len(events), width)]


def _replace(change: Change, at: int, count: int, chunks: list[Chunk]) -> None:
    """Puts chunks in the place of `count` entries, under numbers that are free."""
    for entry in change.head[at : at + count]:
        change.put.pop(entry.number, None)
    reused = [entry.number for entry in change.head[at : at + count]]
    used = set(map(attrgetter("number"), change.head))
    free = itertools.chain(reused, (number for number in itertools.count() if number not in used))
    made = []
    for chunk, number in zip(chunks, free):
        change.put[number] = chunk
        made.append(Entry(number, len(chunk), chunk[0][:2]))
    change.head[at : at + count] = made
