"""PredictionService and ModelService over the loaded models, with TF Serving's status codes."""

from __future__ import annotations

from typing import Any

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from serving import codec, model_config, validation
from serving.call import Call
from serving.config_files import ConfigError
from serving.errors import CallError, invalid
from serving.handlers import Method
from serving.metrics import Metrics
from serving.model_manager import ModelManager
from serving.options import ServerOptions

METADATA_FIELD = "signature_def"
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


class PredictionService:
    """Predict and GetModelMetadata. The rankers have no classify or regress signatures, and the calls say so."""

    NAME = "tensorflow.serving.PredictionService"

    def __init__(self, models: ModelManager, options: ServerOptions) -> None:
        """Answers with the versions that `models` holds, within the limits of `options`."""
        self._models = models
        self._options = options

    def methods(self) -> dict[str, Method]:
        """The service's methods."""
        return {
            "Predict": Method(predict_pb2.PredictRequest, self.predict, queued=True),
            "GetModelMetadata": Method(get_model_metadata_pb2.GetModelMetadataRequest, self.metadata),
            "Classify": Method(classification_pb2.ClassificationRequest, self.classify),
            "Regress": Method(regression_pb2.RegressionRequest, self.regress),
            "MultiInference": Method(inference_pb2.MultiInferenceRequest, self.multi_inference),
        }

    def predict(self, request: Any, call: Call) -> Any:
        """Runs a signature: PredictRequest -> PredictResponse."""
        with self._models.lease(request.model_spec) as model:
            call.model, call.version = model.name, model.version
            name = validation.signature_name(request, model.signatures)
            call.signature = name
            signature = model.signatures[name]
            outputs = validation.outputs(request, signature)
            inputs = validation.inputs(request, signature, self._options)
            call.mark("decode")
            call.check_wanted()
            # All outputs, whatever the filter: TensorFlow prepares each set of outputs anew, in the time of the first
            # call that asks for it, and keeps it for good.
            names = tuple(sorted(signature.outputs))
            arrays = dict(zip(names, model.run(name, inputs, names)))
            call.mark("run")
        response = predict_pb2.PredictResponse()
        _describe(response.model_spec, call.model, model.version, name)
        for output in outputs:
            codec.encode(arrays[output], response.outputs[output])
        return response

    def metadata(self, request: Any, call: Call) -> Any:
        """The SignatureDefs of a version: GetModelMetadataRequest -> GetModelMetadataResponse."""
        if not request.metadata_field:
            raise invalid(f"GetModelMetadataRequest must ask for at least one metadata_field ({METADATA_FIELD}).")
        for field in request.metadata_field:
            if field != METADATA_FIELD:
                raise invalid(f"Metadata field {field} is not supported; only {METADATA_FIELD} is.")
        found = get_model_metadata_pb2.SignatureDefMap()
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        with self._models.lease(request.model_spec) as model:
            call.model, call.version = model.name, model.version
            for name, signature in model.signatures.items():
                found.signature_def[name].CopyFrom(signature)
            _describe(response.model_spec, model.name, model.version, "")
        response.metadata[METADATA_FIELD].Pack(found)
        return response

    def classify(self, request: Any, call: Call) -> Any:
        """Refuses: no signature here is of the classify kind."""
        raise self._wrong_method(request.model_spec, CLASSIFY, call)

    def regress(self, request: Any, call: Call) -> Any:
        """Refuses: no signature here is of the regress kind."""
        raise self._wrong_method(request.model_spec, REGRESS, call)

    def multi_inference(self, request: Any, call: Call) -> Any:
        """Refuses: it is made of classify and regress calls."""
        if not request.tasks:
            raise invalid("Inference request with zero tasks.")
        names = {task.model_spec.name for task in request.tasks}
        if len(names) > 1:
            raise invalid("All tasks of a MultiInferenceRequest must name the same model.")
        task = request.tasks[0]
        if task.method_name not in (CLASSIFY, REGRESS):
            with self._models.lease(task.model_spec) as model:
                call.model, call.version = model.name, model.version
            raise CallError(
                grpc.StatusCode.UNIMPLEMENTED,
                f'Unsupported signature method_name: "{task.method_name}". Tasks are {CLASSIFY} or {REGRESS}.',
            )
        raise self._wrong_method(task.model_spec, task.method_name, call)

    def _wrong_method(self, spec: Any, wanted: str, call: Call) -> CallError:
        """The refusal of a call that needs another kind of signature; wrong models are named first."""
        with self._models.lease(spec) as model:
            call.model, call.version = model.name, model.version
            name = spec.signature_name or validation.DEFAULT_SIGNATURE
            if name not in model.signatures:
                return invalid(f"No signature was found for key {name}.")
            found = model.signatures[name].method_name
        return invalid(f'Expected signature "{name}" to be {wanted}; it is {found}. Call Predict instead.')


class ModelService:
    """GetModelStatus, and other models while running."""

    NAME = "tensorflow.serving.ModelService"

    def __init__(self, models: ModelManager, metrics: Metrics) -> None:
        self._models = models
        self._metrics = metrics

    def methods(self) -> dict[str, Method]:
        """The service's methods."""
        return {
            "GetModelStatus": Method(get_model_status_pb2.GetModelStatusRequest, self.status),
            "HandleReloadConfigRequest": Method(model_management_pb2.ReloadConfigRequest, self.reload),
        }

    def status(self, request: Any, call: Call) -> Any:
        """States of a model's versions: GetModelStatusRequest -> GetModelStatusResponse."""
        response = get_model_status_pb2.GetModelStatusResponse()
        for version, state, error in self._models.states(request.model_spec):
            row = response.model_version_status.add(version=version, state=int(state))
            if error is None:
                row.status.error_code = 0
            else:
                row.status.error_code = error.code.value[0]
                row.status.error_message = error.message
        call.model = request.model_spec.name
        return response

    def reload(self, request: Any, call: Call) -> Any:
        """Serves the models of a configuration instead: ReloadConfigRequest -> ReloadConfigResponse.

        It answers when new models are up, as the real server does.
        """
        code = grpc.StatusCode.OK
        try:
            self._models.reconfigure(model_config.sources(request.config))
        except ConfigError as error:
            code = grpc.StatusCode.INVALID_ARGUMENT
            raise CallError(code, str(error)) from error
        except CallError as error:
            code = error.code
            raise
        finally:
            self._metrics.config_reloads.labels(code.name).inc()
        return model_management_pb2.ReloadConfigResponse()


def _describe(spec: Any, name: str, version: int, signature: str) -> None:
    spec.name = name
    spec.version.value = version
    spec.signature_name = signature
