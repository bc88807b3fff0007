"""The executor of DatasetSchema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

# The name that TFX's own components look for.
SCHEMA_FILE = "schema.pbtxt"


class Executor(base_executor.BaseExecutor):
    """Writes the text proto that it is given."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See DatasetSchema.

        Raises:
          google.protobuf.text_format.ParseError: `schema` is no text proto of a Schema.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        text = exec_properties["schema"]
        text_format.Parse(text, schema_pb2.Schema())
        folder = Path(artifact_utils.get_single_uri(output_dict["schema_file"]))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SCHEMA_FILE).write_text(text, encoding="utf-8")
