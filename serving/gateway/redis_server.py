"""One Redis server: the connection, what its settings promise, the schema, and its errors as those of a store."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from serving.gateway import packing
from serving.gateway.events import StoreDamaged, StoreError, StoreUnavailable

_LOG = logging.getLogger(__name__)
SCHEMA_VERSION = 2
# Without tombstones. A gateway that knows it only refuses the newer one when it starts, so stop the old ones first.
_OLDER_VERSION = "1"
# What the server must say for "acknowledged" to mean "on disk, and nobody throws it out".
_DURABLE = {
    "appendonly": ("yes", lambda found: found == "yes"),
    "appendfsync": ("always", lambda found: found == "always"),
    "maxmemory-policy": ("noeviction or volatile-*", lambda found: not found.startswith("allkeys")),
}
R = TypeVar("R")


class RedisServer:
    """A connection to a Redis server (6 or newer) whose keys begin with `prefix`.

    Attributes:
      client: of redis-py; calls go through `ask`.
      errors: redis-py's exceptions.
      address: without a password, for logs and errors.
    """

    def __init__(self, url: str, timeout_s: float, prefix: str, require_durable: bool) -> None:
        """Connects, looks at the server's settings and settles the schema.

        Args:
          url: redis://[[user]:password@]host:port/db, rediss:// for TLS, or unix://path.
          timeout_s: of an answer.
          prefix: what keys begin with.
          require_durable: refuse a server that may lose acknowledged events; False only logs a warning.

        Raises:
          StoreError: redis-py is missing, the URL is malformed, or the server may lose data or has a newer schema
            under this prefix.
          StoreUnavailable: no server answers.
        """
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ModuleNotFoundError as error:
            raise StoreError("a Redis store needs the package redis. Install seminar-tf[gateway].") from error
        self.errors = redis.exceptions
        self._require_durable = require_durable
        self._schema = f"{prefix}:schema"
        self._closed = False
        try:
            self.address = _without_password(url)
            # With no retry of its own, a call of redis-py ends within its timeout.
            self.client: Any = redis.Redis.from_url(
                url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
            )
        except ValueError:
            # Neither the URL nor what is wrong with it: a part of the password may be in both.
            raise StoreError(
                "the Redis URL is malformed: expected redis://[[user]:password@]host:port/db, rediss:// or unix://path,"
                " and / ? # @ : in a password percent-encoded."
            ) from None
        try:
            self.ask(self._settle_schema)
            self.check()
        except BaseException:
            self.close()
            raise

    def ask(self, call: Callable[[], R]) -> R:
        """Calls Redis; its errors become the store's, but for WatchError."""
        if self._closed:
            raise StoreUnavailable(f"the store {self.address} is closed.")
        try:
            return call()
        except self.errors.WatchError:
            raise
        except packing.DamagedHistory as error:
            raise StoreDamaged(f"a history in {self.address} is damaged: {error}") from error
        except (self.errors.ConnectionError, self.errors.TimeoutError) as error:
            raise StoreUnavailable(f"no answer from Redis at {self.address}: {error}") from error
        except self.errors.RedisError as error:
            raise StoreError(f"Redis at {self.address} refuses: {error}") from error

    def check(self) -> None:
        """Whether the server answers and is durable; see `HistoryStore.check`."""
        self.ask(self.client.ping)
        try:
            found = self.ask(self._settings)
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
        if self._require_durable:
            raise StoreError(f"{message} Set it so, or accept the loss with require_durable=False (--allow-loss).")
        _LOG.warning("%s", message)

    def close(self) -> None:
        """Closes all connections; may be called twice."""
        self._closed = True
        self.client.close()
        self.client.connection_pool.disconnect()

    def _settings(self) -> dict[str, str]:
        """What the server says of the settings of `_DURABLE`."""
        found = {}
        for name in _DURABLE:
            answer: dict[Any, Any] = self.client.config_get(name)
            found[name] = next((_text(value) for key, value in answer.items() if _text(key) == name), "not told")
        return found

    def _settle_schema(self) -> None:
        self.client.set(self._schema, SCHEMA_VERSION, nx=True)
        found = _text(self.client.get(self._schema) or b"")
        if found == _OLDER_VERSION:
            # Tombstones are keys of their own: there is nothing to convert.
            self.client.set(self._schema, SCHEMA_VERSION)
            found = str(SCHEMA_VERSION)
        if found != str(SCHEMA_VERSION):
            raise StoreError(
                f"{self.address} has schema version {found} under {self._schema}, this program knows {SCHEMA_VERSION}. "
                "Use the program's version that wrote it, or another prefix."
            )


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _without_password(url: str) -> str:
    """The address of a Redis URL, fit for logs.

    Raises:
      ValueError: it has no address, or an unescaped password hides where that begins.
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        raise ValueError("an unescaped / ? or # in the password")
    # Parsing the port is what finds one that is none.
    _ = parts.port
    return f"{parts.scheme}://{host}{parts.path}"
