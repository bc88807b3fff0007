"""Configuration files in the real server's text formats: read, or refused with file, line and field.

tensorflow-serving-api brings the messages of models.config, but not those of ssl.config and monitoring.config. These
are described here, field by field, in a pool of their own, so that a package that does bring them never clashes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "tensorflow.serving"
_MESSAGES: dict[str, tuple[tuple[int, str, str], ...]] = {
    "SSLConfig": (
        (1, "server_key", "string"),
        (2, "server_cert", "string"),
        (3, "custom_ca", "string"),
        (4, "client_verify", "bool"),
    ),
    "PrometheusConfig": ((1, "enable", "bool"), (2, "path", "string")),
    "MonitoringConfig": ((1, "prometheus_config", "PrometheusConfig"),),
}
_SCALARS = {"string": _Field.TYPE_STRING, "bool": _Field.TYPE_BOOL}


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the file, the field, and what is expected."""


def read(path: str | Path, message: Any) -> Any:
    """Fills a message from a text proto file.

    Args:
      path: the file.
      message: an empty message of the expected type.

    Returns:
      The message.

    Raises:
      ConfigError: the file cannot be read, or holds no such message; with the line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}).") from error
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        name = message.DESCRIPTOR.full_name
        # The error says "line:column : what" itself, which editors take to the place.
        raise ConfigError(f"{path}:{error} (expected a text proto of {name}).") from error


def _build() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto(name="seminar/server_config.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, field_name, kind in fields:
            field = message.field.add(name=field_name, number=number, label=_Field.LABEL_OPTIONAL)
            if kind in _SCALARS:
                field.type = _SCALARS[kind]
            else:
                field.type, field.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    pool.AddSerializedFile(file.SerializeToString())
    found = {name: pool.FindMessageTypeByName(f"{_PACKAGE}.{name}") for name in _MESSAGES}
    if hasattr(message_factory, "GetMessageClass"):
        return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in found.items()}
    factory = message_factory.MessageFactory(pool)  # protobuf 3.20
    return {name: factory.GetPrototype(descriptor) for name, descriptor in found.items()}


_CLASSES = _build()
SSLConfig: Any = _CLASSES["SSLConfig"]
MonitoringConfig: Any = _CLASSES["MonitoringConfig"]
