"""SIGKILL of the appending process, and of redis-server: what was acknowledged is there, once, in order. SIGKILL of
`expire-events`: each history is whole or cut, and the next run cuts the rest."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

import pytest

from serving.gateway.events import Event, StoreUnavailable
from serving.gateway.redis_store import RedisStore
from serving.gateway.stores import open_store
from tests.serving.gateway.appender import OPTIONS, USERS, first
from tests.serving.gateway.redis_server import RedisServer
from tests.serving.gateway.test_store import expected, pairs

ENDLESS = -1
# Users of whom the first are cut long before the last.
EXPIRING = 1500


@pytest.fixture(params=["sqlite", "redis"])
def address(request, tmp_path):
    """Address of an empty store, and its own server where it has one."""
    if request.param == "sqlite":
        yield f"sqlite:{tmp_path / 'histories.db'}", None
        return
    server = RedisServer(tmp_path)
    server.start()
    yield server.url, server
    server.stop()


def start(address, seed, count):
    command = [sys.executable, "-m", "tests.serving.gateway.appender", address, str(seed), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def acknowledged(process):
    """Numbers of the batches whose acknowledgement came out of the pipe whole."""
    # Not communicate(): it reads past what readline() has taken from the pipe already and holds back.
    out = process.stdout.read()
    process.wait(timeout=120)
    process.stdout.close()
    process.stderr.close()
    return [int(line) for line in out.splitlines(keepends=True) if line.endswith("\n")]


def holds(store, made, done):
    """Checks the store against the first `done` batches, or one more: that one was stored but not yet acknowledged."""
    histories = {user: pairs(store.history(user, 10_000)) for user in USERS}

    def after(count):
        return {u: expected([e for user, b in made[:count] for e in b if user == u], 10_000) for u in USERS}

    assert histories in (after(done), after(done + 1))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_appenders(address, seed):
    url, _ = address
    rng = random.Random(seed)
    made = first(seed, 200)
    done = 0
    # The second one begins anew, as a caller in doubt does: what is there already changes nothing.
    for _ in range(2):
        process = start(url, seed, ENDLESS)
        lines = [process.stdout.readline() for _ in range(rng.randint(5, 40))]
        assert lines[-1].endswith("\n"), process.stderr.read()
        time.sleep(rng.uniform(0.0, 0.004))
        process.kill()
        done = max(done, len(lines) + len(acknowledged(process)))
        made = first(seed, max(done + 1, 200))
        with open_store(url, OPTIONS) as store:
            holds(store, made, done)
    with open_store(url, OPTIONS) as store:
        for user, batch in made:
            store.append(user, batch)
        holds(store, made, len(made))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_redis_server(tmp_path, seed):
    server = RedisServer(tmp_path)
    server.start()
    try:
        rng = random.Random(seed)
        with RedisStore(server.url, OPTIONS) as store:
            process = start(server.url, seed, ENDLESS)
            lines = [process.stdout.readline() for _ in range(rng.randint(5, 40))]
            time.sleep(rng.uniform(0.0, 0.004))
            server.kill()
            done = len(lines) + len(acknowledged(process))
            assert process.returncode == 1
            with pytest.raises(StoreUnavailable, match="no answer from Redis"):
                store.history("ann", 1)
            server.start()
            made = first(seed, done + 1)
            holds(store, made, done)
            assert store.append(*made[-1]) in range(4), "the store that lost its server goes on"
            holds(store, made, done + 1)
    finally:
        server.stop()


def test_killed_expiry(address):
    url, _ = address
    of_sqlite = ["--store", "sqlite", "--sqlite-path", url.removeprefix("sqlite:")]
    store_options = of_sqlite if url.startswith("sqlite:") else ["--store", "redis", "--redis-url", url]
    command = [sys.executable, "-m", "seminar_tf.cli.expire_events", *store_options, "--before-ms", "1000"]
    users = [f"user{n}" for n in range(EXPIRING)]
    with open_store(url, OPTIONS) as store:
        for user in users:
            store.append(user, [Event(f"{n}", f"i{n}", "", 100 * n) for n in range(20)])
        whole, cut = list(range(0, 2000, 100)), list(range(1000, 2000, 100))

        def left(some=users):
            return [store.history(user, 99).timestamps.tolist() for user in some]

        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while process.poll() is None and cut not in left(users[::50]):
            pass
        process.kill()
        _, errors = process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL, errors
        found = left()
        assert 0 < found.count(cut) < len(users) == found.count(cut) + found.count(whole)
        again = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert again.returncode == 0, again.stderr
        # Redis may bring a user twice.
        assert again.stdout.startswith(f"{10 * found.count(whole)} events deleted; ")
        assert left() == [cut] * len(users)


def test_processes_that_append_to_the_same_users_lose_nothing(address):
    url, _ = address
    # Two of the three send the same events.
    processes = [start(url, seed, 40) for seed in (7, 8, 7)]
    for process in processes:
        assert len(acknowledged(process)) == 40, process.returncode
    every = first(7, 40) + first(8, 40)
    with open_store(url, OPTIONS) as store:
        for user in USERS:
            sent = [event for name, batch in every for event in batch if name == user]
            assert pairs(store.history(user, 10_000)) == expected(sent, 10_000)
