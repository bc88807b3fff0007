"""PredictionService and ModelService over the loaded models, with TF Serving's status codes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving import codec, validation
from serving.errors import CallError, invalid
from serving.model_manager import ModelManager

METADATA_FIELD = "signature_def"
R = TypeVar("R")


def _answering(method: Callable[[Any, Any], R]) -> Callable[[Any, Any, grpc.ServicerContext], R]:
    """Makes a gRPC handler of a method: CallError becomes the call's status, an expired call is not begun."""

    @functools.wraps(method)
    def handler(self: Any, request: Any, context: grpc.ServicerContext) -> R:
        remaining = context.time_remaining()
        if remaining is not None and remaining <= 0:
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the call was begun.")
        try:
            return method(self, request)
        except CallError as error:
            context.abort(error.code, error.message)
            raise AssertionError("abort() raises") from error

    return handler


class PredictionServicer(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata. The rankers have no classify or regress signatures, and the calls say so."""

    def __init__(self, models: ModelManager, max_columns: Mapping[str, int]) -> None:
        """Answers with the versions that `models` holds.

        Args:
          models: the loaded models.
          max_columns: input name -> most columns of a row.
        """
        self._models = models
        self._max_columns = max_columns

    @_answering
    def Predict(self, request: Any) -> Any:
        """Runs a signature: PredictRequest -> PredictResponse."""
        with self._models.lease(request.model_spec) as model:
            name = validation.signature_name(request, model.signatures)
            signature = model.signatures[name]
            outputs = validation.outputs(request, signature)
            arrays = model.run(name, validation.inputs(request, signature, self._max_columns), outputs)
            version = model.version
        response = predict_pb2.PredictResponse()
        _describe(response.model_spec, request.model_spec.name, version, name)
        for output, array in zip(outputs, arrays):
            codec.encode(array, response.outputs[output])
        return response

    @_answering
    def GetModelMetadata(self, request: Any) -> Any:
        """The SignatureDefs of a version: GetModelMetadataRequest -> GetModelMetadataResponse."""
        if not request.metadata_field:
            raise invalid(f"GetModelMetadataRequest must ask for at least one metadata_field ({METADATA_FIELD}).")
        for field in request.metadata_field:
            if field != METADATA_FIELD:
                raise invalid(f"Metadata field {field} is not supported; only {METADATA_FIELD} is.")
        found = get_model_metadata_pb2.SignatureDefMap()
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        with self._models.lease(request.model_spec) as model:
            for name, signature in model.signatures.items():
                found.signature_def[name].CopyFrom(signature)
            _describe(response.model_spec, request.model_spec.name, model.version, "")
        response.metadata[METADATA_FIELD].Pack(found)
        return response

    @_answering
    def Classify(self, request: Any) -> Any:
        """Refuses: no signature here is of the classify kind."""
        raise self._wrong_method(request.model_spec, "tensorflow/serving/classify")

    @_answering
    def Regress(self, request: Any) -> Any:
        """Refuses: no signature here is of the regress kind."""
        raise self._wrong_method(request.model_spec, "tensorflow/serving/regress")

    @_answering
    def MultiInference(self, request: Any) -> Any:
        """Refuses: it is made of classify and regress calls."""
        if not request.tasks:
            raise invalid("Inference request with zero tasks.")
        raise self._wrong_method(request.tasks[0].model_spec, request.tasks[0].method_name)

    def _wrong_method(self, spec: Any, wanted: str) -> CallError:
        """The refusal of a call that needs another kind of signature; wrong models are named first."""
        with self._models.lease(spec) as model:
            name = spec.signature_name or validation.DEFAULT_SIGNATURE
            if name not in model.signatures:
                return invalid(f"No signature was found for key {name}.")
            found = model.signatures[name].method_name
        return invalid(f'Expected signature "{name}" to be {wanted}; it is {found}. Call Predict instead.')


class ModelServicer(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus."""

    def __init__(self, models: ModelManager) -> None:
        self._models = models

    @_answering
    def GetModelStatus(self, request: Any) -> Any:
        """States of a model's versions: GetModelStatusRequest -> GetModelStatusResponse."""
        response = get_model_status_pb2.GetModelStatusResponse()
        for version, state, error in self._models.states(request.model_spec):
            row = response.model_version_status.add(version=version, state=int(state))
            if error is None:
                row.status.error_code = 0
            else:
                row.status.error_code = error.code.value[0]
                row.status.error_message = error.message
        return response

    @_answering
    def HandleReloadConfigRequest(self, request: Any) -> Any:
        """Refuses: the models of this server are those it was started with."""
        raise CallError(
            grpc.StatusCode.UNIMPLEMENTED,
            "this server serves the models it was started with; new versions of them are found by polling.",
        )


def _describe(spec: Any, name: str, version: int, signature: str) -> None:
    spec.name = name
    spec.version.value = version
    spec.signature_name = signature
