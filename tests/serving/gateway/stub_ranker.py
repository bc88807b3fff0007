"""A server of Predict that says what a test wants, without TensorFlow: for failures that a real one does not have."""

from __future__ import annotations

import threading
from concurrent import futures

import grpc
import numpy as np
import pytest

from seminar_tf.features import names
from serving import codec, protos
from serving.client import ServingError


def by_name(inputs):
    """Scores that stand in the candidates' names, such as `a:0.5`."""
    row = inputs[names.CANDIDATE_ITEM_ID]
    scores = [[float(item.partition(b":")[2] or 0.0) for item in items] for items in row]
    return {"score_click": np.array(scores, np.float32).reshape(row.shape)}


class StubRanker:
    """Attributes:
    answer: inputs -> outputs; may raise grpc.StatusCode's name by `Refusal`.
    requests: inputs of each call so far.
    deadlines: seconds that each call had left.
    """

    def __init__(self) -> None:
        self.answer = by_name
        self.requests = []
        self.deadlines = []
        self.waiting = threading.Event()
        self._grpc = grpc.server(futures.ThreadPoolExecutor(4), options=(("grpc.so_reuseport", 0),))
        service, method = protos.PREDICT.strip("/").split("/")
        handlers = {method: grpc.unary_unary_rpc_method_handler(self._predict)}
        self._grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        self.address = f"127.0.0.1:{self._grpc.add_insecure_port('127.0.0.1:0')}"
        self._grpc.start()

    def reset(self) -> None:
        self.answer = by_name
        self.requests.clear()
        self.deadlines.clear()
        self.waiting.clear()

    def stop(self) -> None:
        self._grpc.stop(None).wait()

    def _predict(self, raw, context):
        request = protos.PredictRequest.FromString(raw)
        inputs = {name: codec.decode(tensor) for name, tensor in request.inputs.items()}
        self.requests.append(inputs)
        self.deadlines.append(context.time_remaining())
        try:
            outputs = self.answer(inputs)
        except Refusal as error:
            context.abort(error.code, error.message)
        response = protos.PredictResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = 7
        for name, array in outputs.items():
            codec.encode(array, response.outputs[name])
        return response.SerializeToString()


class Refusal(Exception):
    def __init__(self, code, message="made up"):
        super().__init__(message)
        self.code = code
        self.message = message


def refused(call, *args, **kwargs):
    with pytest.raises(ServingError) as caught:
        call(*args, **kwargs)
    return caught.value
