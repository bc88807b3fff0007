"""Events of users, what of them is stored, and what a store may say when it cannot do as asked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

# 9999-12-31 in ms since 1970: anything later is another unit than ms.
MAX_TIMESTAMP = 253_402_300_799_999
# Bytes of UTF-8. Ids stand in indexes; queries are what a person typed.
MAX_BYTES = {"user_id": 256, "event_id": 256, "item_id": 512, "query": 2048, "user_attributes": 512}


class InvalidEvent(ValueError):
    """A value that no store takes; the message names the field, what was found and what was expected."""


class StoreError(RuntimeError):
    """The store cannot do this, now or as it is set up."""


class StoreUnavailable(StoreError):
    """The store does not answer in time, or cannot write. Nothing of the call is acknowledged; trying again is safe."""


class StoreContended(StoreUnavailable):
    """Other writers of the same user came first, as long as one waited."""


class StoreDamaged(StoreError):
    """What the store holds of a user cannot be read."""


class EventConflict(StoreError):
    """A known event_id came with another content. Nothing of the batch was stored."""


@dataclass(frozen=True)
class Event:
    """One pair of a user's lifelong history.

    Attributes:
      event_id: unique for the user; the same event sent again has the same id and the same content.
      item_id: the item; not empty.
      query: what the user typed; "" for browsing.
      timestamp: ms since 1970 (UTC).
    """

    event_id: str
    item_id: str
    query: str
    timestamp: int


@dataclass(frozen=True)
class History:
    """Pairs of one user, oldest first, as a request's inputs want them.

    Attributes:
      item_ids, queries: UTF-8 bytes of each pair.
      timestamps: [L] int64, ms since 1970.
    """

    item_ids: list[bytes]
    queries: list[bytes]
    timestamps: np.ndarray

    def __len__(self) -> int:
        return len(self.item_ids)


NO_HISTORY = History([], [], np.zeros(0, np.int64))


class Stored(NamedTuple):
    """An event as stores hold it; it sorts by (timestamp, event_id), which is unique."""

    timestamp: int
    event_id: bytes
    item_id: bytes
    query: bytes

    @property
    def digest(self) -> bytes:
        """8 bytes that tell this content from another one under the same event_id."""
        content = b"%d\xff%s\xff%s" % (self.timestamp, self.item_id, self.query)
        return hashlib.blake2b(content, digest_size=8).digest()


def tombstone_key(user_id: bytes) -> bytes:
    """What a deletion is remembered under: 16 bytes that do not tell the user's id, though they are that of one user.

    Args:
      user_id: UTF-8.
    """
    return hashlib.blake2b(user_id, digest_size=16, person=b"seminar-deleted").digest()


def after(batch: Sequence[Stored], until: int | None) -> list[Stored]:
    """The events of a batch that are later than a moment, ms since 1970; all of them where it is None."""
    return list(batch) if until is None else [event for event in batch if event.timestamp > until]


def text(name: str, value: object, kind: str, empty: bool = False) -> bytes:
    """Checks a string and encodes it.

    Args:
      name: the field as the caller knows it, such as `events[3].item_id`.
      value: what should be a str.
      kind: which limit of `MAX_BYTES` holds.
      empty: whether "" is allowed.

    Returns:
      UTF-8 bytes. Such bytes never hold 0xFF, which is why stores join strings with it.

    Raises:
      InvalidEvent: not a string, empty, too long, or with lone surrogates.
    """
    if not isinstance(value, str):
        raise InvalidEvent(f"{name} is {type(value).__name__} {value!r}, expected a string.")
    if not value and not empty:
        raise InvalidEvent(f"{name} is empty.")
    try:
        encoded = value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidEvent(f"{name} {value!r} cannot be written as UTF-8: {error.reason}.") from None
    if len(encoded) > MAX_BYTES[kind]:
        raise InvalidEvent(f"{name} has {len(encoded)} bytes of UTF-8; at most {MAX_BYTES[kind]} are accepted.")
    return encoded


def timestamp(name: str, value: object, latest: int = MAX_TIMESTAMP) -> int:
    """Checks a moment: a whole number of ms since 1970, up to `latest`.

    Raises:
      InvalidEvent: not an integer, negative, or too late (microseconds, say).
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InvalidEvent(f"{name} is {type(value).__name__} {value!r}, expected an integer of ms since 1970.")
    if not 0 <= value <= latest:
        raise InvalidEvent(f"{name} is {value}, expected ms since 1970 from 0 to {latest}. Is it in another unit?")
    return int(value)


def stored(events: Sequence[Event]) -> list[Stored]:
    """Checks a batch: each event once, by (timestamp, event_id).

    Raises:
      InvalidEvent: a value is out of its limits.
      EventConflict: an event_id came twice with different contents.
    """
    found: dict[bytes, Stored] = {}
    for n, event in enumerate(events):
        made = Stored(
            timestamp(f"events[{n}].timestamp", event.timestamp),
            text(f"events[{n}].event_id", event.event_id, "event_id"),
            text(f"events[{n}].item_id", event.item_id, "item_id"),
            text(f"events[{n}].query", event.query, "query", empty=True),
        )
        if found.setdefault(made.event_id, made) != made:
            raise conflict(made.event_id, "twice in this batch, with different contents")
    return sorted(found.values())


def unknown(batch: Sequence[Stored], digests: Sequence[bytes | None]) -> list[Stored]:
    """The events of a batch that the user does not have yet.

    Args:
      batch: events.
      digests: for each, the digest that the store knows under its event_id; None where it knows none.

    Raises:
      EventConflict: an event_id is known with another content.
    """
    new = []
    for event, digest in zip(batch, digests):
        if digest is None:
            new.append(event)
        elif digest != event.digest:
            raise conflict(event.event_id, "again with another content")
    return new


def conflict(event_id: bytes, how: str) -> EventConflict:
    """The error for an event_id that stands for two contents."""
    name = event_id.decode("utf-8")
    return EventConflict(f"event_id {name!r} comes {how}. Nothing of the batch was stored; give each event its own id.")
