"""A thin client of TF Serving's Predict call: protos and NumPy, no TensorFlow.

    with Client("127.0.0.1:8500", model_name="ranker") as client:
        answer = client.predict({"user_id": ["u1"], ...}, timeout_s=0.2)
        answer.outputs["score_click"]  # (B, N)

It speaks to the embedded server and to the real one alike. `serving.aio_client` has the same for asyncio.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import grpc

from serving import calls
from serving.calls import DEFAULT_SIGNATURE, Answer, Reply, ServingError, TensorSpec, build_request
from serving.connection import Connection, Tls

__all__ = ["DEFAULT_SIGNATURE", "Answer", "Client", "ServingError", "TensorSpec", "Tls", "build_request"]


class Client(Connection):
    """Blocking client of one server; reuses one channel and may be shared by threads."""

    _transport = grpc

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the channel; calls in flight fail with CANCELLED."""
        self._closed = True
        self._channel.close()

    def wait_until_ready(self, timeout_s: float) -> None:
        """Blocks until the server takes connections.

        Raises:
          ServingError: UNAVAILABLE after `timeout_s`.
        """
        self._require_open()
        try:
            grpc.channel_ready_future(self._channel).result(timeout=timeout_s)
        except grpc.FutureTimeoutError:
            raise self._no_server(timeout_s) from None

    def predict(
        self,
        inputs: Mapping[str, Any],
        signature: str = DEFAULT_SIGNATURE,
        version: int | None = None,
        label: str | None = None,
        output_filter: Sequence[str] = (),
        packed: bool = True,
        timeout_s: float | None = None,
    ) -> Answer:
        """Calls Predict; arguments as in `build_request`.

        Args:
          timeout_s: deadline of this call, retries included; None takes the client's default.

        Returns:
          The answer.

        Raises:
          ServingError: the call failed; its `code` says how.
          CodecError, ValueError: the inputs cannot be sent, or the client is closed.
        """
        request = self._predict_bytes(inputs, signature, version, label, output_filter, packed)
        return calls.read_answer(self._call(self._predict, request, timeout_s), len(request))

    def model_states(self, timeout_s: float | None = None) -> dict[int, int]:
        """Version -> its state in ModelVersionStatus (30 is AVAILABLE), from ModelService.GetModelStatus.

        Raises:
          ServingError: NOT_FOUND where the server has no such model.
        """
        return calls.read_states(self._call(self._status, self._status_bytes(), timeout_s))

    def signature_inputs(
        self,
        signature: str = DEFAULT_SIGNATURE,
        version: int | None = None,
        label: str | None = None,
        timeout_s: float | None = None,
    ) -> dict[str, TensorSpec]:
        """What a signature takes: input name -> dtype and shape, from PredictionService.GetModelMetadata.

        Raises:
          ServingError: NOT_FOUND where the server has no such model or version, FAILED_PRECONDITION where the model
            has no such signature.
        """
        reply = self._call(self._metadata, self._metadata_bytes(version, label), timeout_s)
        return calls.read_signature_inputs(reply, signature)

    def _call(self, method: Callable[..., Any], request: bytes, timeout_s: float | None) -> Reply:
        """Sends a request, again on UNAVAILABLE, within one deadline."""
        attempts = self._begin(timeout_s)
        while True:
            try:
                return attempts.succeed(method(request, timeout=attempts.begin()))
            except grpc.RpcError as error:
                pause = attempts.pause_after(error)
            time.sleep(pause)
            if self._closed:
                raise self._was_closed()
