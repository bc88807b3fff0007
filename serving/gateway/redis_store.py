"""Histories in Redis, for several gateways on several machines.

The same packed chunks as in SQLite. An append reads what it needs under WATCH and writes all in one MULTI: when another
append to the user comes between, Redis refuses and it is done again. Redis writes a MULTI to its append-only file as
one unit, and with appendfsync always answers only after fsync: an acknowledged append survives SIGKILL of the server.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from serving.gateway import chunks, events, packing
from serving.gateway.chunks import Change
from serving.gateway.events import Event, History, StoreContended, Stored, StoreDamaged
from serving.gateway.packing import Chunk
from serving.gateway.redis_keys import Keys
from serving.gateway.redis_server import RedisServer
from serving.gateway.store import Expired, HistoryStore, StoreOptions

# Keys that one SCAN looks at, about.
_SCANNED_AT_ONCE = 512
_HEAD = b"head"


class RedisStore(HistoryStore):
    """Histories in a Redis server (6 or newer), under keys that begin with `prefix`."""

    def __init__(
        self,
        url: str,
        options: StoreOptions | None = None,
        prefix: str = "seminar",
        require_durable: bool = True,
    ) -> None:
        """Connects and looks at the server's settings.

        Args:
          url: redis://[[user]:password@]host:port/db, rediss:// for TLS, or unix://path.
          options: cap, timeout (of an answer, and of all attempts of an append) and chunk sizes.
          prefix: what keys begin with; several stores may share a server.
          require_durable: refuse a server that may lose acknowledged events; False only logs a warning.

        Raises:
          StoreError: redis-py is missing, or the server may lose data, or has a newer schema under this prefix.
          StoreUnavailable: no server answers.
        """
        self.options = options or StoreOptions()
        self._keys = Keys(prefix)
        # Appends of this process to one user wait here rather than make Redis refuse each other's.
        self._turns = [threading.Lock() for _ in range(64)]
        self._server = RedisServer(url, self.options.timeout_s, prefix, require_durable)
        self._redis, self._ask = self._server.client, self._server.ask

    def append(self, user_id: str, events_: Sequence[Event]) -> int:
        name = events.text("user_id", user_id, "user_id")
        batch = events.after(events.stored(events_), self.oldest_ms() - 1)
        return self._in_turn(user_id, name, lambda: self._try_append(name, batch)) if batch else 0

    def history(self, user_id: str, limit: int) -> History:
        name = events.text("user_id", user_id, "user_id")
        wanted = min(limit, self.options.max_history)
        if wanted <= 0:
            return events.NO_HISTORY
        # One command, hence one moment: head and chunks belong together.
        found = self._ask(lambda: self._redis.hgetall(self._keys.of(name)[0]))
        numbers = self._ask(lambda: chunks.needed(packing.unpack_head(found.get(_HEAD)), wanted))
        packed = [found.get(b"%d" % number) for number in numbers]
        history = chunks.newest(self._ask(lambda: packing.unpack_history(packed)), wanted)
        return chunks.since(history, self.oldest_ms())

    def delete_user(self, user_id: str, until_ms: int | None = None) -> bool:
        name = events.text("user_id", user_id, "user_id")
        until = None if until_ms is None else events.timestamp("until_ms", until_ms)
        return bool(self._in_turn(user_id, name, lambda: self._try_delete(name, until)))

    def expire(self, before_ms: int) -> Expired:
        until = events.timestamp("before_ms", before_ms) - 1
        found = Expired()
        keys = self._redis.scan_iter(match=self._keys.pattern, count=_SCANNED_AT_ONCE)
        contended = []
        # A scan may bring a key twice; the second time nothing is left to do.
        while (key := self._ask(lambda: next(keys, None))) is not None:
            name = self._keys.user_of(key)
            try:
                found = self._expire_user(found, name, until)
            except StoreContended:
                # A user who is busy now must not keep the others'.
                contended.append(name)
        for name in contended:
            found = self._expire_user(found, name, until)
        return found

    def _expire_user(self, found: Expired, name: bytes, until: int) -> Expired:
        """One user of `expire`; raises StoreContended where other writers do not let it come to it."""
        user_id = name.decode("utf-8")
        try:
            gone = self._in_turn(user_id, name, partial(self._try_expire, name, until))
        except StoreDamaged:
            return replace(found, users=found.users + 1, damaged=(*found.damaged, user_id))
        return replace(found, users=found.users + 1, events=found.events + gone)

    def check(self) -> None:
        """Whether the server answers and is durable; see `HistoryStore.check`."""
        self._server.check()

    def close(self) -> None:
        self._server.close()

    def _in_turn(self, user_id: str, name: bytes, attempt: Callable[[], int]) -> int:
        """Attempts a change of one user until no other writer comes between.

        Raises:
          StoreContended: others came first for the whole timeout.
        """
        deadline = time.monotonic() + self.options.timeout_s
        attempts = 0
        with self._turns[zlib.crc32(name) % len(self._turns)]:
            while True:
                try:
                    return self._ask(attempt)
                except self._server.errors.WatchError:
                    attempts += 1
                    pause = random.uniform(0.0, min(0.0005 * 2**attempts, 0.05))
                    if time.monotonic() + pause > deadline:
                        waited = f"{self.options.timeout_s:g} s"
                        raise StoreContended(
                            f"{self._server.address}: other writers of user {user_id!r} came first for {waited}."
                        ) from None
                    time.sleep(pause)

    def _try_append(self, user_id: bytes, batch: list[Stored]) -> int:
        """One attempt; a WatchError says that another change of the user came between."""
        pairs, _, known = self._keys.of(user_id)
        with self._redis.pipeline() as pipe:
            pipe.watch(pairs, self._keys.tombstone(user_id))
            deletion = pipe.get(self._keys.tombstone(user_id))
            batch = events.after(batch, None if deletion is None else int(deletion))
            if not batch:
                return 0
            with self._one_moment(pipe, pairs):
                new, change = self._plan(pipe, user_id, batch)
            if not new:
                return 0
            pipe.multi()
            pipe.hset(known, mapping={event.event_id: event.digest for event in new})
            self._write(pipe, user_id, change)
            pipe.execute()
        return len(new)

    def _write(self, pipe: Any, user_id: bytes, change: Change) -> None:
        """Puts a change's commands in a MULTI."""
        pairs, ids, known = self._keys.of(user_id)
        for number, chunk in change.put.items():
            pipe.hset(pairs, b"%d" % number, packing.pack_pairs(chunk))
            pipe.hset(ids, b"%d" % number, packing.pack_ids(chunk))
        if change.drop:
            numbers = [b"%d" % number for number in change.drop]
            pipe.hdel(pairs, *numbers)
            pipe.hdel(ids, *numbers)
        if change.forgotten:
            pipe.hdel(known, *change.forgotten)
        pipe.hset(pairs, _HEAD, packing.pack_head(change.head))

    def _try_delete(self, user_id: bytes, until: int | None) -> int:
        """One attempt; a WatchError says that another change of the user came between."""
        keys, tombstone = self._keys.of(user_id), self._keys.tombstone(user_id)
        with self._redis.pipeline() as pipe:
            pipe.watch(keys[0], tombstone)
            change = Change([])
            if until is None:
                deleted = bool(pipe.exists(*keys))
                until = max(self.now_ms(), self._newest(pipe, user_id))
            else:
                change = self._without(pipe, user_id, until)
                deleted = bool(change.forgotten)
            before = pipe.get(tombstone)
            pipe.multi()
            self._write_or_delete(pipe, user_id, change)
            pipe.set(tombstone, until if before is None else max(until, int(before)))
            pipe.execute()
        return int(deleted)

    def _try_expire(self, user_id: bytes, until: int) -> int:
        """One attempt, as `_try_delete`, but without a tombstone; the number of events that went."""
        with self._redis.pipeline() as pipe:
            pipe.watch(self._keys.of(user_id)[0])
            change = self._without(pipe, user_id, until)
            if change.forgotten:
                pipe.multi()
                self._write_or_delete(pipe, user_id, change)
                pipe.execute()
        return len(change.forgotten)

    def _without(self, pipe: Any, user_id: bytes, until: int) -> Change:
        """What it takes to remove a watched user's events up to a moment."""
        pairs = self._keys.of(user_id)[0]
        with self._one_moment(pipe, pairs):
            return chunks.remove(
                packing.unpack_head(pipe.hget(pairs, _HEAD)), partial(self._load, pipe, user_id=user_id), until
            )

    def _write_or_delete(self, pipe: Any, user_id: bytes, change: Change) -> None:
        """Puts a change's commands in a MULTI; those that take the user away where no event is left."""
        if change.head:
            self._write(pipe, user_id, change)
        else:
            pipe.delete(*self._keys.of(user_id))

    @staticmethod
    @contextlib.contextmanager
    def _one_moment(pipe: Any, pairs: bytes) -> Iterator[None]:
        """Tells a damaged history from one read in part before, in part after another change: that is a WatchError."""
        try:
            yield
        except packing.DamagedHistory:
            pipe.multi()
            pipe.exists(pairs)
            pipe.execute()
            raise

    def _newest(self, pipe: Any, user_id: bytes) -> int:
        """The moment of a user's newest event; 0 where there is none, or in a damaged history: it goes too."""
        try:
            head = packing.unpack_head(pipe.hget(self._keys.of(user_id)[0], _HEAD))
            return self._load(pipe, head[-1].number, user_id)[-1].timestamp
        except (packing.DamagedHistory, IndexError):
            return 0

    def _load(self, pipe: Any, number: int, user_id: bytes) -> Chunk:
        """A chunk of a user."""
        pairs, ids, _ = self._keys.of(user_id)
        field = b"%d" % number
        return packing.unpack_chunk(pipe.hget(pairs, field), pipe.hget(ids, field))

    def _plan(self, pipe: Any, user_id: bytes, batch: list[Stored]) -> tuple[list[Stored], Change]:
        """The events that are new, and what they change; reads one command after the other."""
        pairs, _, known = self._keys.of(user_id)
        head = packing.unpack_head(pipe.hget(pairs, _HEAD))
        digests = pipe.hmget(known, [event.event_id for event in batch]) if head else [None] * len(batch)
        new = events.unknown(batch, digests)
        options, load = self.options, partial(self._load, pipe, user_id=user_id)
        return new, chunks.insert(head, load, new, options.max_history, options.chunk_size, options.tail_size)
