"""DatasetSchema, in place of TFX's ImportSchemaGen where containers do not see the machine that compiles."""

from __future__ import annotations

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.dataset_schema.executor import Executor


class DatasetSchemaSpec(ComponentSpec):
    """Parameter: `schema`, a text proto. Output: `schema_file` (a spec's names are distinct)."""

    PARAMETERS = {"schema": ExecutionParameter(type=str)}
    INPUTS: dict[str, ChannelParameter] = {}
    OUTPUTS = {"schema_file": ChannelParameter(type=standard_artifacts.Schema)}


class DatasetSchema(base_component.BaseComponent):
    """The schema travels as a parameter, so that neither a file nor a bucket is needed to hand it over."""

    SPEC_CLASS = DatasetSchemaSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, schema: schema_pb2.Schema) -> None:
        """Args:
        schema: of raw examples.
        """
        super().__init__(
            spec=DatasetSchemaSpec(
                schema=text_format.MessageToString(schema), schema_file=types.Channel(type=standard_artifacts.Schema)
            )
        )
