"""What only the Redis store has: a server whose settings decide what an acknowledgement is worth."""

from __future__ import annotations

import logging

import pytest
import redis

from serving.gateway.events import Event, StoreError, StoreUnavailable
from serving.gateway.redis_store import RedisStore
from serving.gateway.store import StoreOptions
from serving.gateway.stores import open_store
from tests.serving.gateway.redis_server import RedisServer


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server whose settings the tests of this file may change."""
    running = RedisServer(tmp_path_factory.mktemp("redis"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def admin(server):
    with redis.Redis(unix_socket_path=server.socket) as client:
        yield client
        client.config_set("appendfsync", "always")
        client.config_set("appendonly", "yes")
        client.config_set("maxmemory-policy", "noeviction")
        client.flushall()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("appendfsync", "everysec", "appendfsync is everysec, expected always"),
        ("appendonly", "no", "appendonly is no, expected yes"),
        ("maxmemory-policy", "allkeys-lru", "maxmemory-policy is allkeys-lru"),
    ],
)
def test_a_server_that_may_lose_events_is_refused_unless_told(server, admin, name, value, message, caplog):
    with RedisStore(server.url) as store:
        admin.config_set(name, value)
        with pytest.raises(StoreError, match=message):
            store.check()
    with pytest.raises(StoreError, match=f"may lose acknowledged events: {message}"):
        RedisStore(server.url)
    with caplog.at_level(logging.WARNING), open_store(server.url, require_durable=False) as store:
        assert message in caplog.text
        assert store.append("u", [Event("e", "i", "", 1)]) == 1


def test_a_server_that_hides_its_settings_is_refused_unless_told(server, admin):
    admin.execute_command("ACL", "SETUSER", "app", "on", ">word", "~*", "+@all", "-config")
    url = server.url.replace("unix://", "unix://app:word@")
    with pytest.raises(StoreError, match="does not show its settings") as caught:
        RedisStore(url)
    assert "word" not in str(caught.value)
    with RedisStore(url, require_durable=False) as store:
        assert store.append("u", [Event("e", "i", "", 1)]) == 1


def test_another_schema_version_is_refused(server, admin):
    admin.set("seminar:schema", 3)
    with pytest.raises(StoreError, match="schema version 3 under seminar:schema, this program knows 2"):
        RedisStore(server.url)
    admin.set("seminar:schema", 1)
    RedisStore(server.url).close()
    assert admin.get("seminar:schema") == b"2"
    with RedisStore(server.url, prefix="elsewhere") as store:
        assert len(store.history("u", 1)) == 0


def test_no_server_is_unavailable(tmp_path):
    with pytest.raises(StoreUnavailable, match="no answer from Redis at unix://"):
        RedisStore(f"unix://{tmp_path}/none")


def test_foreign_and_damaged_keys_are_told(server, admin):
    with RedisStore(server.url) as store:
        store.append("u", [Event("e", "i", "", 1)])
        pairs = store._keys.of(b"u")[0]
        admin.hdel(pairs, "0")
        for call in (lambda: store.history("u", 1), lambda: store.append("u", [Event("f", "i", "", 2)])):
            with pytest.raises(StoreError, match="damaged"):
                call()
        admin.set(store._keys.of(b"v")[0], "a string")
        with pytest.raises(StoreError, match="refuses: WRONGTYPE"):
            store.history("v", 1)


def test_an_append_that_others_come_before_is_done_again(server, admin, monkeypatch):
    with RedisStore(server.url) as store, RedisStore(server.url, StoreOptions(timeout_s=0.2)) as other:
        plan, rivals = store._plan, [Event(f"r{n}", "rival", "", n) for n in range(3)]

        def interrupted(*args):
            found = plan(*args)
            if rivals:
                other.append("u", [rivals.pop()])
            return found

        monkeypatch.setattr(store, "_plan", interrupted)
        assert store.append("u", [Event("e", "mine", "", 9)]) == 1
        assert store.history("u", 9).item_ids == [b"rival"] * 3 + [b"mine"]
        # Without end: it gives up in time, and stores nothing.
        monkeypatch.setattr(
            other,
            "_plan",
            lambda *args: (admin.hset(args and other._keys.of(b"u")[0], "x", "y"), RedisStore._plan(other, *args))[1],
        )
        with pytest.raises(StoreUnavailable, match="other writers of user 'u' came first"):
            other.append("u", [Event("late", "i", "", 5)])
        assert len(store.history("u", 9)) == 4


def test_nothing_of_a_deleted_user_stays_but_when(server, admin):
    with RedisStore(server.url) as store:
        store.append("secret", [Event(f"e{n}", "i", "", n) for n in range(1000)])
        assert store.delete_user("secret", 2000)
        (tombstone,) = set(admin.keys()) - {b"seminar:schema"}
        assert tombstone.startswith(b"seminar:deleted:") and b"secret" not in tombstone
        assert admin.get(tombstone) == b"2000"


def test_unknown_addresses():
    for address in ("lmdb:x", "sqlite:", "redis:", ""):
        with pytest.raises(StoreError, match="no store of the kind"):
            open_store(address)
