"""A server's Predict call as a load's target: serialized bytes go out, nothing of them is copied or built per call."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

import grpc

from serving import protos
from serving.load.loops import Reply

_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A call that is sent again is another call, and an error that is hidden.
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
)


class GrpcTarget:
    """One channel to a server; a `loops.Target`."""

    def __init__(self, address: str, timeout_s: float) -> None:
        """Connects with the first call.

        Args:
          address: host:port.
          timeout_s: deadline of each call.
        """
        self.address = address
        self._timeout_s = timeout_s
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        # Without serializers, bytes in and bytes out.
        self._predict = self._channel.unary_unary(protos.PREDICT)

    def call(self, request: bytes) -> Reply:
        """Sends a request and waits for its end."""
        try:
            return _answered(self._predict(request, timeout=self._timeout_s))
        except grpc.RpcError as error:
            return _failed(error)

    def start(self, request: bytes, done: Callable[[Reply], None]) -> None:
        """Sends a request; `done` gets its end, from a thread of gRPC."""
        future = self._predict.future(request, timeout=self._timeout_s)

        def ended(call: Any) -> None:
            if call.code() == grpc.StatusCode.OK:
                done(_answered(call.result()))
            else:
                done(_failed(call))

        future.add_done_callback(ended)

    def close(self) -> None:
        """Closes the channel; calls in flight are cancelled."""
        self._channel.close()

    def __enter__(self) -> GrpcTarget:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _answered(response: bytes) -> Reply:
    return Reply("OK", protos.PredictResponse.FromString(response).model_spec.version.value)


def _failed(call: Any) -> Reply:
    return Reply(call.code().name, message=call.details() or "")
