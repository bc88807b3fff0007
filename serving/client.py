"""A thin client of TF Serving's Predict call: protos and NumPy, no TensorFlow.

    with Client("127.0.0.1:8500", model_name="ranker") as client:
        answer = client.predict({"user_id": ["u1"], ...}, timeout_s=0.2)
        answer.outputs["score_click"]  # (B, N)

It speaks to the embedded server and to the real one alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import grpc
import numpy as np

from serving import codec, protos

DEFAULT_SIGNATURE = "serving_default"
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Retries are this client's own, so that a call is never sent more often than it says.
    ("grpc.enable_retries", 0),
    # A stranger's proxy settings should not decide how a loopback server is reached.
    ("grpc.enable_http_proxy", 0),
)


class ServingError(RuntimeError):
    """A call that failed.

    Attributes:
      code: gRPC's status code.
      message: the server's message, or gRPC's own where no server answered.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Answer:
    """What a Predict call gave.

    Attributes:
      outputs: output name -> array, `score_<task>` (B, N) float32.
      model_name, version, signature: which model answered.
      request_bytes, response_bytes: sizes on the wire, without gRPC's framing.
      latency_s: seconds from the encoded request to the encoded answer, retries included.
      attempts: calls made; above 1 after UNAVAILABLE.
    """

    outputs: dict[str, np.ndarray]
    model_name: str
    version: int
    signature: str
    request_bytes: int
    response_bytes: int
    latency_s: float
    attempts: int


def build_request(
    inputs: Mapping[str, Any],
    model_name: str,
    signature: str = DEFAULT_SIGNATURE,
    version: int | None = None,
    label: str | None = None,
    output_filter: Sequence[str] = (),
    packed: bool = True,
) -> Any:
    """A PredictRequest.

    Args:
      inputs: input name -> array of the signature's dtype (np.int32 ids, np.int64 timestamps, str or bytes).
      model_name: the model's name on the server.
      signature: which signature to call.
      version: a version number; None means the latest.
      label: a version label instead, such as `stable`.
      output_filter: outputs wanted; empty means all.
      packed: numbers as raw bytes rather than one by one.

    Returns:
      A `serving.protos.PredictRequest`.

    Raises:
      CodecError: an input that no tensor can hold.
      ValueError: both `version` and `label` given.
    """
    if version is not None and label is not None:
        raise ValueError("give a version or a label, not both.")
    request = protos.PredictRequest()
    request.model_spec.name = model_name
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    for name, values in inputs.items():
        codec.encode(values, request.inputs[name], packed)
    request.output_filter.extend(output_filter)
    return request


class Client:
    """Blocking client of one server; reuses one channel and may be shared by threads."""

    def __init__(
        self,
        address: str,
        model_name: str = "ranker",
        timeout_s: float = 10.0,
        max_attempts: int = 3,
        backoff_s: float = 0.05,
    ) -> None:
        """Makes a client; it connects with the first call.

        Args:
          address: host:port.
          model_name: the model that calls go to.
          timeout_s: default deadline of a call, retries included.
          max_attempts: most calls for one answer; only UNAVAILABLE is tried again.
          backoff_s: wait before the second attempt; doubles with each.

        Raises:
          ValueError: `max_attempts` is below 1.
        """
        if max_attempts < 1:
            raise ValueError(f"max_attempts is {max_attempts}, expected 1 or more.")
        self.address = address
        self.model_name = model_name
        self.timeout_s = timeout_s
        self.max_attempts = max_attempts
        self.backoff_s = backoff_s
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        self._predict = self._channel.unary_unary(protos.PREDICT)
        self._status = self._channel.unary_unary(protos.GET_MODEL_STATUS)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the channel; calls in flight are cancelled."""
        self._channel.close()

    def wait_until_ready(self, timeout_s: float) -> None:
        """Blocks until the server takes connections.

        Raises:
          ServingError: UNAVAILABLE after `timeout_s`.
        """
        try:
            grpc.channel_ready_future(self._channel).result(timeout=timeout_s)
        except grpc.FutureTimeoutError:
            message = f"no server answers at {self.address} (waited {timeout_s:g} s)."
            raise ServingError(grpc.StatusCode.UNAVAILABLE, message) from None

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
          CodecError, ValueError: the inputs cannot be sent.
        """
        built = build_request(inputs, self.model_name, signature, version, label, output_filter, packed)
        request = built.SerializeToString()
        start = time.monotonic()
        raw, attempts = self._call(self._predict, request, self.timeout_s if timeout_s is None else timeout_s)
        latency = time.monotonic() - start
        response = protos.PredictResponse.FromString(raw)
        return Answer(
            outputs={name: codec.decode(tensor) for name, tensor in response.outputs.items()},
            model_name=response.model_spec.name,
            version=response.model_spec.version.value,
            signature=response.model_spec.signature_name,
            request_bytes=len(request),
            response_bytes=len(raw),
            latency_s=latency,
            attempts=attempts,
        )

    def model_states(self, timeout_s: float | None = None) -> dict[int, int]:
        """Version -> its state in ModelVersionStatus (30 is AVAILABLE), from ModelService.GetModelStatus.

        Raises:
          ServingError: NOT_FOUND where the server has no such model.
        """
        request = protos.GetModelStatusRequest()
        request.model_spec.name = self.model_name
        timeout = self.timeout_s if timeout_s is None else timeout_s
        raw, _ = self._call(self._status, request.SerializeToString(), timeout)
        response = protos.GetModelStatusResponse.FromString(raw)
        return {found.version: found.state for found in response.model_version_status}

    def _call(self, method: Callable[..., Any], request: bytes, timeout_s: float) -> tuple[bytes, int]:
        """Sends a request, again on UNAVAILABLE, within one deadline.

        Returns:
          The serialized response and the number of attempts.
        """
        deadline = time.monotonic() + timeout_s
        for attempt in range(1, self.max_attempts + 1):
            try:
                return method(request, timeout=max(deadline - time.monotonic(), 0.0)), attempt
            except grpc.RpcError as error:
                code, details = error.code(), error.details() or ""
                pause = self.backoff_s * 2 ** (attempt - 1)
                retry = code == grpc.StatusCode.UNAVAILABLE and attempt < self.max_attempts
                if not retry or time.monotonic() + pause >= deadline:
                    raise ServingError(code, f"{details} [{self.address}]") from error
            time.sleep(pause)
        raise AssertionError("max_attempts is at least 1")
