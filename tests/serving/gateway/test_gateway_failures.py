"""The gateway when something fails or ends: ranker, store, deadlines, ports, SIGTERM."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from serving.client import Client, ServingError
from serving.gateway import messages
from serving.gateway.client import GatewayClient
from serving.gateway.events import Event, StoreUnavailable
from serving.gateway.options import GatewayOptions
from serving.gateway.server import Gateway, GatewayError
from tests.serving.gateway.conftest import GATEWAY as OPTIONS
from tests.serving.gateway.stub_ranker import Refusal, by_name, refused

Code = grpc.StatusCode
NOW = 1_700_000_000_000


@pytest.fixture
def broken_store(monkeypatch, shared_store):
    """The gateway's store, which answers nothing for as long as the test runs."""

    def fail(*args):
        raise StoreUnavailable("made up")

    for name in ("history", "append", "delete_user", "check"):
        monkeypatch.setattr(shared_store, name, fail)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (Code.UNAVAILABLE, Code.UNAVAILABLE),
        (Code.RESOURCE_EXHAUSTED, Code.RESOURCE_EXHAUSTED),
        (Code.INVALID_ARGUMENT, Code.INVALID_ARGUMENT),
        (Code.DEADLINE_EXCEEDED, Code.DEADLINE_EXCEEDED),
        (Code.NOT_FOUND, Code.FAILED_PRECONDITION),
        (Code.FAILED_PRECONDITION, Code.FAILED_PRECONDITION),
        (Code.UNIMPLEMENTED, Code.INTERNAL),
        (Code.INTERNAL, Code.INTERNAL),
    ],
)
def test_failures_of_the_ranker(asking, stub, theirs, ours):
    def refuse(inputs):
        raise Refusal(theirs)

    stub.answer = refuse
    error = refused(asking.rank, "u", ["a:1"])
    assert error.code == ours
    assert f"the ranker answers {theirs.name}: made up" in error.message


def test_no_ranker_is_unavailable(shared_store):
    with (
        Client("127.0.0.1:1", backoff_s=0.001) as nobody,
        Gateway(shared_store, nobody, OPTIONS) as running,
        GatewayClient(running.address, 30.0) as asking,
    ):
        assert refused(asking.rank, "u", ["a:1"]).code == Code.UNAVAILABLE
        assert asking.append_events("still", [Event("e", "i", "", NOW)]) == 1


def test_the_callers_deadline_goes_on_to_the_ranker(stub, gateway, shared_store):
    # Seconds, because gRPC rounds timeouts up on the wire.
    options = replace(OPTIONS, margin_s=50.0, timeout_s=300.0)
    with (
        Client(stub.address) as predicting,
        Gateway(shared_store, predicting, options) as running,
        GatewayClient(running.address) as asking,
    ):
        asking.rank("u", ["a:1"], timeout_s=100.0)
        asking.rank("u", ["a:1"], timeout_s=9000.0)
        error = refused(asking.rank, "u", ["a:1"], timeout_s=49.0)
    assert 0 < stub.deadlines[0] < 52
    assert 100 < stub.deadlines[1] < 252
    assert error.code == Code.DEADLINE_EXCEEDED and len(stub.requests) == 2


def test_a_slow_ranker_is_not_waited_for(asking, stub):
    stub.answer = lambda inputs: stub.waiting.wait(30) and by_name(inputs)
    assert refused(asking.rank, "u", ["a:1"], timeout_s=0.2).code == Code.DEADLINE_EXCEEDED
    stub.waiting.set()


def test_a_deadline_that_the_store_used_up(gateway, asking, stub, monkeypatch, shared_store):
    history = shared_store.history

    def slow(user_id, limit):
        monkeypatch.setattr("serving.gateway.service.time.monotonic", lambda: 1e12)
        return history(user_id, limit)

    monkeypatch.setattr(shared_store, "history", slow)
    error = refused(asking.rank, "u", ["a:1"])
    assert error.code == Code.DEADLINE_EXCEEDED and "before the model was asked" in error.message
    assert stub.requests == []


def test_a_failing_store_is_unavailable(asking, stub, broken_store):
    for call in (
        lambda: asking.rank("u", ["a:1"]),
        lambda: asking.append_events("u", [Event("e", "i", "", NOW)]),
        lambda: asking.delete_user("u"),
    ):
        error = refused(call)
        assert error.code == Code.UNAVAILABLE and "the store of histories: made up" in error.message
    assert stub.requests == []


def test_ranking_without_the_store_only_if_told_and_it_says_so(stub, gateway, shared_store, broken_store):
    options = replace(OPTIONS, rank_without_store=True)
    with Client(stub.address) as predicting, Gateway(shared_store, predicting, options) as running:
        with GatewayClient(running.address, 30.0) as asking:
            found = asking.rank("u", ["a:0.1", "b:0.2"])
            assert found.history_unavailable and found.history_pairs == 0 and found.items[0][0] == "b:0.2"
            assert refused(asking.append_events, "u", [Event("e", "i", "", NOW)]).code == Code.UNAVAILABLE
        assert running.metrics.registry.get_sample_value("seminar_gateway_without_history_total") == 1


def test_health_follows_the_store(stub, shared_store, monkeypatch):
    def fail():
        raise StoreUnavailable("made up")

    services = ("", messages.SERVICE, "live")
    options = replace(OPTIONS, health_s=0.01)
    with (
        Client(stub.address) as predicting,
        Gateway(shared_store, predicting, options) as running,
        grpc.insecure_channel(running.address) as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)

        def states():
            asked = [health_pb2.HealthCheckRequest(service=service) for service in services]
            return [health.Check(request, timeout=30).status for request in asked]

        assert states() == [1, 1, 1]
        with monkeypatch.context() as patch:
            patch.setattr(shared_store, "check", fail)
            while states() != [2, 2, 1]:
                threading.Event().wait(0.005)
        while states() != [1, 1, 1]:
            threading.Event().wait(0.005)


def test_metrics(gateway, asking):
    asking.append_events("counted", [Event(f"e{n}", "i", "", NOW + n) for n in range(3)])
    asking.rank("counted", ["a:1", "b:1", "a:1"])
    refused(asking.rank, "", ["a:1"])
    with urllib.request.urlopen(f"http://{gateway.metrics_address}/metrics", timeout=30) as page:
        text = page.read().decode()
    for line in (
        'seminar_gateway_calls_total{code="OK",method="AppendEvents"}',
        'seminar_gateway_calls_total{code="INVALID_ARGUMENT",method="Rank"}',
        'seminar_gateway_call_seconds_bucket{le="+Inf",method="Rank"}',
        'seminar_gateway_store_seconds_count{operation="history"}',
        'seminar_gateway_store_seconds_count{operation="append"}',
        "seminar_gateway_predict_seconds_sum",
        'seminar_gateway_history_pairs_bucket{le="1.0"}',
        'seminar_gateway_candidates_bucket{le="1.0"}',
    ):
        assert float(text.partition(f"\n{line} ")[2].partition("\n")[0]) > 0, line


def test_calls_in_flight_finish_when_the_gateway_stops(stub, gateway, shared_store):
    stub.answer = lambda inputs: stub.waiting.wait(30) and by_name(inputs)
    with Client(stub.address) as predicting, ThreadPoolExecutor(2) as pool:
        running = Gateway(shared_store, predicting, replace(OPTIONS, drain_s=30.0))
        running.start()
        with GatewayClient(running.address, 30.0) as asking:
            call = pool.submit(asking.rank, "u", ["a:1"])
            while not stub.requests:
                threading.Event().wait(0.005)
            stopping = pool.submit(running.stop)
            while refused_or_none(asking) is None:
                continue
            stub.waiting.set()
            assert call.result(30).items == [("a:1", 1.0)]
            stopping.result(30)


def refused_or_none(asking):
    try:
        asking.rank("u", [])
    except ServingError as error:
        return error.code
    return None


def test_taken_ports_are_errors(stub, gateway, shared_store):
    with Client(stub.address) as predicting:
        with pytest.raises(GatewayError, match=r"cannot listen on 127\.0\.0\.1:"):
            Gateway(shared_store, predicting, replace(OPTIONS, port=gateway.port)).start()
        port = int(gateway.metrics_address.rpartition(":")[2])
        with pytest.raises(GatewayError, match="cannot show metrics"):
            Gateway(shared_store, predicting, replace(OPTIONS, metrics_port=port)).start()


@pytest.mark.parametrize(
    "options", [{"threads": 0}, {"timeout_s": 0.0}, {"margin_s": -1.0}, {"margin_s": 3.0}, {"history_length": 0}]
)
def test_options_out_of_range(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} is .*, expected"):
        GatewayOptions(**options)


def test_the_gateway_needs_no_tensorflow():
    code = (
        "import sys, seminar_tf.cli.gateway, serving.gateway.server, serving.gateway.client, serving.gateway.stores, "
        "serving.gateway.sqlite_store, serving.gateway.redis_store\n"
        "assert not {'tensorflow', 'tf_keras', 'redis'} & set(sys.modules), 'imported what it does not need'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_missing_redis_package_is_told(tmp_path):
    code = (
        "import sys; sys.modules['redis'] = None\n"
        "from serving.gateway.stores import open_store\n"
        "try: open_store('redis://127.0.0.1:1/0')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=os.environ)
    assert found.stdout.strip() == "StoreError a Redis store needs the package redis. Install seminar-tf[gateway]."
