"""Requests that are refused: the status code of the real server, and a message that names what is wrong."""

from __future__ import annotations

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from seminar_tf.export.examples import examples_inputs
from seminar_tf.export.inputs import SIGNATURES, RankRequest
from seminar_tf.features import names
from serving import protos
from serving.client import Client, ServingError
from tests.serving import fake_ranker as fake

import tensorflow as tf  # isort: skip
from tensorflow_serving.apis import classification_pb2, get_model_metadata_pb2, prediction_service_pb2_grpc

Code = grpc.StatusCode


def inputs(**changes):
    ids = fake.batch(np.random.default_rng(0), rows=1, length=3, width=2)
    return {name: value for name, value in {**ids, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({names.CANDIDATE_ITEM_ID: np.ones((1, 2), np.int64)}, "dtype DT_INT64, expected DT_INT32"),
        ({names.CANDIDATE_ITEM_ID: np.array([["item1"]])}, "dtype DT_STRING, expected DT_INT32"),
        ({names.HISTORY_TIMESTAMP: np.full((1, 3), np.nan)}, "dtype DT_DOUBLE, expected DT_INT64"),
        ({names.CANDIDATE_ITEM_ID: np.ones(2, np.int32)}, r"shape \[2\] \(rank 1\), expected \[\?, \?\]"),
        ({names.QUERY: np.ones((1, 1), np.int32)}, r"\(rank 2\), expected \[\?\]"),
        ({names.CANDIDATE_ITEM_ID: np.ones((1, 51), np.int32)}, "51 columns; this server accepts at most 50"),
        ({names.QUERY: None}, "Missing but required: query"),
        ({"quarry": np.ones(1, np.int32)}, "Sent extra: quarry"),
        ({names.HISTORY_QUERY: np.ones((1, 2), np.int32)}, "history_query must have the shape of history_item_id"),
        ({names.QUERY: np.ones(2, np.int32)}, "query must have as many rows"),
    ],
)
def test_wrong_inputs(client, changes, message):
    with pytest.raises(ServingError, match=message) as caught:
        client.predict(inputs(**changes), "rank_indexed")
    assert caught.value.code == Code.INVALID_ARGUMENT
    assert client.predict(inputs(), "rank_indexed").outputs["score_click"].shape == (1, 2)


@pytest.mark.parametrize(
    ("proto", "message"),
    [
        (b"no proto", "Could not parse example input"),
        (b"\xff\xfe" * 3, 'signature "examples" cannot read a string of the request'),
        (b"n" * 100_000, r"Could not parse example input, value: 'n+\.\.\.TRUNCATED"),
        (b"", "request_timestamp must have one value"),
    ],
)
def test_bytes_that_are_no_example(client, proto, message):
    arrays = examples_inputs([RankRequest([], ["item1"], fake.NOW)] * 2)
    good = client.predict(arrays, "examples").outputs["score_click"]
    arrays["examples"][1] = proto
    with pytest.raises(ServingError, match=message) as caught:
        client.predict(arrays, "examples")
    assert caught.value.code == Code.INVALID_ARGUMENT and len(caught.value.message) < 1100
    assert (client.predict({"examples": arrays["examples"][:1]}, "examples").outputs["score_click"] == good[0]).all()


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [
        ({"signature": "x"}, Code.FAILED_PRECONDITION, 'Serving signature key "x" not found'),
        ({"version": 4}, Code.NOT_FOUND, r"Servable not found for request: Specific\(ranker, 4\)"),
        ({"label": "canary"}, Code.NOT_FOUND, r"Specific\(ranker, 6\)"),
        ({"label": "nightly"}, Code.INVALID_ARGUMENT, 'Unrecognized servable version label: "nightly"'),
        ({"output_filter": ["score_x"]}, Code.INVALID_ARGUMENT, 'output "score_x" not found'),
        ({"output_filter": ["score_like"] * 2}, Code.INVALID_ARGUMENT, "twice"),
    ],
)
def test_wrong_model_spec_or_filter(client, call, code, message):
    with pytest.raises(ServingError, match=message) as caught:
        client.predict(inputs(), **{"signature": "rank_indexed", **call})
    assert caught.value.code == code


@pytest.mark.parametrize(("name", "code"), [("", Code.INVALID_ARGUMENT), ("other", Code.NOT_FOUND)])
def test_wrong_model_name(server, name, code):
    with Client(server.address, name) as client, pytest.raises(ServingError) as caught:
        client.predict(inputs(), "rank_indexed")
    assert caught.value.code == code
    with Client(server.address, name) as client, pytest.raises(ServingError) as caught:
        client.model_states()
    assert caught.value.code == code


def test_bytes_that_are_no_request(server):
    with grpc.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(protos.PREDICT)(b"\xff\xff\xff", timeout=10)
        assert caught.value.code() == Code.INTERNAL
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(protos.PREDICT)(b"", timeout=10)
        assert caught.value.code() == Code.INVALID_ARGUMENT


def test_deadline(client):
    with pytest.raises(ServingError) as caught:
        client.predict(inputs(), "rank_indexed", timeout_s=1e-6)
    assert caught.value.code == Code.DEADLINE_EXCEEDED


def test_classify_says_what_to_call_instead(server):
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "ranker"
    with grpc.insecure_channel(server.address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Classify(request, timeout=10)
    assert caught.value.code() == Code.INVALID_ARGUMENT
    assert "Call Predict instead" in caught.value.details()


def test_metadata_lists_the_signatures(server):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "ranker"
    with grpc.insecure_channel(server.address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        response = stub.GetModelMetadata(request, timeout=10)
        found = get_model_metadata_pb2.SignatureDefMap()
        assert response.metadata["signature_def"].Unpack(found)
        assert set(found.signature_def) == set(SIGNATURES)
        assert found.signature_def["rank_indexed"].inputs["query"].dtype == tf.int32.as_datatype_enum
        for fields in ([], ["weights"]):
            request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
            request.model_spec.name = "ranker"
            with pytest.raises(grpc.RpcError) as caught:
                stub.GetModelMetadata(request, timeout=10)
            assert caught.value.code() == Code.INVALID_ARGUMENT


def test_status_and_health(server, client):
    assert client.model_states() == {5: 30}
    with grpc.insecure_channel(server.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", "tensorflow.serving.PredictionService"):
            response = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
            assert response.status == health_pb2.HealthCheckResponse.SERVING


def test_nobody_listens():
    with Client("127.0.0.1:1", timeout_s=2.0, backoff_s=0.01) as client, pytest.raises(ServingError) as caught:
        client.predict(inputs(), "rank_indexed")
    assert caught.value.code == Code.UNAVAILABLE
    with Client("127.0.0.1:1") as client, pytest.raises(ServingError, match="no server answers at"):
        client.wait_until_ready(0.2)


@pytest.mark.parametrize(("code", "calls"), [(Code.UNAVAILABLE, 3), (Code.RESOURCE_EXHAUSTED, 1), (Code.INTERNAL, 1)])
def test_only_unavailable_is_tried_again(code, calls):
    class Failure(grpc.RpcError):
        def code(self):
            return code

        def details(self):
            return "made up"

    made = []

    def failing(request, timeout):
        made.append(timeout)
        raise Failure

    with Client("127.0.0.1:1", backoff_s=0.001) as client:
        client._predict = failing
        with pytest.raises(ServingError, match="made up"):
            client.predict({}, timeout_s=5.0)
    assert len(made) == calls
    assert made == sorted(made, reverse=True), "every attempt lives within one deadline"
