"""A gRPC server whose answers a test writes, and both clients behind one blocking face, to hold them to the same tests.

There is no TensorFlow here: what a client does about failures, deadlines and certificates needs no model.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc

from serving import protos
from serving.aio_client import AsyncClient
from serving.client import Client

Handler = Callable[[bytes, grpc.ServicerContext], bytes]


def echo(raw: bytes, context: grpc.ServicerContext) -> bytes:
    """Answers Predict with the request's inputs as outputs, from version 7."""
    request = protos.PredictRequest.FromString(raw)
    response = protos.PredictResponse(model_spec=request.model_spec)
    response.model_spec.version.value = 7
    for name, tensor in request.inputs.items():
        response.outputs[name].CopyFrom(tensor)
    return response.SerializeToString()


class RawServer:
    """Serves Predict by a function of bytes on a port of the loopback interface, and keeps what it saw.

    Attributes:
      address: host:port.
      peers, remaining_s, requests: of each call: who made it, seconds to its deadline, its bytes.
    """

    def __init__(self, predict: Handler = echo, credentials: Any = None, port: int = 0) -> None:
        self.peers: list[str] = []
        self.remaining_s: list[float] = []
        self.requests: list[bytes] = []
        self._answer = predict
        self._server = grpc.server(futures.ThreadPoolExecutor(8), options=(("grpc.so_reuseport", 0),))
        handler = grpc.unary_unary_rpc_method_handler(self._predict)
        service, method = protos.PREDICT.strip("/").split("/")
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        wanted = f"127.0.0.1:{port}"
        if credentials is None:
            self.port = self._server.add_insecure_port(wanted)
        else:
            self.port = self._server.add_secure_port(wanted, credentials)
        self.address = f"127.0.0.1:{self.port}"

    def __enter__(self) -> RawServer:
        self._server.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.stop(0).wait()

    def _predict(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.peers.append(context.peer())
        self.remaining_s.append(context.time_remaining())
        self.requests.append(request)
        return self._answer(request, context)


class Blocking:
    """An AsyncClient with a loop of its own and blocking calls."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        self._loop = asyncio.new_event_loop()

        async def make() -> AsyncClient:
            return AsyncClient(*arguments, **keywords)

        self._client = self._loop.run_until_complete(make())

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not inspect.iscoroutinefunction(found):
            return found
        return lambda *arguments, **keywords: self._loop.run_until_complete(found(*arguments, **keywords))

    def __enter__(self) -> Blocking:
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.run_until_complete(self._client.close())
        self._loop.close()


def blocking(address: str, *arguments: Any, **keywords: Any) -> Client:
    """A Client whose deadline a busy machine does not reach."""
    return Client(address, *arguments, **{"timeout_s": 60.0, **keywords})


def awaited(address: str, *arguments: Any, **keywords: Any) -> Blocking:
    """An AsyncClient, likewise."""
    return Blocking(address, *arguments, **{"timeout_s": 60.0, **keywords})


KINDS = (blocking, awaited)
