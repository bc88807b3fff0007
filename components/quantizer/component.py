"""Quantizer, between the Trainer and the Evaluator."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.quantizer.artifacts import Codebook
from components.quantizer.executor import Executor
from seminar_tf.config import PipelineConfig
from seminar_tf.config_io import to_json


class QuantizerSpec(ComponentSpec):
    """Parameters: `config` and `code`. Inputs: `model`, `transform_graph`. Outputs: `served_model`, `codebook`."""

    PARAMETERS = {"config": ExecutionParameter(type=str), "code": ExecutionParameter(type=str)}
    INPUTS = {
        "model": ChannelParameter(type=standard_artifacts.Model),
        "transform_graph": ChannelParameter(type=standard_artifacts.TransformGraph),
    }
    OUTPUTS = {
        "served_model": ChannelParameter(type=standard_artifacts.Model),
        "codebook": ChannelParameter(type=Codebook),
    }


class Quantizer(base_component.BaseComponent):
    """Makes the model that is served out of the model that was trained.

    `retrieval.tables` says what it holds: `codes` fits codebooks on the vectors of the catalog and of the known
    queries, which are the model's own tables, never on a user's history (known fault 9).
    """

    SPEC_CLASS = QuantizerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self, model: types.BaseChannel, transform_graph: types.BaseChannel, config: PipelineConfig, code: str = ""
    ) -> None:
        """Args:
        model: what the SEMINAR Trainer wrote.
        transform_graph: whose vocabularies the model was trained with.
        config: sections features, model, evaluation, retrieval and serving are used.
        code: fingerprint of the code that this component runs.
        """
        super().__init__(
            spec=QuantizerSpec(
                model=model,
                transform_graph=transform_graph,
                config=to_json(config),
                code=code,
                served_model=types.Channel(type=standard_artifacts.Model),
                codebook=types.Channel(type=Codebook),
            )
        )
