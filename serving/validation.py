"""A Predict request held against the model's SignatureDef, before TensorFlow sees it.

A session casts dtypes silently and gives the first shape error it meets somewhere in the graph; a client deserves to
hear which input is wrong, and a bad request must not reach a batch with good ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np

from serving import codec
from serving.errors import CallError, invalid

DEFAULT_SIGNATURE = "serving_default"


def signature_name(request: Any, signatures: Mapping[str, Any]) -> str:
    """The signature that a request asks for.

    Raises:
      CallError: FAILED_PRECONDITION, the model has no such signature.
    """
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    if name not in signatures:
        raise CallError(
            grpc.StatusCode.FAILED_PRECONDITION,
            f'Serving signature key "{name}" not found. The model has: {", ".join(sorted(signatures))}.',
        )
    return name


def outputs(request: Any, signature: Any) -> tuple[str, ...]:
    """Outputs wanted: the request's output_filter, or all of the signature's, sorted.

    Raises:
      CallError: INVALID_ARGUMENT, an unknown or repeated name.
    """
    wanted = tuple(request.output_filter)
    for name in wanted:
        if name not in signature.outputs:
            raise invalid(f'output_filter: output "{name}" not found. Outputs: {", ".join(sorted(signature.outputs))}.')
    if len(set(wanted)) != len(wanted):
        raise invalid(f"output_filter names an output twice: {', '.join(wanted)}.")
    return wanted or tuple(sorted(signature.outputs))


def inputs(request: Any, signature: Any, max_columns: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Decodes and checks every input.

    Args:
      request: a PredictRequest.
      signature: a SignatureDef.
      max_columns: input name -> most columns of a row.

    Returns:
      Input name -> array, with exactly the signature's names, dtypes, ranks and fixed dimensions.

    Raises:
      CallError: INVALID_ARGUMENT naming the input, what was found and what was expected.
    """
    _check_names(set(request.inputs), set(signature.inputs))
    checked = {}
    for name in sorted(signature.inputs):
        tensor = request.inputs[name]
        _check_declared(name, tensor, signature.inputs[name], max_columns.get(name))
        try:
            checked[name] = codec.decode(tensor)
        except codec.CodecError as error:
            raise invalid(f'input "{name}": {error}') from None
    return checked


def _check_names(found: set[str], expected: set[str]) -> None:
    if found != expected:
        parts = ["input names do not match the signature."]
        if expected - found:
            parts.append(f"Missing but required: {', '.join(sorted(expected - found))}.")
        if found - expected:
            parts.append(f"Sent extra: {', '.join(sorted(found - expected))}.")
        raise invalid(" ".join(parts))


def _check_declared(name: str, tensor: Any, info: Any, max_columns: int | None) -> None:
    """Checks what the tensor says of itself, before its values are looked at."""
    if tensor.dtype != info.dtype:
        found, wanted = codec.dtype_name(tensor.dtype), codec.dtype_name(info.dtype)
        raise invalid(f'input "{name}" has dtype {found}, expected {wanted}.')
    try:
        sizes = codec.shape(tensor)
    except codec.CodecError as error:
        raise invalid(f'input "{name}": {error}') from None
    if not info.tensor_shape.unknown_rank:
        wanted_sizes = [dim.size for dim in info.tensor_shape.dim]
        fits = len(sizes) == len(wanted_sizes) and all(w in (-1, s) for s, w in zip(sizes, wanted_sizes))
        if not fits:
            shown = ", ".join("?" if size < 0 else str(size) for size in wanted_sizes)
            raise invalid(
                f'input "{name}" has shape {list(sizes)} (rank {len(sizes)}), expected [{shown}] '
                f"(rank {len(wanted_sizes)}; ? is any size)."
            )
    if max_columns is not None and len(sizes) > 1 and sizes[1] > max_columns:
        raise invalid(f'input "{name}" has {sizes[1]} columns; this server accepts at most {max_columns} a row.')
