"""The exported model in a C++ session: every signature loads and runs without Python, and answers as it does in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from seminar_tf.config import RetrievalConfig
from seminar_tf.export import warmup
from seminar_tf.export.examples import examples_inputs
from seminar_tf.export.inputs import RankRequest
from seminar_tf.export.signatures import export_ranker
from seminar_tf.features import names
from seminar_tf.features.vocabulary import feature_sizes
from seminar_tf.retrieval.served import prepare
from tests.serving import fake_ranker as fake
from tests.serving import without_python

import tensorflow as tf  # isort: skip
from tensorflow_serving.apis import prediction_log_pb2

TABLES = {
    "fused": RetrievalConfig(),
    "codes": RetrievalConfig(tables="codes", subvectors=4, query_subvectors=4, centroids=16, search="auto"),
}
# XLA takes seconds a size.
COMPILED = {"fused": {"some", "no history"}, "codes": {"some"}}
# Rows, pairs, candidates.
SIZES = {"some": (3, 9, 5), "longer than L": (2, 40, 3), "no history": (2, 0, 4), "no candidates": (2, 5, 0)}
NOTHING = {"neither": (1, 0, 0), "no rows": (0, 3, 2)}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return without_python.build(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module", params=TABLES)
def answered(request, program, tmp_path_factory):
    """Which tables, and (label, signature, what C++ answered, what Python computes) of every request of one run."""
    root = tmp_path_factory.mktemp("without_python")
    vocabularies = fake.write_vocabularies(root / "transform")
    model = fake.seminar(feature_sizes(vocabularies, fake.CONFIG.features), seed=6)
    retrieval = TABLES[request.param]
    prepare(model, retrieval)
    config = replace(fake.CONFIG, retrieval=retrieval)
    export_ranker(model, vocabularies, config, fake.TASKS, root / "model", np.zeros(model.sizes.items, np.int64))
    signatures = tf.saved_model.load(str(root / "model")).signatures
    labelled = [*_requests(COMPILED[request.param]), *_warm_up(root / "model")]
    asked = [(signature, arrays) for _, signature, arrays in labelled]
    responses = without_python.run(program, root / "model", asked, root)
    assert len(responses) == len(labelled)
    rows = []
    for (label, signature, arrays), response in zip(labelled, responses):
        # XLA's scores are held against the plain graph's: tests/retrieval/test_served.py compiles it in Python.
        plain = "rank_indexed" if signature == "rank_indexed_xla" else signature
        expected = None
        if not label.startswith("refused"):
            computed = signatures[plain](**{name: tf.constant(array) for name, array in arrays.items()})
            expected = {name: tensor.numpy() for name, tensor in computed.items()}
        rows.append((label, signature, response, expected))
    return request.param, rows


def _requests(compiled):
    """(label, signature, inputs) of every signature and size, and of requests that are refused."""
    rng = np.random.default_rng(6)
    for label, size in {**SIZES, **NOTHING}.items():
        ids = fake.batch(rng, *size)
        ids[names.CANDIDATE_ITEM_ID][:, -1:] = 0  # padding
        raw = fake.to_raw(ids)
        yield label, "serving_default", raw
        yield label, "rank_indexed", ids
        yield label, "search_history", ids
        yield label, "examples", examples_inputs(_of_arrays(raw))
        columns = raw[names.CANDIDATE_ITEM_ID].reshape(-1)
        yield label, "embed_items", {names.ITEM_ID: columns, names.QUERY: np.resize(raw[names.QUERY], len(columns))}
        if label in compiled:
            yield label, "rank_indexed_xla", ids
    yield "refused: no proto", "examples", {"examples": np.array([b"\xff\xff\xff"], np.object_)}
    short = RankRequest([("item1", "", 1)], ["item2"], fake.NOW)
    damaged = examples_inputs([short])["examples"]
    damaged[0] = damaged[0].replace(names.HISTORY_TIMESTAMP.encode(), b"x" * len(names.HISTORY_TIMESTAMP))
    yield "refused: lengths", "examples", {"examples": damaged}
    yield "refused: rows", "embed_items", {"item_id": np.array([b"item1"]), "query": np.array([b"", b""])}


def _of_arrays(raw):
    """The requests that padded arrays hold."""
    made = []
    for row, query in enumerate(raw[names.QUERY]):
        history = zip(*(raw[name][row] for name in (names.HISTORY_ITEM_ID, names.HISTORY_QUERY)))
        times = raw[names.HISTORY_TIMESTAMP][row].tolist()
        made.append(
            RankRequest(
                history=[(item.decode(), typed.decode(), time) for (item, typed), time in zip(history, times)],
                candidates=[item.decode() for item in raw[names.CANDIDATE_ITEM_ID][row]],
                timestamp=int(raw[names.REQUEST_TIMESTAMP][row]),
                query=query.decode(),
                user_attributes=[value.decode() for value in raw[names.USER_ATTRIBUTES][row]],
            )
        )
    return made


def _warm_up(saved_model):
    for record in tf.data.TFRecordDataset(str(saved_model / warmup.FILE)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        arrays = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        yield "warm-up", request.model_spec.signature_name, arrays


@pytest.mark.parametrize("label", [*SIZES, *NOTHING, "warm-up"])
def test_every_signature_answers_as_in_python(answered, label):
    tables, rows = answered
    found = [row for row in rows if row[0] == label]
    compiled = {"rank_indexed_xla"} if label in COMPILED[tables] else set()
    plain = {"serving_default", "rank_indexed", "examples", "search_history", "embed_items"}
    assert {signature for _, signature, _, _ in found} == plain | compiled
    for _, signature, response, expected in found:
        outputs = without_python.outputs(response)
        assert outputs.keys() == expected.keys()
        for name, values in expected.items():
            assert outputs[name].dtype == values.dtype and outputs[name].shape == values.shape
            np.testing.assert_allclose(outputs[name], values, rtol=0, atol=1e-5, err_msg=f"{signature} {name}")


def test_the_sizes_are_those_asked_for(answered):
    for label, (rows, _, width) in {**SIZES, **NOTHING}.items():
        for signature in ("serving_default", "examples"):
            (response,) = [r for named, key, r, _ in answered[1] if (named, key) == (label, signature)]
            # No row has a longest list.
            assert without_python.outputs(response)["score_click"].shape == (
                (0, 0) if signature == "examples" and not rows else (rows, width)
            )


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("refused: no proto", "Could not parse example input"),
        ("refused: lengths", "history_timestamp must have as many values as history_item_id"),
        ("refused: rows", "query must have as many rows as item_id"),
    ],
)
def test_bad_requests_are_invalid_arguments(answered, label, message):
    (response,) = [response for named, _, response, _ in answered[1] if named == label]
    assert response.op == "INVALID_ARGUMENT" and message in response.name
    assert not response.attr


def test_without_a_compiler_the_check_fails_and_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="Install g\\+\\+"):
        without_python.build(tmp_path)
