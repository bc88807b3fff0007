"""Both clients against a server of bytes: what they send, how often, how long, and what they say when it fails."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import pickle
import threading

import grpc
import numpy as np
import pytest

from serving import codec, protos
from serving.aio_client import AsyncClient
from serving.client import Client, ServingError
from tests.serving.raw_server import KINDS, RawServer, echo

Code = grpc.StatusCode
INPUTS = {
    "id": np.arange(-3, 9, dtype=np.int32).reshape(3, 4),
    "time": np.array([[1_700_000_000_000, -1, 2**62]], np.int64),
    "name": [["tent", "zelt é"], ["", "x"]],
    "weight": np.array([0.1, -0.0, np.inf], np.float32),
    "empty": np.zeros((2, 0), np.int64),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def failing(times, code=Code.UNAVAILABLE):
    """A Predict that fails `times` times, then answers."""
    left = [times]

    def predict(raw, context):
        if left[0] > 0:
            left[0] -= 1
            context.abort(code, "made up")
        return echo(raw, context)

    return predict


def failed_call(kind, predict, **settings):
    """A call that `predict` lets fail: the server, and the error."""
    with RawServer(predict) as server, kind(server.address, **settings) as client:
        with pytest.raises(ServingError) as caught:
            client.predict(INPUTS)
        return server, caught.value


class Hanging:
    """A Predict that answers when `release` is set; `begun` and `ended` tell when the server has it and loses it."""

    def __init__(self):
        self.begun, self.ended, self.release = threading.Event(), threading.Event(), threading.Event()

    def __call__(self, raw, context):
        context.add_callback(self.ended.set)
        self.begun.set()
        self.release.wait(60)
        return echo(raw, context)


@kinds
@pytest.mark.parametrize("packed", [True, False])
def test_both_encodings_arrive(kind, packed):
    with RawServer() as server, kind(server.address, "m") as client:
        answer = client.predict(INPUTS, "sig", version=3, output_filter=["a"], packed=packed)
    for name, values in INPUTS.items():
        found = answer.outputs[name]
        expected = np.char.encode(values, "utf-8").astype(object) if name == "name" else values
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
    assert (answer.model_name, answer.version, answer.signature, answer.attempts) == ("m", 7, "sig", 1)
    sent = protos.PredictRequest.FromString(server.requests[0])
    assert (sent.model_spec.version.value, list(sent.output_filter)) == (3, ["a"])
    assert bool(sent.inputs["id"].tensor_content) is packed
    assert answer.request_bytes == len(server.requests[0])


@kinds
@pytest.mark.parametrize("failures", [0, 1, 3])
def test_unavailable_is_tried_again(kind, failures):
    with RawServer(failing(failures)) as server, kind(server.address, max_attempts=4, backoff_s=0.001) as client:
        answer = client.predict(INPUTS)
    assert answer.attempts == failures + 1
    assert len(set(server.requests)) == 1, "every attempt sends the same bytes"
    assert len(server.requests) == failures + 1


@kinds
def test_attempts_run_out(kind):
    with RawServer(failing(9)) as server, kind(server.address, max_attempts=3, backoff_s=0.001) as client:
        expected = rf"UNAVAILABLE: made up \[{server.address}, 3 attempts\] Is the server"
        with pytest.raises(ServingError, match=expected):
            client.predict(INPUTS)
    assert len(server.requests) == 3


@kinds
@pytest.mark.parametrize("code", [code for code in Code if code not in (Code.OK, Code.UNAVAILABLE)])
def test_nothing_else_is_tried_again(kind, code):
    server, error = failed_call(kind, failing(1, code), max_attempts=5, backoff_s=0.001)
    assert (error.code, error.message) == (code, f"made up [{server.address}]")
    assert len(server.requests) == 1


@kinds
def test_one_deadline_for_all_attempts(kind):
    server, error = failed_call(kind, failing(1000), max_attempts=1000, backoff_s=0.01, timeout_s=0.5)
    # The last attempt may meet the deadline itself.
    assert error.code in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED)
    assert 1 <= len(server.requests) < 1000
    # gRPC rounds the timeouts that it sends, so two close ones may look the same or swapped.
    assert all(later < earlier + 0.05 for earlier, later in itertools.pairwise(server.remaining_s))
    assert max(server.remaining_s) < 0.55


@kinds
def test_a_deadline_ends_the_call_on_the_server_too(kind):
    hanging = Hanging()
    with RawServer(hanging) as server, kind(server.address) as client:
        with pytest.raises(ServingError, match=r"DEADLINE_EXCEEDED: .*Give a longer timeout_s"):
            client.predict(INPUTS, timeout_s=0.3)
        assert hanging.ended.wait(30)
        hanging.release.set()


@kinds
@pytest.mark.parametrize("timeout_s", [0.0, -1.0])
def test_a_deadline_that_has_passed(kind, timeout_s):
    with RawServer() as server, kind(server.address) as client, pytest.raises(ServingError) as caught:
        client.predict(INPUTS, timeout_s=timeout_s)
    assert caught.value.code == Code.DEADLINE_EXCEEDED
    assert not server.requests


@kinds
def test_all_calls_share_one_connection(kind):
    with RawServer() as server, kind(server.address) as client:
        for _ in range(5):
            client.predict(INPUTS)
    assert len(server.peers) == 5
    assert len(set(server.peers)) == 1


def test_threads_share_a_client():
    with RawServer() as server, Client(server.address) as client:
        found = {}

        def ask(n):
            found[n] = client.predict({"id": np.array([n], np.int64)}).outputs["id"][0]

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {n: n for n in range(20)}
    assert len(set(server.peers)) == 1


def test_many_calls_at_once_get_their_own_answers():
    async def ask(address):
        async with AsyncClient(address) as client:
            answers = await asyncio.gather(*(client.predict({"id": np.array([n], np.int64)}) for n in range(50)))
        return [answer.outputs["id"][0] for answer in answers]

    with RawServer() as server:
        assert asyncio.run(ask(server.address)) == list(range(50))
    assert len(set(server.peers)) == 1


def test_cancelling_a_task_cancels_the_call():
    hanging = Hanging()

    async def cancel(address):
        async with AsyncClient(address) as client:
            task = asyncio.create_task(client.predict(INPUTS, timeout_s=60.0))
            await asyncio.to_thread(hanging.begun.wait, 30)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(hanging.ended.wait, 30), "the server still works on the call"
            hanging.release.set()
            # The channel is none the worse for it.
            return await client.predict(INPUTS)

    with RawServer(hanging) as server:
        assert asyncio.run(cancel(server.address)).version == 7


def test_cancelling_between_two_attempts():
    async def cancel(server):
        async with AsyncClient(server.address, backoff_s=1.9, max_attempts=9, timeout_s=600.0) as client:
            task = asyncio.create_task(client.predict(INPUTS))
            while not server.requests:
                await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with RawServer(failing(1000)) as server:
        asyncio.run(cancel(server))
    assert len(server.requests) <= 2


def test_closing_ends_calls_in_flight_blocking():
    hanging = Hanging()
    with RawServer(hanging) as server:
        client = Client(server.address)
        closer = threading.Thread(target=lambda: (hanging.begun.wait(30), client.close()))
        closer.start()
        with pytest.raises(ServingError) as caught:
            client.predict(INPUTS, timeout_s=60.0)
        closer.join()
        hanging.release.set()
    assert caught.value.code == Code.CANCELLED


def test_closing_ends_calls_in_flight_asyncio():
    hanging = Hanging()

    async def close(address):
        client = AsyncClient(address)
        task = asyncio.create_task(client.predict(INPUTS, timeout_s=60.0))
        await asyncio.to_thread(hanging.begun.wait, 30)
        await client.close()
        with pytest.raises(ServingError, match="CANCELLED: the client was closed"):
            await task
        hanging.release.set()

    with RawServer(hanging) as server:
        asyncio.run(close(server.address))


@kinds
def test_a_closed_client_says_so(kind):
    with RawServer() as server, kind(server.address) as client:
        client.close()
        client.close()
        for call in (lambda: client.predict(INPUTS), client.model_states, lambda: client.wait_until_ready(1.0)):
            with pytest.raises(ValueError, match=r"is closed; make a new one"):
                call()


@kinds
def test_nobody_listens(kind):
    with kind("127.0.0.1:1", backoff_s=0.001) as client:
        with pytest.raises(ServingError, match=r"127\.0\.0\.1:1, 3 attempts") as caught:
            client.predict(INPUTS)
        assert caught.value.code == Code.UNAVAILABLE
        with pytest.raises(ServingError, match=r"no server answers at 127\.0\.0\.1:1 \(waited 0\.1 s\)") as caught:
            client.wait_until_ready(0.1)
        assert caught.value.code == Code.UNAVAILABLE


@kinds
def test_a_server_that_comes_back_is_found_again(kind):
    with RawServer() as first:
        client = kind(first.address, max_attempts=2, backoff_s=0.001)
        client.wait_until_ready(30.0)
        client.predict(INPUTS)
    with client:
        with pytest.raises(ServingError) as caught:
            client.predict(INPUTS)
        assert caught.value.code == Code.UNAVAILABLE
        with RawServer(port=first.port):
            client.wait_until_ready(30.0)
            assert client.predict(INPUTS).version == 7


@kinds
@pytest.mark.parametrize("raw", [b"\xff\xff", b"\x0a\x04abc"])
def test_an_answer_that_is_none(kind, raw):
    _, error = failed_call(kind, lambda request, context: raw)
    assert error.code == Code.INTERNAL
    assert "the answer is no PredictResponse" in error.message


@kinds
def test_an_answer_with_a_damaged_tensor(kind):
    response = protos.PredictResponse()
    response.outputs["score"].dtype = 1
    response.outputs["score"].tensor_content = b"123"
    answer = response.SerializeToString()
    _, error = failed_call(kind, lambda request, context: answer)
    assert "damaged tensor: tensor_content has 3 bytes" in error.message


@kinds
def test_a_server_without_the_call(kind):
    with RawServer() as server, kind(server.address) as client, pytest.raises(ServingError) as caught:
        client.model_states()
    assert "is it a TensorFlow Serving" in str(caught.value)
    assert caught.value.code == Code.UNIMPLEMENTED


@kinds
def test_what_cannot_be_sent_is_not_sent(kind):
    with RawServer() as server, kind(server.address) as client:
        with pytest.raises(codec.CodecError, match=r"input 'bad': no tensor encoding for dtype complex128"):
            client.predict({"bad": np.array([1j])})
        with pytest.raises(ValueError, match="a version or a label"):
            client.predict(INPUTS, version=1, label="stable")
        for timeout_s in (float("nan"), float("inf")):
            with pytest.raises(ValueError, match="expected a number of seconds"):
                client.predict(INPUTS, timeout_s=timeout_s)
    assert not server.requests


@kinds
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"address": ""}, "expected host:port"),
        ({"address": "http://127.0.0.1:8501"}, "expected host:port"),
        ({"address": "127.0.0.1"}, "expected host:port"),
        ({"address": "127.0.0.1:99999"}, "expected host:port"),
        ({"address": "::1:8500"}, "expected host:port"),
        ({"max_attempts": 0}, "max_attempts is 0"),
        ({"backoff_s": -1.0}, "must be 0 or more"),
    ],
)
def test_settings_that_make_no_sense(kind, changes, message):
    with pytest.raises(ValueError, match=message):
        kind(**{"address": "127.0.0.1:1", **changes})


def test_an_asyncio_client_needs_a_running_loop():
    with pytest.raises(RuntimeError, match="make it inside a coroutine"):
        AsyncClient("127.0.0.1:1")


@pytest.mark.parametrize(
    "name", ["__init__", "predict", "model_states", "signature_inputs", "wait_until_ready", "close"]
)
def test_both_have_the_same_calls(name):
    assert inspect.signature(getattr(Client, name)) == inspect.signature(getattr(AsyncClient, name))
    public = {name for name in dir(Client) if not name.startswith("_")}
    assert public == {name for name in dir(AsyncClient) if not name.startswith("_")}


def test_an_error_survives_pickling():
    error = ServingError(Code.NOT_FOUND, "gone")
    again = pickle.loads(pickle.dumps(error))
    assert (again.code, again.message, str(again)) == (error.code, error.message, str(error))
    assert str(error).startswith("NOT_FOUND: gone Check model_name")
