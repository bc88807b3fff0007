"""Both encodings of TensorProto, against TensorFlow's own functions and against the light messages."""

from __future__ import annotations

import numpy as np
import pytest

from serving import codec, protos

import tensorflow as tf  # isort: skip
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2

DTYPES = [np.float32, np.float64, np.float16, np.int8, np.int16, np.int32, np.int64]
DTYPES += [np.uint8, np.uint16, np.uint32, np.uint64, np.bool_]


@pytest.mark.parametrize("message", [tensor_pb2.TensorProto, protos.TensorProto])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 3), (0, 4), ()])
def test_round_trip_through_bytes(message, packed, dtype, shape):
    values = (np.random.default_rng(0).normal(0, 50, shape) * 1).astype(np.int8).astype(dtype)
    tensor = message()
    codec.encode(values, tensor, packed)
    for reader in (tensor_pb2.TensorProto, protos.TensorProto):
        decoded = codec.decode(reader.FromString(tensor.SerializeToString()))
        assert decoded.dtype == values.dtype
        np.testing.assert_array_equal(decoded, values)
    np.testing.assert_array_equal(
        tf.make_ndarray(tensor_pb2.TensorProto.FromString(tensor.SerializeToString())), values
    )


@pytest.mark.parametrize("values", [[["a", "é"], ["", "c"]], np.array([b"\xff\x00", b""], np.object_), np.array(["x"])])
def test_strings(values):
    tensor = protos.TensorProto()
    codec.encode(values, tensor)
    expected = tf.make_ndarray(tf.make_tensor_proto(values))
    np.testing.assert_array_equal(codec.decode(tensor), expected)


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.bool_])
def test_reads_what_tensorflow_writes(dtype):
    values = np.random.default_rng(1).integers(0, 2, (3, 5)).astype(dtype)
    np.testing.assert_array_equal(codec.decode(tf.make_tensor_proto(values)), values)


def test_missing_values_repeat_the_last_one():
    tensor = tensor_pb2.TensorProto(dtype=9, int64_val=[4, 7])
    tensor.tensor_shape.dim.add(size=2)
    tensor.tensor_shape.dim.add(size=2)
    np.testing.assert_array_equal(codec.decode(tensor), [[4, 7], [7, 7]])
    del tensor.int64_val[:]
    np.testing.assert_array_equal(codec.decode(tensor), np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("fields", "sizes", "message"),
    [
        ({"dtype": 0}, [1], "DT_INVALID is not supported"),
        ({"dtype": 20}, [1], "DT_20 is not supported"),
        ({"dtype": 9, "int64_val": [1, 2, 3]}, [2], "3 values do not fit"),
        ({"dtype": 9, "tensor_content": b"1234567"}, [1], "has 7 bytes"),
        ({"dtype": 9}, [-1], "negative dimension"),
        ({"dtype": 9, "int64_val": [1]}, [1 << 40], "too large"),
        ({"dtype": 9}, [0, 1 << 40], "too large"),
        ({"dtype": 7, "tensor_content": b"x"}, [1], "string_val"),
        ({"dtype": 6, "int_val": [300]}, [1], "does not fit DT_INT8"),
    ],
)
def test_damaged_tensors_are_refused(fields, sizes, message):
    tensor = protos.TensorProto(**fields)
    for size in sizes:
        tensor.tensor_shape.dim.add(size=size)
    with pytest.raises(codec.CodecError, match=message):
        codec.decode(tensor)


def test_unknown_rank_is_refused():
    tensor = protos.TensorProto(dtype=9)
    tensor.tensor_shape.unknown_rank = True
    with pytest.raises(codec.CodecError, match="unknown rank"):
        codec.decode(tensor)


@pytest.mark.parametrize("values", [np.array([1j]), np.array([object()], np.object_)])
def test_what_no_tensor_holds(values):
    with pytest.raises(codec.CodecError):
        codec.encode(values, protos.TensorProto())


def test_light_messages_have_the_fields_of_the_real_ones():
    pairs = [(protos.PredictRequest, predict_pb2.PredictRequest), (protos.PredictResponse, predict_pb2.PredictResponse)]
    seen = set()
    while pairs:
        light, real = pairs.pop()
        light, real = getattr(light, "DESCRIPTOR", light), getattr(real, "DESCRIPTOR", real)
        if light.full_name in seen:
            continue
        seen.add(light.full_name)
        for field in light.fields:
            twin = real.fields_by_name[field.name]
            assert (field.number, field.label) == (twin.number, twin.label), field.full_name
            if field.message_type is not None:
                pairs.append((field.message_type, twin.message_type))
    assert "tensorflow.TensorProto" in seen
