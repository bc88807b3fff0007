"""TensorFlow Serving's public protos as one descriptor set, for clients in other languages.

    python -m serving.descriptors serving.bin

The .proto files are not in the tensorflow-serving-api wheel, but what protoc made of them is. The set is what `protoc
--include_imports --descriptor_set_out` would write: gRPC for Node loads it as it is, and `protoc --descriptor_set_in`
generates code from it for any other language.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool

_SERVICES = ("prediction_service", "model_service")


def descriptor_set() -> descriptor_pb2.FileDescriptorSet:
    """PredictionService, ModelService and every file that they import, the imported ones first.

    Imports TensorFlow, whose messages are among them.

    Raises:
      ImportError: the installed tensorflow-serving-api does not go with the installed TensorFlow.
    """
    import seminar_tf  # noqa: F401  (settles Keras 2 before TensorFlow loads)

    found: dict[str, Any] = {}

    def add(file: Any) -> None:
        for dependency in file.dependencies:
            if dependency.name not in found:
                add(dependency)
        found[file.name] = file

    for name in _SERVICES:
        add(_service_file(name))
    result = descriptor_pb2.FileDescriptorSet()
    for file in found.values():
        file.CopyToProto(result.file.add())
    return result


def _service_file(name: str) -> Any:
    """The descriptor of one of the wheel's two service files.

    Their modules come from a protoc so old that protobuf 4 and later fail at the last lines, with AttributeError. By
    then the descriptor stands in the pool.
    """
    failure: AttributeError | None = None
    try:
        importlib.import_module(f"tensorflow_serving.apis.{name}_pb2")
    except AttributeError as error:
        failure = error
    try:
        return descriptor_pool.Default().FindFileByName(f"tensorflow_serving/apis/{name}.proto")
    except KeyError:
        raise ImportError(f"tensorflow_serving.apis.{name}_pb2 cannot be read: {failure}.") from failure


def main() -> None:
    """Writes the set to the file that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the file to write")
    parser.parse_args().out.write_bytes(descriptor_set().SerializeToString())


if __name__ == "__main__":
    main()
