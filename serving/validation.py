"""A Predict request held against the model's SignatureDef, before TensorFlow sees it.

A session casts dtypes silently and gives the first shape error it meets somewhere in the graph; a client deserves to
hear which input is wrong, and a bad request must not reach a batch with good ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np

from seminar_tf.features import names
from serving import codec, example_limits
from serving.errors import CallError, invalid
from serving.options import ServerOptions

DEFAULT_SIGNATURE = "serving_default"
_STRING = 7  # DT_STRING


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


def inputs(request: Any, signature: Any, limits: ServerOptions) -> dict[str, np.ndarray]:
    """Decodes and checks every input.

    Args:
      request: a PredictRequest.
      signature: a SignatureDef.
      limits: what a request may cost.

    Returns:
      Input name -> array, with exactly the signature's names, dtypes, ranks and fixed dimensions.

    Raises:
      CallError: INVALID_ARGUMENT naming the input, what was found and what was expected.
    """
    _check_names(set(request.inputs), set(signature.inputs))
    ordered = sorted(signature.inputs)
    # A signature's only input holds whole requests (tf.Example). One without candidates embeds, a vector a row.
    whole_requests = len(ordered) == 1
    most_rows = limits.max_rows if whole_requests or names.CANDIDATE_ITEM_ID in ordered else limits.max_elements
    for name in ordered:
        sizes = _check_declared(name, request.inputs[name], signature.inputs[name])
        _check_size(name, sizes, most_rows, limits)
    checked = {}
    for name in ordered:
        tensor = request.inputs[name]
        try:
            checked[name] = codec.decode(tensor, limits.max_elements)
        except codec.CodecError as error:
            raise invalid(f'input "{name}": {error}') from None
        if tensor.dtype == _STRING:
            strings = checked[name].ravel().tolist()
            if whole_requests:
                example_limits.check(name, strings, limits)
            else:
                _check_strings(name, strings, limits.max_string_bytes)
    return checked


def _check_names(found: set[str], expected: set[str]) -> None:
    if found != expected:
        parts = ["input names do not match the signature."]
        if expected - found:
            parts.append(f"Missing but required: {', '.join(sorted(expected - found))}.")
        if found - expected:
            parts.append(f"Sent extra: {', '.join(sorted(found - expected))}.")
        raise invalid(" ".join(parts))


def _check_declared(name: str, tensor: Any, info: Any) -> tuple[int, ...]:
    """Checks what the tensor says of itself, before its values are looked at; its shape."""
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
    return sizes


def _check_size(name: str, sizes: tuple[int, ...], most_rows: int, limits: ServerOptions) -> None:
    """Refuses what costs too much, by its declared shape: a few bytes can declare any, and be filled up."""
    if not sizes:
        return
    if sizes[0] > most_rows:
        raise invalid(f'input "{name}" has {sizes[0]} rows; this server accepts at most {most_rows} a request.')
    if len(sizes) < 2:
        return
    most = limits.max_columns.get(name)
    if most is not None and sizes[1] > most:
        raise invalid(f'input "{name}" has {sizes[1]} columns; this server accepts at most {most} a row.')
    if name == names.CANDIDATE_ITEM_ID and sizes[0] * sizes[1] > limits.max_scores:
        raise invalid(
            f'input "{name}" asks for {sizes[0]} x {sizes[1]} scores; this server accepts at most '
            f"{limits.max_scores} a request. Send fewer rows at once."
        )


def _check_strings(name: str, strings: list[bytes], most: int) -> None:
    longest = max(map(len, strings), default=0)
    if longest > most:
        raise invalid(f'input "{name}" has a string of {longest} bytes; this server accepts at most {most}.')
