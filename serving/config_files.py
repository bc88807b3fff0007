"""Configuration files in the real server's text formats: read as strictly as it does, or refused with file and line.

tensorflow-serving-api brings the messages of models.config, but not those of ssl.config, monitoring.config and
batching.config: these have the names, numbers and types of the public .proto files. Needs protobuf, nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import text_format

from serving.protos import build

_PACKAGE = "tensorflow.serving"
_CLASSES = build(
    {
        f"{_PACKAGE}.SSLConfig": (
            (1, "server_key", "string"),
            (2, "server_cert", "string"),
            (3, "custom_ca", "string"),
            (4, "client_verify", "bool"),
        ),
        f"{_PACKAGE}.PrometheusConfig": ((1, "enable", "bool"), (2, "path", "string")),
        f"{_PACKAGE}.MonitoringConfig": ((1, "prometheus_config", f"{_PACKAGE}.PrometheusConfig"),),
        f"{_PACKAGE}.Int64Value": ((1, "value", "int64"),),
        f"{_PACKAGE}.StringValue": ((1, "value", "string"),),
        f"{_PACKAGE}.BatchingParameters": (
            (1, "max_batch_size", f"{_PACKAGE}.Int64Value"),
            (2, "batch_timeout_micros", f"{_PACKAGE}.Int64Value"),
            (3, "max_enqueued_batches", f"{_PACKAGE}.Int64Value"),
            (4, "num_batch_threads", f"{_PACKAGE}.Int64Value"),
            (5, "thread_pool_name", f"{_PACKAGE}.StringValue"),
            (6, "allowed_batch_sizes", "*int64"),
            (7, "pad_variable_length_inputs", "bool"),
        ),
    }
)
SSLConfig: Any = _CLASSES[f"{_PACKAGE}.SSLConfig"]
MonitoringConfig: Any = _CLASSES[f"{_PACKAGE}.MonitoringConfig"]
BatchingParameters: Any = _CLASSES[f"{_PACKAGE}.BatchingParameters"]


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
