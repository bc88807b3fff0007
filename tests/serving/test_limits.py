"""What a request may cost, where the small model of the other tests has no signature for it."""

from __future__ import annotations

import numpy as np
import pytest

from seminar_tf.features import names
from serving import codec, protos, validation
from serving.errors import CallError
from serving.options import ServerOptions

import tensorflow as tf  # isort: skip
from tensorflow.core.protobuf import meta_graph_pb2

LIMITS = ServerOptions(
    max_rows=3, max_scores=12, max_elements=1000, max_string_bytes=8, max_columns={"user_attributes": 2}
)


def example(**features) -> bytes:
    made = tf.train.Example()
    for name, values in features.items():
        feature = made.features.feature[name]
        if isinstance(values[0], bytes):
            feature.bytes_list.value.extend(values)
        else:
            feature.int64_list.value.extend(values)
    return made.SerializeToString()


def check(**inputs) -> dict[str, np.ndarray]:
    """`validation.inputs` of a signature that takes these inputs."""
    signature, request = meta_graph_pb2.SignatureDef(), protos.PredictRequest()
    for name, values in inputs.items():
        array = np.array(values, np.object_) if isinstance(values, list) else values
        codec.encode(array, request.inputs[name])
        info = signature.inputs[name]
        info.dtype = request.inputs[name].dtype
        for _ in array.shape:
            info.tensor_shape.dim.add(size=-1)
    return validation.inputs(request, signature, LIMITS)


ATTRIBUTES = {"user_attributes": [b"a", b"b"]}
CANDIDATES = {"candidate_item_id": [b"x"] * 4}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([example(**ATTRIBUTES)] * 4, "has 4 rows; this server accepts at most 3"),
        ([b"", example(user_attributes=[b"a"] * 3)], 'row 1: feature "user_attributes" has 3 values; .* at most 2'),
        ([example(user_attributes=[1, 2, 3])], "has 3 values"),
    ],
)
def test_examples_that_cost_too_much(rows, message):
    with pytest.raises(CallError, match=message):
        check(examples=rows)


def test_examples_of_too_many_scores(monkeypatch):
    monkeypatch.setitem(LIMITS.max_columns, names.CANDIDATE_ITEM_ID, 100)
    assert check(examples=[example(**CANDIDATES)] * 3)["examples"].shape == (3,)
    with pytest.raises(CallError, match="asks for 3 x 5 scores; this server accepts at most 12"):
        check(examples=[example(**CANDIDATES), b"", example(candidate_item_id=[b"x"] * 5)])


@pytest.mark.parametrize(
    "damaged", [b"\xff\xff", b"", example(candidate_item_id=[b"a long string, which is allowed here"])]
)
def test_other_examples_are_the_graphs_business(damaged):
    assert check(examples=[damaged])["examples"].tolist() == [damaged]


def test_embedding_takes_more_rows():
    rows = [b"item"] * 900
    assert check(item_id=rows, query=rows)["item_id"].shape == (900,)
    with pytest.raises(CallError, match="1001 rows; this server accepts at most 1000"):
        check(item_id=[b"item"] * 1001, query=[b"item"] * 1001)
    with pytest.raises(CallError, match='"query" has a string of 9 bytes; this server accepts at most 8'):
        check(item_id=[b"item"], query=[b"too large"])
