"""tf.train.Examples of many records at once, as bytes, built from whole columns.

Protocol buffers spend Python time on each value of a list. Here a feature of all records is one buffer of encoded
values and the offsets at which records begin; headers are lengths, worked out with NumPy, and Arrow joins the pieces.
The bytes are those of `tf.train.Example.SerializeToString`: numbers packed, an empty list told by its kind alone.
Features come in order of their names, so equal records are equal bytes (protobuf promises no order of a map).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_BYTES = pa.large_binary()
# Tags are (field number << 3) | wire type; all fields on the way to a list's values are of type 2, length-delimited.
_FIRST_FIELD = b"\x0a"  # Example.features, Features.feature, a map entry's key, the values of any list
_ENTRY_VALUE = b"\x12"
# From here on a varint takes one byte more.
_LONGER = np.array([1 << 7 * group for group in range(1, 10)], np.uint64)
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = b"\x0a", b"\x12", b"\x1a"


@dataclass(frozen=True)
class Feature:
    """One feature of R records.

    Attributes:
      tag: which list of the `Feature` message it is.
      packed: whether the values are one length-delimited field (numbers) or a field each (bytes).
      values: (R,) large_binary, each record's encoded values.
    """

    tag: bytes
    packed: bool
    values: pa.Array


def bytes_lists(codes: np.ndarray | None, distinct: pa.Array, bounds: np.ndarray) -> Feature:
    """Lists of byte strings.

    Args:
      codes: (n,) indices into `distinct`, those of all records one after the other; None: all of it, in order.
      distinct: (v,) binary, without nulls; each is encoded once, however often it occurs.
      bounds: (R + 1,) ascending; record r holds codes[bounds[r]:bounds[r + 1]].
    """
    held = distinct.cast(_BYTES)
    encoded = _join([pa.scalar(_FIRST_FIELD, _BYTES), varints(_lengths(held)), held])
    return Feature(_BYTES_LIST, False, _cut(encoded if codes is None else encoded.take(pa.array(codes)), bounds))


def int_lists(values: np.ndarray, bounds: np.ndarray) -> Feature:
    """Lists of int64: `values` (n,), cut at `bounds` (R + 1,)."""
    return Feature(_INT64_LIST, True, _cut(varints(values), bounds))


def float_lists(values: np.ndarray, bounds: np.ndarray) -> Feature:
    """Lists of float32: `values` (n,), cut at `bounds` (R + 1,)."""
    data = np.ascontiguousarray(values, "<f4")
    return Feature(_FLOAT_LIST, True, _array(data.view(np.uint8), 4 * np.asarray(bounds, np.int64)))


def examples(features: Mapping[str, Feature]) -> np.ndarray:
    """Serializes records.

    Args:
      features: by name; at least one, all with the same number of records R.

    Returns:
      (R,) object array of bytes.
    """
    total: np.ndarray | int = 0
    pieces: list[pa.Array | pa.Scalar] = []
    for name in sorted(features):
        feature = features[name]
        inner = _lengths(feature.values)
        # What comes before the values depends on their length alone, and few lengths differ.
        distinct, which = np.unique(inner, return_inverse=True)
        heads = _heads(name, feature, distinct)
        pieces.append(heads[0] if len(heads) == 1 else heads.take(pa.array(which.reshape(-1))))
        if distinct.any():
            pieces.append(feature.values)
        total = total + inner + _lengths(heads)[which.reshape(-1)]
    assert isinstance(total, np.ndarray)
    made = _join([pa.scalar(_FIRST_FIELD, _BYTES), varints(total), *pieces]).to_numpy(zero_copy_only=False)
    assert isinstance(made, np.ndarray)
    return made


def varints(values: np.ndarray) -> pa.Array:
    """Base-128 varints of (n,) integers as (n,) large_binary; a negative number takes ten bytes, as in protobuf."""
    rest = np.asarray(values).astype(np.int64).view(np.uint64)
    lengths = 1 + np.searchsorted(_LONGER, rest, side="right")
    widest = int(lengths.max(initial=1))
    groups = np.empty((len(rest), widest), np.uint8)
    for group in range(widest):
        low = (rest >> np.uint64(7 * group)).astype(np.uint8) & np.uint8(0x7F)
        groups[:, group] = low | ((lengths > group + 1).astype(np.uint8) << np.uint8(7))
    alike = widest == lengths.min(initial=widest)
    data = groups.reshape(-1) if alike else groups[np.arange(widest) < lengths[:, None]]
    return _array(data, np.concatenate([[0], np.cumsum(lengths)]))


def _heads(name: str, feature: Feature, lengths: np.ndarray) -> pa.Array:
    """What comes before the values in an entry of the map `Features.feature`.

    Args:
      name: of the feature.
      feature: what it is.
      lengths: (n,) bytes of values.

    Returns:
      (n,) large_binary.
    """
    key = name.encode("utf-8")
    if len(key) > 127:
        raise ValueError(f"feature name {name!r} has {len(key)} bytes, expected at most 127.")
    inner = lengths
    head = pa.array([b""] * len(inner), _BYTES)
    if feature.packed:
        # An empty packed field is left out altogether.
        head = _array_of(_join([pa.scalar(_FIRST_FIELD, _BYTES), varints(inner)]), inner > 0)
        inner = inner + _lengths(head)
    of_list = varints(inner)
    of_feature = varints(1 + _lengths(of_list) + inner)
    told = len(key) + 2 + 1 + _lengths(of_feature) + 1 + _lengths(of_list) + inner
    return _join(
        [
            pa.scalar(_FIRST_FIELD, _BYTES),
            varints(told),
            pa.scalar(_FIRST_FIELD + bytes([len(key)]) + key + _ENTRY_VALUE, _BYTES),
            of_feature,
            pa.scalar(feature.tag, _BYTES),
            of_list,
            head,
        ]
    )


def _join(pieces: list[pa.Array | pa.Scalar]) -> pa.Array:
    return pc.binary_join_element_wise(*pieces, pa.scalar(b"", _BYTES))


def _lengths(values: pa.Array) -> np.ndarray:
    return pc.binary_length(values).to_numpy(zero_copy_only=False).astype(np.int64)


def _array_of(values: pa.Array, kept: np.ndarray) -> pa.Array:
    """The values where `kept`, (R,) bool, is true and empty ones elsewhere."""
    bounds = np.concatenate([[0], np.cumsum(kept)])
    return _cut(values.filter(pa.array(kept)), bounds)


def _cut(values: pa.Array, bounds: np.ndarray) -> pa.Array:
    """Runs of values, each run as one: no byte is moved."""
    offsets = np.frombuffer(values.buffers()[1], np.int64)[values.offset : values.offset + len(values) + 1]
    starts = offsets[np.asarray(bounds, np.int64)] if len(offsets) else np.zeros(len(bounds), np.int64)
    return pa.Array.from_buffers(_BYTES, len(bounds) - 1, [None, pa.py_buffer(starts), values.buffers()[2]])


def _array(data: np.ndarray, offsets: np.ndarray) -> pa.Array:
    """(R,) large_binary over a uint8 buffer; `offsets` is (R + 1,)."""
    starts = np.ascontiguousarray(offsets, np.int64)
    return pa.Array.from_buffers(_BYTES, len(starts) - 1, [None, pa.py_buffer(starts), pa.py_buffer(data)])
