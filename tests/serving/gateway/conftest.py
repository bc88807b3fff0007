"""Stores of both kinds, empty for each test."""

from __future__ import annotations

import itertools

import pytest

from serving.gateway.redis_store import RedisStore
from serving.gateway.sqlite_store import SQLiteStore
from tests.serving.gateway.redis_server import RedisServer

_NAMES = itertools.count()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "redis"])
def make_store(request, tmp_path):
    """Function from StoreOptions to a store; every store of one test has the same content."""
    opened = []
    if request.param == "redis":
        url = request.getfixturevalue("redis_server").url
        prefix = f"test{next(_NAMES)}"

    def make(options=None):
        if request.param == "sqlite":
            opened.append(SQLiteStore(tmp_path / "histories.db", options))
        else:
            opened.append(RedisStore(url, options, prefix=prefix))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(make_store):
    return make_store()
