"""Histories in Redis, for several gateways on several machines.

The same packed chunks as in SQLite. An append reads what it needs under WATCH and writes all in one MULTI: when another
append to the user comes between, Redis refuses and it is done again. Redis writes a MULTI to its append-only file as
one unit, and with appendfsync always answers only after fsync: an acknowledged append survives SIGKILL of the server.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from serving.gateway import chunks, events
from serving.gateway.chunks import Change, Chunk
from serving.gateway.events import Event, History, Stored, StoreError, StoreUnavailable
from serving.gateway.store import HistoryStore, StoreOptions

_LOG = logging.getLogger(__name__)
SCHEMA_VERSION = 2
# Without tombstones. A gateway that knows it only refuses the newer one when it starts, so stop the old ones first.
_OLDER_VERSION = "1"
_HEAD = b"head"
# What the server must say for "acknowledged" to mean "on disk, and nobody throws it out".
_DURABLE = {
    "appendonly": ("yes", lambda found: found == "yes"),
    "appendfsync": ("always", lambda found: found == "always"),
    "maxmemory-policy": ("noeviction or volatile-*", lambda found: not found.startswith("allkeys")),
}
R = TypeVar("R")


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
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ModuleNotFoundError as error:
            raise StoreError("a Redis store needs the package redis. Install seminar-tf[gateway].") from error
        self.options = options or StoreOptions()
        self.prefix = prefix
        self.require_durable = require_durable
        self.address = _without_password(url)
        self._errors = redis.exceptions
        # Appends of this process to one user wait here rather than make Redis refuse each other's.
        self._turns = [threading.Lock() for _ in range(64)]
        self._closed = False
        timeout = self.options.timeout_s
        # With no retry of its own, a call of redis-py ends within its timeout.
        self._redis: Any = redis.Redis.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0)
        )
        try:
            self._ask(self._settle_schema)
            self.check()
        except BaseException:
            self.close()
            raise

    def append(self, user_id: str, events_: Sequence[Event]) -> int:
        name, batch = events.text("user_id", user_id, "user_id"), events.stored(events_)
        return self._in_turn(user_id, name, lambda: self._try_append(name, batch)) if batch else 0

    def history(self, user_id: str, limit: int) -> History:
        name = events.text("user_id", user_id, "user_id")
        wanted = min(limit, self.options.max_history)
        if wanted <= 0:
            return events.NO_HISTORY
        # One command, hence one moment: head and chunks belong together.
        found = self._ask(lambda: self._redis.hgetall(self._keys(name)[0]))
        numbers = self._ask(lambda: chunks.needed(chunks.unpack_head(found.get(_HEAD)), wanted))
        packed = [found.get(b"%d" % number) for number in numbers]
        return chunks.newest(self._ask(lambda: chunks.unpack_history(packed)), wanted)

    def delete_user(self, user_id: str, until_ms: int | None = None) -> bool:
        name = events.text("user_id", user_id, "user_id")
        until = None if until_ms is None else events.timestamp("until_ms", until_ms)
        return bool(self._in_turn(user_id, name, lambda: self._try_delete(name, until)))

    def check(self) -> None:
        """Whether the server answers and is durable; see `HistoryStore.check`."""
        self._ask(self._redis.ping)
        try:
            found = self._ask(self._settings)
        except StoreError as error:
            if isinstance(error, StoreUnavailable):
                raise
            problem = f"does not show its settings ({error})"
        else:
            wrong = [name for name, (_, right) in _DURABLE.items() if not right(found[name])]
            if not wrong:
                return
            told = ", ".join(f"{name} is {found[name]}, expected {_DURABLE[name][0]}" for name in wrong)
            problem = f"may lose acknowledged events: {told}"
        message = f"the Redis server at {self.address} {problem}."
        if self.require_durable:
            raise StoreError(f"{message} Set it so, or accept the loss with require_durable=False.")
        _LOG.warning("%s", message)

    def close(self) -> None:
        self._closed = True
        self._redis.close()
        self._redis.connection_pool.disconnect()

    def _settings(self) -> dict[str, str]:
        """What the server says of the settings of `_DURABLE`."""
        found = {}
        for name in _DURABLE:
            answer: dict[Any, Any] = self._redis.config_get(name)
            found[name] = next((_text(value) for key, value in answer.items() if _text(key) == name), "not told")
        return found

    def _settle_schema(self) -> None:
        key = f"{self.prefix}:schema"
        self._redis.set(key, SCHEMA_VERSION, nx=True)
        found = _text(self._redis.get(key) or b"")
        if found == _OLDER_VERSION:
            # Tombstones are keys of their own: there is nothing to convert.
            self._redis.set(key, SCHEMA_VERSION)
            found = str(SCHEMA_VERSION)
        if found != str(SCHEMA_VERSION):
            raise StoreError(
                f"{self.address} has schema version {found} under {key}, this program knows {SCHEMA_VERSION}. Use the "
                "program's version that wrote it, or another prefix."
            )

    def _keys(self, user_id: bytes) -> tuple[bytes, bytes, bytes]:
        """Hashes of a user: head and pairs by chunk; event_ids by chunk; digest by event_id. One slot of a cluster."""
        start = b"%s:{%s}:" % (self.prefix.encode(), user_id)
        return start + b"pairs", start + b"ids", start + b"events"

    def _tombstone(self, user_id: bytes) -> bytes:
        """Key of the moment until which a user is deleted; it does not hold the user's id."""
        return b"%s:deleted:%s" % (self.prefix.encode(), events.tombstone_key(user_id).hex().encode())

    def _in_turn(self, user_id: str, name: bytes, attempt: Callable[[], int]) -> int:
        """Attempts a change of one user until no other writer comes between.

        Raises:
          StoreUnavailable: others came first for the whole timeout.
        """
        deadline = time.monotonic() + self.options.timeout_s
        attempts = 0
        with self._turns[zlib.crc32(name) % len(self._turns)]:
            while True:
                try:
                    return self._ask(attempt)
                except self._errors.WatchError:
                    attempts += 1
                    pause = random.uniform(0.0, min(0.0005 * 2**attempts, 0.05))
                    if time.monotonic() + pause > deadline:
                        waited = f"{self.options.timeout_s:g} s"
                        raise StoreUnavailable(
                            f"{self.address}: other writers of user {user_id!r} came first for {waited}."
                        ) from None
                    time.sleep(pause)

    def _try_append(self, user_id: bytes, batch: list[Stored]) -> int:
        """One attempt; a WatchError says that another change of the user came between."""
        pairs, _, known = self._keys(user_id)
        with self._redis.pipeline() as pipe:
            pipe.watch(pairs, self._tombstone(user_id))
            deletion = pipe.get(self._tombstone(user_id))
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
        pairs, ids, known = self._keys(user_id)
        for number, chunk in change.put.items():
            pipe.hset(pairs, b"%d" % number, chunks.pack_pairs(chunk))
            pipe.hset(ids, b"%d" % number, chunks.pack_ids(chunk))
        if change.drop:
            numbers = [b"%d" % number for number in change.drop]
            pipe.hdel(pairs, *numbers)
            pipe.hdel(ids, *numbers)
        if change.forgotten:
            pipe.hdel(known, *change.forgotten)
        pipe.hset(pairs, _HEAD, chunks.pack_head(change.head))

    def _try_delete(self, user_id: bytes, until: int | None) -> int:
        """One attempt; a WatchError says that another change of the user came between."""
        keys, tombstone = self._keys(user_id), self._tombstone(user_id)
        with self._redis.pipeline() as pipe:
            load = partial(self._load, pipe, user_id=user_id)
            pipe.watch(keys[0], tombstone)
            change = None
            if until is None:
                deleted = bool(pipe.exists(*keys))
                until = max(self.now_ms(), self._newest(pipe, user_id))
            else:
                with self._one_moment(pipe, keys[0]):
                    change = chunks.remove(chunks.unpack_head(pipe.hget(keys[0], _HEAD)), load, until)
                deleted = bool(change.forgotten)
            before = pipe.get(tombstone)
            pipe.multi()
            if change is not None and change.head:
                self._write(pipe, user_id, change)
            else:
                pipe.delete(*keys)
            pipe.set(tombstone, until if before is None else max(until, int(before)))
            pipe.execute()
        return int(deleted)

    @staticmethod
    @contextlib.contextmanager
    def _one_moment(pipe: Any, pairs: bytes) -> Iterator[None]:
        """Tells a damaged history from one read in part before, in part after another change: that is a WatchError."""
        try:
            yield
        except chunks.DamagedHistory:
            pipe.multi()
            pipe.exists(pairs)
            pipe.execute()
            raise

    def _newest(self, pipe: Any, user_id: bytes) -> int:
        """The moment of a user's newest event; 0 where there is none, or in a damaged history: it goes too."""
        try:
            head = chunks.unpack_head(pipe.hget(self._keys(user_id)[0], _HEAD))
            return self._load(pipe, head[-1].number, user_id)[-1].timestamp
        except (chunks.DamagedHistory, IndexError):
            return 0

    def _load(self, pipe: Any, number: int, user_id: bytes) -> Chunk:
        """A chunk of a user."""
        pairs, ids, _ = self._keys(user_id)
        field = b"%d" % number
        return chunks.unpack_chunk(pipe.hget(pairs, field), pipe.hget(ids, field))

    def _plan(self, pipe: Any, user_id: bytes, batch: list[Stored]) -> tuple[list[Stored], Change]:
        """The events that are new, and what they change; reads one command after the other."""
        pairs, _, known = self._keys(user_id)
        head = chunks.unpack_head(pipe.hget(pairs, _HEAD))
        digests = pipe.hmget(known, [event.event_id for event in batch]) if head else [None] * len(batch)
        new = events.unknown(batch, digests)
        options, load = self.options, partial(self._load, pipe, user_id=user_id)
        return new, chunks.insert(head, load, new, options.max_history, options.chunk_size, options.tail_size)

    def _ask(self, call: Callable[[], R]) -> R:
        """Calls Redis; its errors become the store's, but for WatchError."""
        if self._closed:
            raise StoreUnavailable(f"the store {self.address} is closed.")
        try:
            return call()
        except self._errors.WatchError:
            raise
        except chunks.DamagedHistory as error:
            raise StoreError(f"a history in {self.address} is damaged: {error}") from error
        except (self._errors.ConnectionError, self._errors.TimeoutError) as error:
            raise StoreUnavailable(f"no answer from Redis at {self.address}: {error}") from error
        except self._errors.RedisError as error:
            raise StoreError(f"Redis at {self.address} refuses: {error}") from error


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _without_password(url: str) -> str:
    """The address of a Redis URL, fit for logs."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
