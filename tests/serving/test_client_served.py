"""Both clients on the embedded server: the same scores, states and signatures; the light messages are the real ones."""

from __future__ import annotations

import asyncio

import grpc
import numpy as np
import pytest

from seminar_tf.export import inputs
from serving import protos
from serving.aio_client import AsyncClient
from serving.calls import Reply, read_signature_inputs
from serving.client import ServingError, TensorSpec
from tests.serving import fake_ranker as fake
from tests.serving.raw_server import KINDS

import tensorflow as tf  # isort: skip
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.mark.parametrize("packed", [True, False])
def test_asyncio_gets_the_scores_of_the_blocking_client(server, client, packed):
    batches = [fake.batch(np.random.default_rng(seed), rows=2, length=5, width=1 + seed) for seed in range(8)]
    expected = [client.predict(ids, "rank_indexed").outputs for ids in batches]

    async def ask():
        async with AsyncClient(server.address, timeout_s=60.0) as asking:
            raw = await asking.predict(fake.to_raw(batches[0]), packed=packed)
            calls = [asking.predict(ids, "rank_indexed", packed=packed) for ids in batches]
            return raw, await asyncio.gather(*calls)

    raw, answers = asyncio.run(ask())
    np.testing.assert_allclose(raw.outputs["score_like"], expected[0]["score_like"], atol=1e-5)
    for answer, outputs in zip(answers, expected):
        assert set(answer.outputs) == set(outputs)
        for name, scores in outputs.items():
            np.testing.assert_allclose(answer.outputs[name], scores, atol=1e-6)


@kinds
def test_states(server, kind):
    with kind(server.address) as asking:
        assert asking.model_states() == {5: 30}


@kinds
@pytest.mark.parametrize(("signature", "wanted"), [("serving_default", inputs.RAW), ("rank_indexed", inputs.INDEXED)])
def test_what_signatures_take(server, kind, signature, wanted):
    names = {np.object_: "DT_STRING", np.int32: "DT_INT32", np.int64: "DT_INT64"}
    with kind(server.address) as asking:
        for choice in ({}, {"version": 5}, {"label": "stable"}):
            found = asking.signature_inputs(signature, **choice)
            assert found == {n: TensorSpec(names[i.dtype], (None,) * len(i.shape)) for n, i in wanted.items()}


@kinds
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ({"signature": "x"}, grpc.StatusCode.FAILED_PRECONDITION, 'no signature "x"; the model has: .*rank_indexed'),
        ({"version": 4}, grpc.StatusCode.NOT_FOUND, "Servable not found"),
    ],
)
def test_signatures_that_are_not_there(server, kind, arguments, code, message):
    with kind(server.address) as asking, pytest.raises(ServingError, match=message) as caught:
        asking.signature_inputs(**arguments)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("light", "real"),
    [
        (protos.PredictRequest, predict_pb2.PredictRequest),
        (protos.PredictResponse, predict_pb2.PredictResponse),
        (protos.GetModelStatusRequest, get_model_status_pb2.GetModelStatusRequest),
        (protos.GetModelStatusResponse, get_model_status_pb2.GetModelStatusResponse),
        (protos.GetModelMetadataRequest, get_model_metadata_pb2.GetModelMetadataRequest),
        (protos.GetModelMetadataResponse, get_model_metadata_pb2.GetModelMetadataResponse),
        (protos.SignatureDefMap, get_model_metadata_pb2.SignatureDefMap),
    ],
)
def test_light_messages_are_the_real_ones(light, real):
    seen = set()

    def compare(ours, theirs):
        assert ours.name == theirs.name
        if ours.full_name in seen:
            return
        seen.add(ours.full_name)
        assert ours.fields
        for field in ours.fields:
            twin = theirs.fields_by_name[field.name]
            assert field.number == twin.number, field.full_name
            # Enums are int32 here, which is what they are on the wire.
            assert field.type == (field.TYPE_INT32 if twin.type == field.TYPE_ENUM else twin.type), field.full_name
            if field.message_type is not None:
                compare(field.message_type, twin.message_type)

    compare(light.DESCRIPTOR, real.DESCRIPTOR)


def test_a_specs_open_sizes():
    real = get_model_metadata_pb2.SignatureDefMap()
    given = real.signature_def["s"].inputs
    given["free"].dtype = tf.float32.as_datatype_enum
    given["free"].tensor_shape.unknown_rank = True
    given["scalar"].dtype = tf.int64.as_datatype_enum
    given["fixed"].dtype = tf.string.as_datatype_enum
    for size in (-1, 7):
        given["fixed"].tensor_shape.dim.add(size=size)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.metadata["signature_def"].Pack(real)
    assert read_signature_inputs(Reply(response.SerializeToString(), 1, 0.0), "s") == {
        "fixed": TensorSpec("DT_STRING", (None, 7)),
        "free": TensorSpec("DT_FLOAT", None),
        "scalar": TensorSpec("DT_INT64", ()),
    }
