"""The client for asyncio: what `serving.client` has, awaited.

    async with AsyncClient("127.0.0.1:8500", model_name="ranker") as client:
        answer = await client.predict({"user_id": ["u1"], ...}, timeout_s=0.2)

Encoding and decoding run in the event loop: microseconds for numbers in arrays, about a millisecond for 10,000 strings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import grpc
import grpc.aio

from serving import calls
from serving.calls import DEFAULT_SIGNATURE, Answer, Reply, ServingError, TensorSpec
from serving.connection import Connection, Tls

__all__ = ["Answer", "AsyncClient", "ServingError", "TensorSpec", "Tls"]


class AsyncClient(Connection):
    """asyncio client of one server; reuses one channel for any number of calls at once.

    It belongs to the event loop that runs when it is made. Cancelling a task that awaits a call cancels the call on the
    server too.
    """

    _transport = grpc.aio

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the channel; calls in flight fail with CANCELLED."""
        self._closed = True
        await self._channel.close()

    async def wait_until_ready(self, timeout_s: float) -> None:
        """Waits until the server takes connections; as `Client.wait_until_ready`."""
        self._require_open()
        try:
            await asyncio.wait_for(self._channel.channel_ready(), timeout_s)
        except asyncio.TimeoutError:
            raise self._no_server(timeout_s) from None

    async def predict(
        self,
        inputs: Mapping[str, Any],
        signature: str = DEFAULT_SIGNATURE,
        version: int | None = None,
        label: str | None = None,
        output_filter: Sequence[str] = (),
        packed: bool = True,
        timeout_s: float | None = None,
    ) -> Answer:
        """Calls Predict; arguments, answer and errors are those of `Client.predict`."""
        request = self._predict_bytes(inputs, signature, version, label, output_filter, packed)
        return calls.read_answer(await self._call(self._predict, request, timeout_s), len(request))

    async def model_states(self, timeout_s: float | None = None) -> dict[int, int]:
        """Version -> its state; as `Client.model_states`."""
        return calls.read_states(await self._call(self._status, self._status_bytes(), timeout_s))

    async def signature_inputs(
        self,
        signature: str = DEFAULT_SIGNATURE,
        version: int | None = None,
        label: str | None = None,
        timeout_s: float | None = None,
    ) -> dict[str, TensorSpec]:
        """What a signature takes: input name -> dtype and shape; as `Client.signature_inputs`."""
        reply = await self._call(self._metadata, self._metadata_bytes(version, label), timeout_s)
        return calls.read_signature_inputs(reply, signature)

    def _open(self) -> Any:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            message = "an AsyncClient belongs to a running event loop: make it inside a coroutine."
            raise RuntimeError(message) from None
        return super()._open()

    async def _call(self, method: Callable[..., Any], request: bytes, timeout_s: float | None) -> Reply:
        """Sends a request, again on UNAVAILABLE, within one deadline."""
        attempts = self._begin(timeout_s)
        while True:
            try:
                return attempts.succeed(await method(request, timeout=attempts.begin()))
            except grpc.RpcError as error:
                pause = attempts.pause_after(error)
            except asyncio.CancelledError:
                # grpc.aio cancels the calls of a channel that closes, and their callers with them. Such a caller is no
                # cancelled task, and must hear of it as of any other failure.
                if self._closed and not _task_is_cancelled():
                    raise self._was_closed() from None
                raise
            await asyncio.sleep(pause)
            if self._closed:
                raise self._was_closed()


def _task_is_cancelled() -> bool:
    """Whether somebody cancelled the running task, as far as Python can tell: 3.10 keeps no count of it."""
    cancelling = getattr(asyncio.current_task(), "cancelling", None)
    return cancelling is not None and cancelling() > 0
