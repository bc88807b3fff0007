"""The messages of PredictionService and ModelService that a client needs, without TensorFlow.

`tensorflow_serving.apis.predict_pb2` imports `tensorflow.core.framework`, and with it all of TensorFlow: ten seconds
and 400 MB for a client that only fills in a form. These classes are built from descriptors in a pool of their own (so
they never clash with TensorFlow's, should it be loaded too) and have the same fields and numbers, hence the same bytes
on the wire. Enums are plain int32 here, which is what they are on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PREDICT = "/tensorflow.serving.PredictionService/Predict"
GET_MODEL_METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
GET_MODEL_STATUS = "/tensorflow.serving.ModelService/GetModelStatus"

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
    "double": _Field.TYPE_DOUBLE,
    "float": _Field.TYPE_FLOAT,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
}

# Message -> fields (number, name, type). "*" marks a repeated field, "{}" a map from string; a dotted type a message.
_MESSAGES: dict[str, tuple[tuple[int, str, str], ...]] = {
    "google.protobuf.Int64Value": ((1, "value", "int64"),),
    "google.protobuf.Any": ((1, "type_url", "string"), (2, "value", "bytes")),
    "tensorflow.Dim": ((1, "size", "int64"), (2, "name", "string")),
    "tensorflow.TensorShapeProto": ((2, "dim", "*tensorflow.Dim"), (3, "unknown_rank", "bool")),
    "tensorflow.TensorProto": (
        (1, "dtype", "int32"),
        (2, "tensor_shape", "tensorflow.TensorShapeProto"),
        (3, "version_number", "int32"),
        (4, "tensor_content", "bytes"),
        (5, "float_val", "*float"),
        (6, "double_val", "*double"),
        (7, "int_val", "*int32"),
        (8, "string_val", "*bytes"),
        (10, "int64_val", "*int64"),
        (11, "bool_val", "*bool"),
        (13, "half_val", "*int32"),
        (16, "uint32_val", "*uint32"),
        (17, "uint64_val", "*uint64"),
    ),
    # Its other fields tell of sparse tensors, which no signature here takes.
    "tensorflow.TensorInfo": (
        (1, "name", "string"),
        (2, "dtype", "int32"),
        (3, "tensor_shape", "tensorflow.TensorShapeProto"),
    ),
    "tensorflow.SignatureDef": (
        (1, "inputs", "{}tensorflow.TensorInfo"),
        (2, "outputs", "{}tensorflow.TensorInfo"),
        (3, "method_name", "string"),
    ),
    "tensorflow.serving.ModelSpec": (
        (1, "name", "string"),
        (2, "version", "google.protobuf.Int64Value"),
        (3, "signature_name", "string"),
        (4, "version_label", "string"),
    ),
    "tensorflow.serving.PredictRequest": (
        (1, "model_spec", "tensorflow.serving.ModelSpec"),
        (2, "inputs", "{}tensorflow.TensorProto"),
        (3, "output_filter", "*string"),
    ),
    "tensorflow.serving.PredictResponse": (
        (1, "outputs", "{}tensorflow.TensorProto"),
        (2, "model_spec", "tensorflow.serving.ModelSpec"),
    ),
    "tensorflow.serving.StatusProto": ((1, "error_code", "int32"), (2, "error_message", "string")),
    "tensorflow.serving.ModelVersionStatus": (
        (1, "version", "int64"),
        (2, "state", "int32"),
        (3, "status", "tensorflow.serving.StatusProto"),
    ),
    "tensorflow.serving.GetModelStatusRequest": ((1, "model_spec", "tensorflow.serving.ModelSpec"),),
    "tensorflow.serving.GetModelStatusResponse": (
        (1, "model_version_status", "*tensorflow.serving.ModelVersionStatus"),
    ),
    "tensorflow.serving.GetModelMetadataRequest": (
        (1, "model_spec", "tensorflow.serving.ModelSpec"),
        (2, "metadata_field", "*string"),
    ),
    "tensorflow.serving.SignatureDefMap": ((1, "signature_def", "{}tensorflow.SignatureDef"),),
    "tensorflow.serving.GetModelMetadataResponse": (
        (1, "model_spec", "tensorflow.serving.ModelSpec"),
        (2, "metadata", "{}google.protobuf.Any"),
    ),
}


def _fill(message: Any, full_name: str, fields: tuple[tuple[int, str, str], ...]) -> None:
    """Describes one message in a DescriptorProto."""
    message.name = full_name.rpartition(".")[2]
    for number, name, kind in fields:
        field = message.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
        value = kind.removeprefix("*").removeprefix("{}")
        if kind.startswith("{}"):
            entry = message.nested_type.add()
            entry_name = "".join(part.capitalize() for part in name.split("_")) + "Entry"
            _fill(entry, entry_name, ((1, "key", "string"), (2, "value", value)))
            entry.options.map_entry = True
            value = f"{full_name}.{entry_name}"
        if kind != value or kind.startswith("*"):
            field.label = _Field.LABEL_REPEATED
        if "." in value:
            field.type, field.type_name = _Field.TYPE_MESSAGE, "." + value
        else:
            field.type = _SCALARS[value]


def build(messages: Mapping[str, tuple[tuple[int, str, str], ...]]) -> dict[str, Any]:
    """One message class a full name, from a table like `_MESSAGES`; messages of a package stand together in it."""
    pool = descriptor_pool.DescriptorPool()
    packages: dict[str, Any] = {}
    for full_name, fields in messages.items():
        package = full_name.rpartition(".")[0]
        if package not in packages:
            file = descriptor_pb2.FileDescriptorProto(name=f"seminar/{package}.proto", package=package, syntax="proto3")
            file.dependency.extend(f"seminar/{earlier}.proto" for earlier in packages)
            packages[package] = file
        _fill(packages[package].message_type.add(), full_name, fields)
    for file in packages.values():
        pool.AddSerializedFile(file.SerializeToString())
    descriptors = {name: pool.FindMessageTypeByName(name) for name in messages}
    if hasattr(message_factory, "GetMessageClass"):
        return {name: message_factory.GetMessageClass(found) for name, found in descriptors.items()}
    factory = message_factory.MessageFactory(pool)  # protobuf 3.20
    return {name: factory.GetPrototype(found) for name, found in descriptors.items()}


_CLASSES = build(_MESSAGES)
TensorProto: Any = _CLASSES["tensorflow.TensorProto"]
PredictRequest: Any = _CLASSES["tensorflow.serving.PredictRequest"]
PredictResponse: Any = _CLASSES["tensorflow.serving.PredictResponse"]
GetModelStatusRequest: Any = _CLASSES["tensorflow.serving.GetModelStatusRequest"]
GetModelStatusResponse: Any = _CLASSES["tensorflow.serving.GetModelStatusResponse"]
GetModelMetadataRequest: Any = _CLASSES["tensorflow.serving.GetModelMetadataRequest"]
GetModelMetadataResponse: Any = _CLASSES["tensorflow.serving.GetModelMetadataResponse"]
SignatureDefMap: Any = _CLASSES["tensorflow.serving.SignatureDefMap"]
