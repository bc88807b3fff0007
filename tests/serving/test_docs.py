"""The request of docs/serving.md runs as it is printed, and its tables are those of the exported signatures."""

from __future__ import annotations

import re
from pathlib import Path

import grpc
import numpy as np
import pytest

from seminar_tf.export import inputs

import tensorflow as tf  # isort: skip
from tensorflow_serving.apis import get_model_metadata_pb2, prediction_service_pb2_grpc

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
KINDS = {"string": np.object_, "int32": np.int32, "int64": np.int64}


def table(header):
    """Cells of each row of the table with a header, without back quotes."""
    rows = PAGE.split(header + "\n")[1].split("\n\n")[0].splitlines()[1:]
    return [[cell.strip().strip("`") for cell in row.strip("| ").split(" | ")] for row in rows]


def given(dtype, shape):
    return inputs.Input(KINDS[dtype], tuple(shape.strip("[]").split(", ")))


@pytest.fixture(scope="module")
def exported_signatures(server):
    """Signature name -> SignatureDef, as the server tells them."""
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "ranker"
    found = get_model_metadata_pb2.SignatureDefMap()
    with grpc.insecure_channel(server.address) as channel:
        response = prediction_service_pb2_grpc.PredictionServiceStub(channel).GetModelMetadata(request, timeout=60)
    assert response.metadata["signature_def"].Unpack(found)
    return found.signature_def


def test_the_example_runs(server, capsys):
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL).group(1)
    assert "127.0.0.1:8500" in code
    exec(compile(code.replace("127.0.0.1:8500", server.address), "docs/serving.md", "exec"), {})
    assert re.match(r"\[[\d. e-]+\] 5 ", capsys.readouterr().out)


def test_every_signature_is_listed(exported_signatures):
    assert (
        {row[0] for row in table("| signature | takes | gives |")} == set(exported_signatures) == set(inputs.SIGNATURES)
    )


def test_the_table_of_requests_lists_the_inputs():
    rows = table("| input | `serving_default` | `rank_indexed` | shape | meaning |")
    for column, spec in ((1, inputs.RAW), (2, inputs.INDEXED)):
        assert {row[0]: given(row[column], row[3]) for row in rows if row[column] != "-"} == spec


def test_the_table_of_other_inputs_lists_them():
    found = {}
    for signature, name, dtype, shape, _ in table("| signature | other inputs | dtype | shape | meaning |"):
        found.setdefault(signature, {})[name] = given(dtype, shape)
    assert found == {name: inputs.SIGNATURES[name] for name in ("examples", "embed_items")}


def test_the_features_of_an_example_are_the_inputs():
    kinds = {"bytes_list": np.object_, "int64_list": np.int64}
    rows = table("| feature | kind | values | if it is missing or empty |")
    assert {row[0]: kinds[row[1]] for row in rows} == {name: spec.dtype for name, spec in inputs.RAW.items()}


def test_the_table_of_outputs_lists_them(exported_signatures):
    scores, *rows = table("| output | of | dtype | shape | meaning |")
    assert scores[0].startswith("score_<task>")
    documented = {(of, name): (dtype, len(shape.split(", "))) for name, of, dtype, shape, _ in rows}
    for signature in ("serving_default", "rank_indexed", "rank_indexed_xla", "examples"):
        for task in ("click", "like"):
            documented[signature, f"score_{task}"] = (scores[2], len(scores[3].split(", ")))
    assert documented == {
        (signature, name): (tf.as_dtype(info.dtype).name, len(info.tensor_shape.dim))
        for signature, definition in exported_signatures.items()
        for name, info in definition.outputs.items()
    }
