"""Stores of both kinds, empty for each test; and one gateway before a ranker that says what a test wants."""

from __future__ import annotations

import itertools

import pytest

from serving.client import Client
from serving.gateway.client import GatewayClient
from serving.gateway.options import GatewayOptions
from serving.gateway.redis_store import RedisStore
from serving.gateway.server import Gateway
from serving.gateway.sqlite_store import SQLiteStore
from tests.serving.gateway.redis_server import RedisServer
from tests.serving.gateway.stub_ranker import StubRanker

_NAMES = itertools.count()
GATEWAY = GatewayOptions(port=0, metrics_port=0, max_candidates=50, max_attributes=3, max_events=20, timeout_s=30.0)


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


@pytest.fixture(scope="package")
def stub():
    running = StubRanker()
    yield running
    running.stop()


@pytest.fixture(scope="package")
def shared_store(tmp_path_factory):
    with SQLiteStore(tmp_path_factory.mktemp("store") / "histories.db", synchronous="NORMAL") as store:
        yield store


@pytest.fixture(scope="package")
def shared_gateway(stub, shared_store):
    with Client(stub.address, backoff_s=0.001) as client, Gateway(shared_store, client, GATEWAY) as running:
        yield running


@pytest.fixture
def gateway(shared_gateway, stub):
    stub.reset()
    return shared_gateway


@pytest.fixture
def asking(gateway):
    with GatewayClient(gateway.address, timeout_s=30.0) as connected:
        yield connected
