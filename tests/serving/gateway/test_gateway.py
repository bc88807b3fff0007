"""The gateway before a ranker that says what a test wants: order, limits, deadlines, failures."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from seminar_tf.export.inputs import RankRequest, raw_inputs
from seminar_tf.features import names
from serving.client import Client, ServingError
from serving.gateway import messages, ranker, validation
from serving.gateway.client import GatewayClient
from serving.gateway.events import Event, History, StoreUnavailable
from serving.gateway.options import GatewayOptions
from serving.gateway.server import Gateway, GatewayError
from serving.gateway.sqlite_store import SQLiteStore
from tests.serving.gateway.stub_ranker import Refusal, StubRanker, by_name

Code = grpc.StatusCode
OPTIONS = GatewayOptions(port=0, metrics_port=0, max_candidates=50, max_attributes=3, max_events=20, timeout_s=30.0)
NOW = 1_700_000_000_000


@pytest.fixture(scope="module")
def stub():
    running = StubRanker()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory):
    with SQLiteStore(tmp_path_factory.mktemp("store") / "histories.db", synchronous="NORMAL") as store:
        yield store


@pytest.fixture(scope="module")
def shared_gateway(stub, shared_store):
    with Client(stub.address, backoff_s=0.001) as client, Gateway(shared_store, client, OPTIONS) as running:
        yield running


@pytest.fixture
def gateway(shared_gateway, stub):
    stub.reset()
    return shared_gateway


@pytest.fixture
def client(gateway):
    with GatewayClient(gateway.address, timeout_s=30.0) as connected:
        yield connected


@pytest.fixture
def broken_store(monkeypatch, shared_store):
    """The gateway's store, which answers nothing for as long as the test runs."""

    def fail(*args):
        raise StoreUnavailable("made up")

    for name in ("history", "append", "delete_user", "check"):
        monkeypatch.setattr(shared_store, name, fail)


def refused(call, *args, **kwargs):
    with pytest.raises(ServingError) as caught:
        call(*args, **kwargs)
    return caught.value


def test_descending_scores_and_ties_by_the_requests_order(client):
    found = client.rank("u", ["a:0.1", "b:0.5", "c:0.5", "d:0.9", "e:0.5", "f:0"])
    assert [name for name, _ in found.items] == ["d:0.9", "b:0.5", "c:0.5", "e:0.5", "a:0.1", "f:0"]
    np.testing.assert_allclose([score for _, score in found.items], [0.9, 0.5, 0.5, 0.5, 0.1, 0.0], rtol=1e-6)
    assert (found.task, found.model_name, found.model_version) == ("click", "ranker", 7)


@pytest.mark.parametrize("seed", range(5))
def test_order_equals_a_stable_sort(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, 200).astype(np.float32) / 5
    expected = sorted(range(200), key=lambda n: (-scores[n], n))
    assert ranker.order(scores, 0).tolist() == expected
    assert ranker.order(scores, 7).tolist() == expected[:7]
    assert ranker.order(scores, 900).tolist() == expected


@pytest.mark.parametrize(("top", "count"), [(0, 3), (1, 1), (2, 2), (3, 3), (99, 3)])
def test_top(client, top, count):
    found = client.rank("u", ["a:0.1", "b:0.5", "c:0.4"], top=top)
    assert [name for name, _ in found.items] == ["b:0.5", "c:0.4", "a:0.1"][:count]


def test_ranks_count_from_one(gateway):
    request = messages.RankRequest(user_id="u", candidate_item_id=["a:0.1", "b:0.5"])
    with grpc.insecure_channel(gateway.address) as channel:
        raw = channel.unary_unary(messages.path("Rank"))(request.SerializeToString(), timeout=30)
    assert [(i.item_id, i.rank) for i in messages.RankResponse.FromString(raw).items] == [("b:0.5", 1), ("a:0.1", 2)]


def test_duplicates_are_ranked_once(client, stub):
    found = client.rank("u", ["a:0.5", "b:0.9", "a:0.5", "b:0.9", "c:0.5"])
    assert [name for name, _ in found.items] == ["b:0.9", "a:0.5", "c:0.5"]
    assert stub.requests[0][names.CANDIDATE_ITEM_ID].tolist() == [[b"a:0.5", b"b:0.9", b"c:0.5"]]


def test_no_candidates_ask_nobody(client, stub):
    assert client.rank("u", []).items == []
    assert stub.requests == []


def test_unknown_users_have_an_empty_history(client, stub):
    found = client.rank("nobody knows", ["a:1"])
    assert (found.history_pairs, found.history_unavailable) == (0, False)
    assert stub.requests[0][names.HISTORY_ITEM_ID].shape == (1, 0)


def test_the_model_gets_what_raw_inputs_gives(client, stub):
    events = [Event(f"e{n}", f"i{n}", "" if n % 2 else f"Frage é {n}", NOW + n) for n in range(5)]
    assert client.append_events("reader", events[::-1]) == 5
    client.rank("reader", ["a", "b"], query="zelt", user_attributes=["age=old", "x=é"], timestamp=NOW + 9)
    expected = raw_inputs(
        [
            RankRequest(
                [(e.item_id, e.query, e.timestamp) for e in events],
                ["a", "b"],
                NOW + 9,
                "zelt",
                "reader",
                ["age=old", "x=é"],
            )
        ]
    )
    assert set(stub.requests[0]) == set(expected)
    for name, array in expected.items():
        assert stub.requests[0][name].dtype == array.dtype
        np.testing.assert_array_equal(stub.requests[0][name], array, err_msg=name)


def test_the_clock_is_the_moment_of_requests_without_one(client, stub):
    before = validation.now_ms()
    client.rank("u", ["a:1"])
    assert before <= stub.requests[0][names.REQUEST_TIMESTAMP][0] <= validation.now_ms()


def test_only_the_newest_pairs_are_sent(stub, shared_store, client):
    client.append_events("long", [Event(f"e{n}", f"i{n}", "", NOW + n) for n in range(20)])
    with Client(stub.address) as ranker_client:
        options = replace(OPTIONS, history_length=3)
        with Gateway(shared_store, ranker_client, options) as short, GatewayClient(short.address, 30.0) as asking:
            assert asking.rank("long", ["a:1"]).history_pairs == 3
    assert stub.requests[-1][names.HISTORY_ITEM_ID].tolist() == [[b"i17", b"i18", b"i19"]]


def test_fixed_shapes_pad_on_the_right(stub):
    options = replace(OPTIONS, fixed_shapes=True, history_length=4)
    request = validation.Ranking("u", b"u", b"", [b"a:0.3", b"b:0.6"], [b"x=y"], NOW, 0, "")
    history = History([b"i", b"j"], [b"", b"q"], np.array([5, 6]))
    padded = ranker.inputs(request, history, options)
    shapes = {name: array.shape for name, array in padded.items()}
    assert shapes[names.HISTORY_ITEM_ID] == shapes[names.HISTORY_TIMESTAMP] == (1, 4)
    assert (shapes[names.CANDIDATE_ITEM_ID], shapes[names.USER_ATTRIBUTES]) == ((1, 50), (1, 3))
    assert padded[names.HISTORY_ITEM_ID].tolist() == [[b"i", b"j", b"", b""]]
    with Client(stub.address) as asking:
        found = ranker.rank(asking, None, request, history, options, 30.0)
    assert (found.items, found.scores.tolist()) == ([b"b:0.6", b"a:0.3"], [np.float32(0.6), np.float32(0.3)])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"user_id": ""}, "user_id is empty"),
        ({"user_id": "u" * 257}, "user_id has 257 bytes"),
        ({"query": "q" * 2049}, "query has 2049 bytes"),
        ({"candidate_item_id": ["a", ""]}, r"candidate_item_id\[1\] is empty"),
        ({"candidate_item_id": ["a", "é" * 300]}, r"candidate_item_id\[1\] has 600 bytes"),
        ({"candidate_item_id": [str(n) for n in range(51)]}, "candidate_item_id has 51 values; .* at most 50"),
        ({"user_attributes": ["x=y", ""]}, r"user_attributes\[1\] is empty"),
        ({"user_attributes": ["x=y"] * 4}, "user_attributes has 4 values; .* at most 3"),
        ({"request_timestamp_ms": -1}, "request_timestamp_ms is -1"),
        ({"request_timestamp_ms": NOW * 1000}, "request_timestamp_ms .* another unit"),
        ({"task": "buy"}, "task is 'buy'; the model scores click"),
    ],
)
def test_bad_rankings_are_invalid_arguments(gateway, fields, message):
    request = messages.RankRequest(**{"user_id": "u", "candidate_item_id": ["a:1"], **fields})
    check_refused(gateway, "Rank", request.SerializeToString(), message)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([{"event_id": ""}], r"events\[0\].event_id is empty"),
        ([{}, {"event_id": "f", "item_id": ""}], r"events\[1\].item_id is empty"),
        ([{"query": "q" * 3000}], r"events\[0\].query has 3000 bytes"),
        ([{"timestamp_ms": 0}], r"events\[0\].timestamp_ms is 0, expected ms"),
        ([{"timestamp_ms": NOW * 1000}], r"events\[0\].timestamp_ms .* another unit"),
        ([{}] * 21, "events has 21 values; .* at most 20"),
    ],
)
def test_bad_events_are_invalid_arguments(gateway, events, message):
    good = {"event_id": "e", "item_id": "i", "timestamp_ms": NOW}
    request = messages.AppendEventsRequest(user_id="bad", events=[messages.Event(**{**good, **e}) for e in events])
    check_refused(gateway, "AppendEvents", request.SerializeToString(), message)
    with GatewayClient(gateway.address, 30.0) as client:
        assert not client.delete_user("bad"), "nothing was stored"


@pytest.mark.parametrize("method", list(messages.METHODS))
@pytest.mark.parametrize("raw", [b"\xff\xff\xff", b"\n\x02\xff\xfe"])
def test_bytes_that_are_no_request(gateway, method, raw):
    check_refused(gateway, method, raw, "bytes are no .*Request")


def check_refused(gateway, method, raw, message):
    with grpc.insecure_channel(gateway.address) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(messages.path(method))(raw, timeout=30)
        assert caught.value.code() == Code.INVALID_ARGUMENT
        with pytest.raises(AssertionError, match=message):
            raise AssertionError(caught.value.details())


def test_a_known_event_with_another_content_exists_already(client):
    assert client.append_events("twice", [Event("e", "i", "", NOW)]) == 1
    assert client.append_events("twice", [Event("e", "i", "", NOW)]) == 0
    error = refused(client.append_events, "twice", [Event("e", "other", "", NOW)])
    assert error.code == Code.ALREADY_EXISTS and "event_id 'e'" in error.message


def test_delete_user(client):
    client.append_events("goer", [Event("e", "i", "", NOW)])
    assert client.rank("goer", ["a:1"]).history_pairs == 1
    assert client.delete_user("goer") and not client.delete_user("goer")
    assert client.rank("goer", ["a:1"]).history_pairs == 0


@pytest.mark.parametrize(
    ("outputs", "task", "code", "message"),
    [
        ({"score_click": [[0.5]], "score_like": [[0.1]]}, "", Code.INVALID_ARGUMENT, "scores click, like: name one"),
        ({"score_click": [[0.5]], "score_like": [[0.1]]}, "like", None, "like"),
        ({"score_click": [[np.nan]]}, "", Code.INTERNAL, "no number"),
        ({"score_click": [[np.inf]]}, "", Code.INTERNAL, "no number"),
        ({"score_click": [0.5]}, "", Code.INTERNAL, r"shape \[1\] for 1 candidates"),
        ({"score_click": np.zeros((1, 0))}, "", Code.INTERNAL, r"shape \[1, 0\]"),
        ({"loss": [[0.5]]}, "", Code.INTERNAL, "no output that begins with score_"),
    ],
)
def test_answers_of_the_model(client, stub, outputs, task, code, message):
    stub.answer = lambda inputs: {name: np.asarray(array, np.float32) for name, array in outputs.items()}
    if code is None:
        assert client.rank("u", ["a"], task=task).task == message
        return
    error = refused(client.rank, "u", ["a"], task=task)
    assert error.code == code
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(error.message)


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
def test_failures_of_the_ranker(client, stub, theirs, ours):
    def refuse(inputs):
        raise Refusal(theirs)

    stub.answer = refuse
    error = refused(client.rank, "u", ["a:1"])
    assert error.code == ours
    assert f"the ranker answers {theirs.name}: made up" in error.message


def test_no_ranker_is_unavailable(shared_store):
    with (
        Client("127.0.0.1:1", backoff_s=0.001) as nobody,
        Gateway(shared_store, nobody, OPTIONS) as running,
        GatewayClient(running.address, 30.0) as client,
    ):
        assert refused(client.rank, "u", ["a:1"]).code == Code.UNAVAILABLE
        assert client.append_events("still", [Event("e", "i", "", NOW)]) == 1


def test_the_callers_deadline_goes_on_to_the_ranker(stub, gateway, shared_store):
    # Seconds, because gRPC rounds timeouts up on the wire.
    options = replace(OPTIONS, margin_s=50.0, timeout_s=300.0)
    with (
        Client(stub.address) as asking,
        Gateway(shared_store, asking, options) as running,
        GatewayClient(running.address) as client,
    ):
        client.rank("u", ["a:1"], timeout_s=100.0)
        client.rank("u", ["a:1"], timeout_s=9000.0)
        error = refused(client.rank, "u", ["a:1"], timeout_s=49.0)
    assert 0 < stub.deadlines[0] < 52
    assert 100 < stub.deadlines[1] < 252
    assert error.code == Code.DEADLINE_EXCEEDED and len(stub.requests) == 2


def test_a_slow_ranker_is_not_waited_for(client, stub):
    stub.answer = lambda inputs: stub.waiting.wait(30) and by_name(inputs)
    assert refused(client.rank, "u", ["a:1"], timeout_s=0.2).code == Code.DEADLINE_EXCEEDED
    stub.waiting.set()


def test_a_deadline_that_the_store_used_up(gateway, client, stub, monkeypatch, shared_store):
    history = shared_store.history

    def slow(user_id, limit):
        monkeypatch.setattr("serving.gateway.service.time.monotonic", lambda: 1e12)
        return history(user_id, limit)

    monkeypatch.setattr(shared_store, "history", slow)
    error = refused(client.rank, "u", ["a:1"])
    assert error.code == Code.DEADLINE_EXCEEDED and "before the model was asked" in error.message
    assert stub.requests == []


def test_a_failing_store_is_unavailable(client, stub, broken_store):
    for call in (
        lambda: client.rank("u", ["a:1"]),
        lambda: client.append_events("u", [Event("e", "i", "", NOW)]),
        lambda: client.delete_user("u"),
    ):
        error = refused(call)
        assert error.code == Code.UNAVAILABLE and "the store of histories: made up" in error.message
    assert stub.requests == []


def test_ranking_without_the_store_only_if_told_and_it_says_so(stub, gateway, shared_store, broken_store):
    options = replace(OPTIONS, rank_without_store=True)
    with Client(stub.address) as asking, Gateway(shared_store, asking, options) as running:
        with GatewayClient(running.address, 30.0) as client:
            found = client.rank("u", ["a:0.1", "b:0.2"])
            assert found.history_unavailable and found.history_pairs == 0 and found.items[0][0] == "b:0.2"
            assert refused(client.append_events, "u", [Event("e", "i", "", NOW)]).code == Code.UNAVAILABLE
        assert running.metrics.registry.get_sample_value("seminar_gateway_without_history_total") == 1


def test_health_follows_the_store(stub, shared_store, monkeypatch):
    def fail():
        raise StoreUnavailable("made up")

    services = ("", messages.SERVICE, "live")
    options = replace(OPTIONS, health_s=0.01)
    with (
        Client(stub.address) as asking,
        Gateway(shared_store, asking, options) as running,
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


def test_metrics(gateway, client):
    client.append_events("counted", [Event(f"e{n}", "i", "", NOW + n) for n in range(3)])
    client.rank("counted", ["a:1", "b:1", "a:1"])
    refused(client.rank, "", ["a:1"])
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
    with Client(stub.address) as asking, ThreadPoolExecutor(2) as pool:
        running = Gateway(shared_store, asking, replace(OPTIONS, drain_s=30.0))
        running.start()
        with GatewayClient(running.address, 30.0) as client:
            call = pool.submit(client.rank, "u", ["a:1"])
            while not stub.requests:
                threading.Event().wait(0.005)
            stopping = pool.submit(running.stop)
            while refused_or_none(client) is None:
                continue
            stub.waiting.set()
            assert call.result(30).items == [("a:1", 1.0)]
            stopping.result(30)


def refused_or_none(client):
    try:
        client.rank("u", [])
    except ServingError as error:
        return error.code
    return None


def test_taken_ports_are_errors(stub, gateway, shared_store):
    with Client(stub.address) as asking:
        with pytest.raises(GatewayError, match=r"cannot listen on 127\.0\.0\.1:"):
            Gateway(shared_store, asking, replace(OPTIONS, port=gateway.port)).start()
        port = int(gateway.metrics_address.rpartition(":")[2])
        with pytest.raises(GatewayError, match="cannot show metrics"):
            Gateway(shared_store, asking, replace(OPTIONS, metrics_port=port)).start()


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
