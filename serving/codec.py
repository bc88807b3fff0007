"""NumPy arrays to TensorProto and back, in both of its encodings, without TensorFlow.

A TensorProto holds its numbers either as raw little-endian bytes (`tensor_content`) or one by one (`int64_val` and
its like). The first costs microseconds for 10,000 ids, the second most of a millisecond: clients here write the first,
the server reads both. Strings only have `string_val`. Works on TensorFlow's messages and on those of `serving.protos`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

# More elements than any request needs (a history of 10,000 for 1,000 users is 1e7). A few bytes may declare a tensor
# of any size, because missing values repeat the last one: without a limit they would take all memory.
MAX_ELEMENTS = 1 << 26


class CodecError(ValueError):
    """A tensor that cannot be encoded or decoded; the message says why."""


@dataclass(frozen=True)
class _Kind:
    """How one dtype stands in a TensorProto: its DataType name and number, NumPy type, and field for single values."""

    name: str
    number: int
    dtype: Any
    field: str


_KINDS = (
    _Kind("DT_FLOAT", 1, np.float32, "float_val"),
    _Kind("DT_DOUBLE", 2, np.float64, "double_val"),
    _Kind("DT_INT32", 3, np.int32, "int_val"),
    _Kind("DT_UINT8", 4, np.uint8, "int_val"),
    _Kind("DT_INT16", 5, np.int16, "int_val"),
    _Kind("DT_INT8", 6, np.int8, "int_val"),
    _Kind("DT_STRING", 7, np.object_, "string_val"),
    _Kind("DT_INT64", 9, np.int64, "int64_val"),
    _Kind("DT_BOOL", 10, np.bool_, "bool_val"),
    _Kind("DT_UINT16", 17, np.uint16, "int_val"),
    _Kind("DT_HALF", 19, np.float16, "half_val"),
    _Kind("DT_UINT32", 22, np.uint32, "uint32_val"),
    _Kind("DT_UINT64", 23, np.uint64, "uint64_val"),
)
_BY_NUMBER = {kind.number: kind for kind in _KINDS}
_BY_DTYPE = {np.dtype(kind.dtype): kind for kind in _KINDS}


def dtype_name(number: int) -> str:
    """DataType's name for its number, as in TensorFlow's types.proto; `DT_<number>` for those not supported here."""
    kind = _BY_NUMBER.get(number)
    return kind.name if kind else "DT_INVALID" if number == 0 else f"DT_{number}"


def shape(tensor: Any) -> tuple[int, ...]:
    """Dimensions that a TensorProto declares.

    Raises:
      CodecError: its rank is unknown, or a dimension is negative.
    """
    if tensor.tensor_shape.unknown_rank:
        raise CodecError("the tensor's shape has an unknown rank; a value needs a full shape.")
    sizes = tuple(dim.size for dim in tensor.tensor_shape.dim)
    if any(size < 0 for size in sizes):
        raise CodecError(f"the tensor's shape {sizes} has a negative dimension.")
    return sizes


def encode(values: Any, tensor: Any, packed: bool = True) -> None:
    """Writes an array into an empty TensorProto.

    Args:
      values: array-like of any rank; str and bytes become DT_STRING (str as UTF-8).
      tensor: the message to fill.
      packed: raw bytes (`tensor_content`); False writes single values, as some clients do.

    Raises:
      CodecError: a dtype that TensorProto has no place for here.
    """
    array = np.asarray(values)
    if array.dtype.kind in "SUO":
        flat = [_to_bytes(value) for value in array.reshape(-1).tolist()]
        tensor.dtype = 7
        tensor.string_val.extend(flat)
    else:
        kind = _BY_DTYPE.get(array.dtype)
        if kind is None:
            raise CodecError(f"no tensor encoding for dtype {array.dtype}.")
        tensor.dtype = kind.number
        if packed:
            little = array.dtype.newbyteorder("<")
            tensor.tensor_content = np.ascontiguousarray(array, dtype=little).tobytes()
        elif kind.field == "half_val":
            tensor.half_val.extend(array.reshape(-1).view(np.uint16).tolist())
        else:
            getattr(tensor, kind.field).extend(array.reshape(-1).tolist())
    tensor.tensor_shape.SetInParent()
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)


def _to_bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8")
    raise CodecError(f"expected str or bytes in a string tensor, found {type(value).__name__} {value!r}.")


def decode(tensor: Any, max_elements: int = MAX_ELEMENTS) -> np.ndarray:
    """Reads an array from a TensorProto.

    Args:
      tensor: the message; fewer single values than elements repeat the last one, as in TensorFlow.
      max_elements: elements above which the tensor is refused.

    Returns:
      An array of the declared shape; strings are `bytes` in an object array. It may be read-only.

    Raises:
      CodecError: unsupported dtype, bad shape, or values that do not fit the shape.
    """
    kind = _BY_NUMBER.get(tensor.dtype)
    if kind is None:
        raise CodecError(f"dtype {dtype_name(tensor.dtype)} is not supported.")
    sizes = shape(tensor)
    count = math.prod(sizes)
    if max((count, *sizes)) > max_elements:
        raise CodecError(f"shape {sizes} is too large; at most {max_elements} elements are accepted.")
    if tensor.tensor_content:
        return _from_content(tensor.tensor_content, kind, sizes, count)
    values = getattr(tensor, kind.field)
    if len(values) > count:
        raise CodecError(f"{len(values)} values do not fit shape {sizes}.")
    return _from_values(values, kind, count).reshape(sizes)


def _from_content(content: bytes, kind: _Kind, sizes: tuple[int, ...], count: int) -> np.ndarray:
    if kind.name == "DT_STRING":
        raise CodecError("string tensors are read from string_val, not from tensor_content.")
    little = np.dtype(kind.dtype).newbyteorder("<")
    if len(content) != count * little.itemsize:
        raise CodecError(
            f"tensor_content has {len(content)} bytes; shape {sizes} of {kind.name} needs {count * little.itemsize}."
        )
    return np.frombuffer(content, dtype=little).reshape(sizes)


def _from_values(values: Any, kind: _Kind, count: int) -> np.ndarray:
    """Single values as a flat array, the last one repeated up to `count`; no value at all means zeros."""
    found = len(values)
    if kind.field == "half_val":
        flat = np.fromiter(values, np.uint16, found).view(np.float16)
    elif kind.name == "DT_STRING":
        flat = np.empty(found, np.object_)
        flat[:] = list(values)
    elif kind.field == "int_val":
        wide = np.fromiter(values, np.int32, found)
        flat = wide.astype(kind.dtype)
        if (flat != wide).any():
            raise CodecError(f"a value does not fit {kind.name}: {wide[flat != wide][0]}.")
    else:
        flat = np.fromiter(values, kind.dtype, found)
    if found == count:
        return flat
    if found:
        return np.concatenate([flat, np.repeat(flat[-1:], count - found)])
    return np.full(count, b"", np.object_) if kind.name == "DT_STRING" else np.zeros(count, kind.dtype)
