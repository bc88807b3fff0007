"""The bytes of chunked histories: heads, pairs and event_ids, packed and unpacked at the speed of C.

Strings are joined by 0xFF, a byte that UTF-8 never has. What the bytes of a format mean never changes: stores of older
versions are read as they are.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
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
