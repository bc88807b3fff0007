"""Settings as they travel from the pipeline to the executor: JSON in TFX's custom config."""

from __future__ import annotations

from google.protobuf import json_format, wrappers_pb2
from tfx.proto import example_gen_pb2

from components.behavior_example_gen.settings import IngestSettings
from seminar_tf.config_io import from_json, to_json


def pack(settings: IngestSettings) -> example_gen_pb2.CustomConfig:
    """Settings as the proto that a FileBasedExampleGen takes."""
    config = example_gen_pb2.CustomConfig()
    config.custom_config.Pack(wrappers_pb2.StringValue(value=to_json(settings)))
    return config


def unpack(custom_config: str) -> IngestSettings:
    """Settings from the execution property, the JSON form of what `pack` made."""
    config = json_format.Parse(custom_config, example_gen_pb2.CustomConfig())
    value = wrappers_pb2.StringValue()
    config.custom_config.Unpack(value)
    return from_json(IngestSettings, value.value)
