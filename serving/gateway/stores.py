"""Which store an address means; the module of a store is imported only when it is asked for."""

from __future__ import annotations

from serving.gateway.events import StoreError
from serving.gateway.store import HistoryStore, StoreOptions


def open_store(address: str, options: StoreOptions | None = None, require_durable: bool = True) -> HistoryStore:
    """Opens a store.

    Args:
      address: sqlite:PATH, redis://HOST:PORT/DB, rediss://... (TLS) or unix://SOCKET (Redis).
      options: settings that all stores have.
      require_durable: False accepts a store that may lose acknowledged events: Redis without an append-only file that
        is synced on every write, and SQLite that is synced at checkpoints only.

    Raises:
      StoreError: no such kind of store, or it cannot be used as it is; the message says why.
    """
    kind, _, rest = address.partition(":")
    if kind == "sqlite" and rest:
        from serving.gateway.sqlite_store import SQLiteStore

        return SQLiteStore(rest, options, "FULL" if require_durable else "NORMAL")
    if kind in ("redis", "rediss", "unix") and rest.startswith("//"):
        from serving.gateway.redis_store import RedisStore

        return RedisStore(address, options, require_durable=require_durable)
    raise StoreError(
        f"no store of the kind {kind!r}. Give sqlite:PATH, redis://HOST:PORT/DB, rediss://HOST:PORT/DB or unix://SOCKET."
    )
