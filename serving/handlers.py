"""gRPC handlers of a service's methods: bytes to bytes, one status for each failure, every call counted and timed.

Requests are parsed here rather than by gRPC, whose Python server does so in its one polling thread: a large request
would hold up every other call's arrival.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from serving.admission import CountingPool, OpenCalls
from serving.call import Call
from serving.errors import CallError
from serving.metrics import Metrics

_LOG = logging.getLogger(__name__)
_LONGEST = 1500  # bytes of a status message, which may triple when they are escaped
ACCESS_LOG = logging.getLogger("serving.access")


@dataclass(frozen=True)
class Method:
    """A method of a service.

    Attributes:
      request: class of its request message.
      answer: (request, call) -> response message; raises CallError.
      queued: it runs a model, so it waits for one of the threads for that, or is refused when too many wait.
    """

    request: Any
    answer: Callable[[Any, Call], Any]
    queued: bool = False


class Service(grpc.GenericRpcHandler):
    """A gRPC service over some methods."""

    def __init__(
        self,
        name: str,
        methods: Mapping[str, Method],
        queue: CountingPool,
        control: CountingPool,
        open_calls: OpenCalls,
        metrics: Metrics,
        access_log: bool,
    ) -> None:
        """Makes handlers.

        Args:
          name: full name of the service, such as `tensorflow.serving.PredictionService`.
          methods: its methods by name; gRPC answers UNIMPLEMENTED for others.
          queue: where queued methods run.
          control: where the others run, and refusals: a full queue must not delay them.
          open_calls: told of each call, for the end of the server.
          metrics: where calls are counted.
          access_log: write a line for each call.
        """
        self._queue = queue
        self._open = open_calls
        self._metrics = metrics
        self._access_log = access_log
        self._handlers = {}
        self._queued = set()
        for method_name, method in methods.items():
            path = f"/{name}/{method_name}"
            pool = queue if method.queued else control
            self._handlers[path] = _handler(functools.partial(self._answer, method_name, method, pool), pool)
            if method.queued:
                self._queued.add(path)
        self._refusal = _handler(self._refuse, control)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """The handler of a call, asked for by gRPC when the call arrives, before it is queued."""
        path = handler_call_details.method
        if path in self._queued and self._queue.full():
            return self._refusal
        return self._handlers.get(path)

    def _refuse(self, raw: bytes, context: grpc.ServicerContext) -> bytes:
        self._open.enter(context)
        self._metrics.refuse()
        context.abort(
            grpc.StatusCode.UNAVAILABLE,
            f"the queue is full: {self._queue.threads} calls run and {self._queue.most_waiting} wait. Try again later.",
        )
        raise AssertionError("abort() raises")

    def _answer(
        self, name: str, method: Method, pool: CountingPool, raw: bytes, context: grpc.ServicerContext
    ) -> bytes:
        self._open.enter(context)
        call = Call(name, context, pool.arrived(), len(raw))
        try:
            # A call whose deadline passed in the queue is not even parsed.
            call.check_wanted()
            response = method.answer(_parse(method.request, raw), call)
            encoded: bytes = response.SerializeToString()
            call.mark("encode")
            call.response_bytes = len(encoded)
        except CallError as error:
            failure = error
        except UnicodeDecodeError:
            # protobuf 3.20 notices text that is not UTF-8 only when it is read.
            failure = _no_message(method.request, raw, "text that is not UTF-8")
        except Exception:
            # Its text may hold parts of the request or paths of this machine: it goes to the log, not to the client.
            _LOG.exception("%s failed", name, extra={"event": "call_failed", "method": name, "model": call.model})
            failure = CallError(grpc.StatusCode.INTERNAL, "the server failed on this call; its log says why.")
        else:
            self._finish(call, grpc.StatusCode.OK)
            return encoded
        self._finish(call, failure.code)
        context.abort(failure.code, _short(failure.message))
        raise AssertionError("abort() raises")

    def _finish(self, call: Call, code: grpc.StatusCode) -> None:
        self._metrics.finished(call, code.name)
        if self._access_log:
            ACCESS_LOG.info(
                "%s %s", call.method, code.name,
                extra={
                    "event": "call",
                    "method": call.method,
                    "model": call.model,
                    "version": call.version,
                    "signature": call.signature,
                    "status": code.name,
                    "latency_ms": round(call.total() * 1e3, 3),
                    "request_bytes": call.request_bytes,
                    "response_bytes": call.response_bytes,
                },
            )  # fmt: skip


def on_pool(behavior: Callable[..., Any], pool: CountingPool) -> Any:
    """The same behavior, which gRPC runs in that pool rather than in the server's own."""
    bound = functools.partial(behavior)
    bound.experimental_thread_pool = pool  # type: ignore[attr-defined]
    return bound


def _handler(behavior: Callable[[bytes, Any], bytes], pool: CountingPool) -> grpc.RpcMethodHandler:
    return grpc.unary_unary_rpc_method_handler(on_pool(behavior, pool))


def _short(message: str) -> str:
    """A message that fits a status, which travels in a header: one that quotes a huge name does not, and gRPC would
    then report the header instead."""
    encoded = message.encode("utf-8", "replace")
    return message if len(encoded) <= _LONGEST else encoded[:_LONGEST].decode("utf-8", "ignore") + "..."


def _parse(message: Any, raw: bytes) -> Any:
    try:
        return message.FromString(raw)
    except DecodeError as error:
        raise _no_message(message, raw, str(error)) from None


def _no_message(message: Any, raw: bytes, reason: str) -> CallError:
    # INTERNAL is what gRPC's servers answer here in every language.
    name = message.DESCRIPTOR.full_name
    return CallError(grpc.StatusCode.INTERNAL, f"the {len(raw)} bytes of the request are no {name}: {reason}.")
