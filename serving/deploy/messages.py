"""Messages of the real server's text files that no Python package carries: batching, monitoring and TLS.

tensorflow-serving-api has ModelServerConfig only. These classes have the names, numbers and types of the public .proto
files and live in a pool of their own, so they never clash with another definition. They need protobuf, nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "tensorflow.serving"
# Message -> (number, name, type) of its fields; "*" marks a repeated one, a capital a message.
_MESSAGES: dict[str, tuple[tuple[int, str, str], ...]] = {
    "Int64Value": ((1, "value", "int64"),),
    "StringValue": ((1, "value", "string"),),
    "BatchingParameters": (
        (1, "max_batch_size", "Int64Value"),
        (2, "batch_timeout_micros", "Int64Value"),
        (3, "max_enqueued_batches", "Int64Value"),
        (4, "num_batch_threads", "Int64Value"),
        (5, "thread_pool_name", "StringValue"),
        (6, "allowed_batch_sizes", "*int64"),
        (7, "pad_variable_length_inputs", "bool"),
    ),
    "PrometheusConfig": ((1, "enable", "bool"), (2, "path", "string")),
    "MonitoringConfig": ((1, "prometheus_config", "PrometheusConfig"),),
    "SSLConfig": (
        (1, "server_key", "string"),
        (2, "server_cert", "string"),
        (3, "custom_ca", "string"),
        (4, "client_verify", "bool"),
    ),
}
_SCALARS = {"bool": _Field.TYPE_BOOL, "int64": _Field.TYPE_INT64, "string": _Field.TYPE_STRING}


def _build() -> dict[str, Any]:
    """One message class a name."""
    file = descriptor_pb2.FileDescriptorProto(name="seminar/server_files.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, field_name, kind in fields:
            value = kind.removeprefix("*")
            field = message.field.add(name=field_name, number=number, label=_Field.LABEL_OPTIONAL)
            if kind != value:
                field.label = _Field.LABEL_REPEATED
            if value in _SCALARS:
                field.type = _SCALARS[value]
            else:
                field.type, field.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{value}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    found = {name: pool.FindMessageTypeByName(f"{_PACKAGE}.{name}") for name in _MESSAGES}
    if hasattr(message_factory, "GetMessageClass"):
        return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in found.items()}
    factory = message_factory.MessageFactory(pool)  # protobuf 3.20
    return {name: factory.GetPrototype(descriptor) for name, descriptor in found.items()}


_CLASSES = _build()
BatchingParameters: Any = _CLASSES["BatchingParameters"]
MonitoringConfig: Any = _CLASSES["MonitoringConfig"]
SSLConfig: Any = _CLASSES["SSLConfig"]


class ConfigError(ValueError):
    """A text file that is not what it should be; the message names file, line and field."""


def read(path: str | Path, message: Any) -> Any:
    """Parses a text proto as strictly as the real server, which refuses unknown fields.

    Args:
      path: the file.
      message: an empty message of the type that the file should hold; filled in place.

    Returns:
      `message`.

    Raises:
      ConfigError: no such file, bytes that are not UTF-8, or not a text proto of this type.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as text: {error}.") from error
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        kind = message.DESCRIPTOR.full_name
        raise ConfigError(f"{path} is no text proto of {kind}: {error}. See docs/deployment.md.") from error
