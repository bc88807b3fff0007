"""A history as a few packed chunks, and what an append changes of them.

A row a pair is slow to read 10,000 of (docs/gateway.md), nearly all of it Python objects. So both stores keep sorted
chunks of up to a few hundred pairs, packed (packing.py). A head lists the chunks; new events go in a small last chunk,
which is folded into the one before when it is full, so that an append writes little.

This module is arithmetic on values. How a change gets to disk at once, and at most one at a time, is the store's part.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

import numpy as np

from serving.gateway.events import NO_HISTORY, History, Stored
from serving.gateway.packing import Chunk, Entry, Head


@dataclass
class Change:
    """What an append changes: the new head; chunks to write and to remove by number; event_ids that go."""

    head: Head
    put: dict[int, Chunk] = field(default_factory=dict)
    drop: list[int] = field(default_factory=list)
    forgotten: list[bytes] = field(default_factory=list)


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
