"""Too many calls, calls nobody waits for any more, and the end of a server: all of it without a clock."""

from __future__ import annotations

import threading

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from serving import protos
from serving.call import Call
from serving.errors import CallError
from serving.options import ModelSource, ServerOptions
from serving.server import Server
from tests.serving import blocking_model
from tests.serving.request_bytes import call

Code = grpc.StatusCode
_HEALTH = health_pb2.HealthCheckResponse


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    root = tmp_path_factory.mktemp("blocking")
    blocking_model.export(root / "1")
    return root


@pytest.fixture
def pipe(tmp_path):
    return blocking_model.make_pipe(tmp_path)


def serve(base, **options):
    return Server((ModelSource("blocking", str(base)),), ServerOptions(port=0, poll_s=3600.0, **options))


def until(condition) -> None:
    """Waits for what another thread is about to do; the test's own time limit ends it."""
    while not condition():
        threading.Event().wait(0.005)


def in_flight(server) -> float:
    return server.metrics.registry.get_sample_value("seminar_serving_calls_in_flight")


def counted(server, name, **labels) -> float:
    return server.metrics.registry.get_sample_value(name, labels) or 0.0


def runs(server) -> float:
    return counted(
        server, ":tensorflow:serving:runtime_latency_count", model_name="blocking", API="Predict", runtime="TF1"
    )


def test_a_full_queue_refuses_at_once(base, pipe):
    with serve(base, threads=1, max_queued=2) as server, grpc.insecure_channel(server.address) as channel:
        request = blocking_model.request(pipe)
        waiting = []
        for count in range(1, 4):
            waiting.append(call(channel, protos.PREDICT, request, 300))
            until(lambda count=count: in_flight(server) == count)
        error = call(channel, protos.PREDICT, request, 300).exception()
        assert error.code() == Code.UNAVAILABLE
        assert "the queue is full: 1 calls run and 2 wait" in error.details()
        assert not any(future.done() for future in waiting)
        # Whatever the queue holds, a probe and a question about the model are answered.
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=300).status == _HEALTH.SERVING
        with blocking_model.let_go(pipe):
            for future in waiting:
                assert future.result()
        assert counted(server, "seminar_serving_queue_refusals_total") == 1
        until(lambda: in_flight(server) == 0)


def test_a_call_whose_deadline_passed_in_the_queue_is_not_run(base, pipe):
    with serve(base, threads=1) as server, grpc.insecure_channel(server.address) as channel:
        first = call(channel, protos.PREDICT, blocking_model.request(pipe), 300)
        until(lambda: in_flight(server) == 1)
        late = call(channel, protos.PREDICT, blocking_model.request(pipe), 3)
        until(lambda: in_flight(server) == 2 or late.done())
        assert late.exception().code() == Code.DEADLINE_EXCEEDED
        with blocking_model.let_go(pipe):
            assert first.result()
        until(lambda: in_flight(server) == 0)
        assert runs(server) == 1


def test_a_call_that_was_cancelled_in_the_queue_is_not_run(base, pipe):
    with serve(base, threads=1) as server, grpc.insecure_channel(server.address) as channel:
        first = call(channel, protos.PREDICT, blocking_model.request(pipe), 300)
        until(lambda: in_flight(server) == 1)
        dropped = call(channel, protos.PREDICT, blocking_model.request(pipe), 300)
        until(lambda: in_flight(server) == 2)
        dropped.cancel()
        with blocking_model.let_go(pipe):
            assert first.result()
        until(lambda: in_flight(server) == 0)
        assert runs(server) == 1


def test_stop_lets_calls_finish_and_says_not_serving(base, pipe):
    server = serve(base, drain_s=300.0)
    server.start()
    with grpc.insecure_channel(server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(health).status == _HEALTH.SERVING
        waiting = [call(channel, protos.PREDICT, blocking_model.request(pipe), 300) for _ in range(2)]
        until(lambda: in_flight(server) == 2)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert next(health).status == _HEALTH.NOT_SERVING
        assert not any(future.done() for future in waiting)
        with blocking_model.let_go(pipe):
            for future in waiting:
                assert future.result()
        # The watch is still open: it must not hold the server for the whole of `drain_s`.
        stopping.join(60)
        assert not stopping.is_alive()


def test_lame_duck_takes_calls_while_it_says_not_serving(base, pipe):
    server = serve(base, lame_duck_s=3600.0)
    server.start()
    with grpc.insecure_channel(server.address) as channel, blocking_model.let_go(pipe):
        health = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(health).status == _HEALTH.SERVING
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert next(health).status == _HEALTH.NOT_SERVING
        assert call(channel, protos.PREDICT, blocking_model.request(pipe), 300).result()
        server._hurry.set()
        stopping.join()


@pytest.mark.parametrize(
    ("remaining", "active", "code"),
    [(0.0, False, Code.DEADLINE_EXCEEDED), (5.0, False, Code.CANCELLED), (None, True, None), (5.0, True, None)],
)
def test_work_that_nobody_waits_for_is_stopped(remaining, active, code):
    class Context:
        def time_remaining(self):
            return remaining

        def is_active(self):
            return active

    checked = Call("Predict", Context(), arrived=0.0, request_bytes=0)
    if code is None:
        checked.check_wanted()
    else:
        with pytest.raises(CallError) as caught:
            checked.check_wanted()
        assert caught.value.code == code


def test_calls_that_take_too_long_are_cut_off(base, pipe, caplog):
    server = serve(base, drain_s=0.2)
    server.start()
    with grpc.insecure_channel(server.address) as channel:
        waiting = call(channel, protos.PREDICT, blocking_model.request(pipe), 300)
        until(lambda: in_flight(server) == 1)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert waiting.exception().code() in (Code.CANCELLED, Code.UNAVAILABLE)
        stopping.join()
        assert "calls were cut off" in caplog.text
        with blocking_model.let_go(pipe):
            until(lambda: in_flight(server) == 0)
