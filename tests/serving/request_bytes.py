"""Requests as bytes, good ones and damaged ones, and how they are sent as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import grpc
import numpy as np

from serving import codec, protos
from tests.serving import fake_ranker as fake

from tensorflow_serving.apis import inference_pb2  # isort: skip

INT32, STRING, INT64 = 3, 7, 9


def good() -> dict[str, Any]:
    """Inputs of `rank_indexed` of one user with six pairs and five candidates."""
    return dict(fake.batch(np.random.default_rng(1), rows=1, length=6, width=5))


def predict(
    changes: dict[str, Any] | None = None,
    drop: tuple[str, ...] = (),
    signature: str = "rank_indexed",
    packed: bool = True,
    outputs: Iterable[str] = (),
    **spec: Any,
) -> Callable[[], bytes]:
    """A builder of a good Predict request with some inputs replaced (by arrays or TensorProtos), added or dropped."""

    def build() -> bytes:
        request = protos.PredictRequest()
        fields = {"name": "ranker", "signature_name": signature, **spec}
        version = fields.pop("version", None)
        if version is not None:
            request.model_spec.version.value = version
        for field, value in fields.items():
            setattr(request.model_spec, field, value)
        inputs = {**(fake.to_raw(good()) if signature == "serving_default" else good()), **(changes or {})}
        for name, value in inputs.items():
            if name in drop:
                continue
            if isinstance(value, protos.TensorProto):
                request.inputs[name].CopyFrom(value)
            else:
                codec.encode(value, request.inputs[name], packed)
        request.output_filter.extend(outputs)
        return request.SerializeToString()

    return build


def tensor(dtype: int, sizes: Iterable[int], **fields: Any) -> Any:
    """A TensorProto, right or wrong."""
    made = protos.TensorProto(dtype=dtype, **fields)
    made.tensor_shape.SetInParent()
    for size in sizes:
        made.tensor_shape.dim.add(size=size)
    return made


def unknown_rank() -> Any:
    """A TensorProto of unknown rank."""
    made = tensor(INT32, [], int_val=[1])
    made.tensor_shape.unknown_rank = True
    return made


def raw(changes: dict[str, Any] | None = None) -> Callable[[], bytes]:
    """`predict` of `serving_default`."""
    return predict(changes, signature="serving_default")


def truncated() -> bytes:
    """A good request without its last bytes."""
    return predict()()[:-7]


def message(made: Any) -> Callable[[], bytes]:
    """A builder of a message as it is."""
    return lambda: made.SerializeToString()


def spec_only(made: Any) -> Callable[[], bytes]:
    """A builder of a message with the model's name, and nothing else."""
    made.model_spec.name = "ranker"
    return message(made)


def tasks(*methods: str) -> Callable[[], bytes]:
    """A builder of a MultiInferenceRequest with one task a method."""
    request = inference_pb2.MultiInferenceRequest()
    for method in methods:
        request.tasks.add(method_name=method).model_spec.name = "ranker"
    return message(request)


def rows(count: int, length: int, width: int) -> Callable[[], bytes]:
    """A builder of a good request of so many users, pairs and candidates."""
    return lambda: predict(dict(fake.batch(np.random.default_rng(2), count, length, width)))()


def call(channel: grpc.Channel, method: str, request: bytes, timeout_s: float) -> grpc.Future:
    """Sends bytes to a method; the answer is bytes."""
    # Waiting for the connection is the channel's business, not a refusal.
    return channel.unary_unary(method).future(request, timeout=timeout_s, wait_for_ready=timeout_s > 1)


def scores(answer: bytes) -> dict[str, np.ndarray]:
    """Output name -> array of a PredictResponse."""
    response = protos.PredictResponse.FromString(answer)
    return {name: codec.decode(tensor) for name, tensor in response.outputs.items()}
