"""What a call sends and what comes back, whichever client carries it: protos and NumPy, no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError

from serving import codec, protos

DEFAULT_SIGNATURE = "serving_default"
_METADATA_FIELD = "signature_def"

_Code = grpc.StatusCode
_ADVICE = {
    _Code.UNAVAILABLE: "Is the server running and reachable, and does it use TLS exactly if this client does?",
    _Code.DEADLINE_EXCEEDED: "Give a longer timeout_s or fewer candidates, or see whether the server is overloaded.",
    _Code.NOT_FOUND: "Check model_name and version; model_states() lists the loaded versions.",
    _Code.FAILED_PRECONDITION: "docs/serving.md lists the signatures; an older version of the model may lack this one.",
    _Code.INVALID_ARGUMENT: "The request must be changed; sending it again does not help.",
    _Code.RESOURCE_EXHAUSTED: "The server is at a limit; send smaller requests, or fewer at a time.",
    _Code.UNIMPLEMENTED: "This address answers gRPC, but not this call; is it a TensorFlow Serving?",
    _Code.INTERNAL: "The server's log says more.",
}


class ServingError(RuntimeError):
    """A call that failed.

    Attributes:
      code: gRPC's status code.
      message: the server's message, or gRPC's own where no server answered, and the address.
      advice: what to do about it; "" where there is nothing general to say.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        # Both arguments go to the base, so that the error survives a trip between processes (pickle).
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.advice = _ADVICE.get(code, "")

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message} {self.advice}".rstrip()


@dataclass(frozen=True)
class Reply:
    """A call's answer as it came.

    Attributes:
      raw: the serialized response.
      attempts: calls made; above 1 after UNAVAILABLE.
      latency_s: seconds from the first attempt to the answer, pauses included.
    """

    raw: bytes
    attempts: int
    latency_s: float


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


@dataclass(frozen=True)
class TensorSpec:
    """An input of a signature.

    Attributes:
      dtype: DataType's name, such as `DT_INT32`.
      shape: sizes; None where any size goes; None as a whole where even the rank is open.
    """

    dtype: str
    shape: tuple[int | None, ...] | None


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
    request = protos.PredictRequest()
    _fill_spec(request.model_spec, model_name, version, label)
    request.model_spec.signature_name = signature
    for name, values in inputs.items():
        try:
            codec.encode(values, request.inputs[name], packed)
        except codec.CodecError as error:
            raise codec.CodecError(f"input {name!r}: {error}") from error
    request.output_filter.extend(output_filter)
    return request


def build_status_request(model_name: str) -> Any:
    """A GetModelStatusRequest for all versions of a model."""
    request = protos.GetModelStatusRequest()
    _fill_spec(request.model_spec, model_name)
    return request


def build_metadata_request(model_name: str, version: int | None = None, label: str | None = None) -> Any:
    """A GetModelMetadataRequest for the signatures of a version; arguments and errors as in `build_request`."""
    request = protos.GetModelMetadataRequest(metadata_field=[_METADATA_FIELD])
    _fill_spec(request.model_spec, model_name, version, label)
    return request


def _fill_spec(spec: Any, model_name: str, version: int | None = None, label: str | None = None) -> None:
    """Fills in a ModelSpec.

    Raises:
      ValueError: both `version` and `label` given.
    """
    if version is not None and label is not None:
        raise ValueError("give a version or a label, not both.")
    spec.name = model_name
    if version is not None:
        spec.version.value = version
    if label is not None:
        spec.version_label = label


def read_answer(reply: Reply, request_bytes: int) -> Answer:
    """The Answer in a serialized PredictResponse.

    Raises:
      ServingError: INTERNAL where the bytes are none.
    """
    response = _parse(protos.PredictResponse, reply.raw)
    try:
        outputs = {name: codec.decode(tensor) for name, tensor in response.outputs.items()}
    except codec.CodecError as error:
        raise ServingError(_Code.INTERNAL, f"the answer holds a damaged tensor: {error}") from error
    return Answer(
        outputs=outputs,
        model_name=response.model_spec.name,
        version=response.model_spec.version.value,
        signature=response.model_spec.signature_name,
        request_bytes=request_bytes,
        response_bytes=len(reply.raw),
        latency_s=reply.latency_s,
        attempts=reply.attempts,
    )


def read_states(reply: Reply) -> dict[int, int]:
    """Version -> state, from a serialized GetModelStatusResponse."""
    response = _parse(protos.GetModelStatusResponse, reply.raw)
    return {found.version: found.state for found in response.model_version_status}


def read_signature_inputs(reply: Reply, signature: str) -> dict[str, TensorSpec]:
    """Input name -> dtype and shape, from a serialized GetModelMetadataResponse.

    Raises:
      ServingError: FAILED_PRECONDITION where the model has no such signature.
    """
    response = _parse(protos.GetModelMetadataResponse, reply.raw)
    found = _parse(protos.SignatureDefMap, response.metadata[_METADATA_FIELD].value).signature_def
    if signature not in found:
        known = ", ".join(sorted(found)) or "none"
        raise ServingError(_Code.FAILED_PRECONDITION, f'no signature "{signature}"; the model has: {known}.')
    return {name: _tensor_spec(tensor) for name, tensor in sorted(found[signature].inputs.items())}


def _tensor_spec(tensor: Any) -> TensorSpec:
    shape = tensor.tensor_shape
    sizes = None if shape.unknown_rank else tuple(dim.size if dim.size >= 0 else None for dim in shape.dim)
    return TensorSpec(codec.dtype_name(tensor.dtype), sizes)


def _parse(message: Any, raw: bytes) -> Any:
    try:
        return message.FromString(raw)
    except DecodeError as error:
        raise ServingError(_Code.INTERNAL, f"the answer is no {message.DESCRIPTOR.name}: {error}.") from error
