"""Load on a real server: drawn requests mean what they should, failures are counted by status, `bench serving` runs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from seminar_tf.cli.bench import command
from seminar_tf.export.metadata import ModelMetadata
from seminar_tf.features import names
from serving import codec, protos
from serving.client import Client
from serving.load.draw import Drawer, DrawError, Shape, examples, serialized
from serving.load.loops import closed_loop, open_loop, poisson
from serving.load.process import ProcessError, ServerProcess
from serving.load.report import summarize
from serving.load.target import GrpcTarget
from tests.serving import fake_ranker as fake

import tensorflow as tf  # isort: skip

SHAPE = Shape(rows=2, length=12, candidates=5)


@pytest.fixture(scope="module")
def drawer(exported):
    return Drawer(exported[0] / "seminar")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_drawn_ids_lie_in_the_models_spaces(drawer, seed):
    ids = drawer.ids(np.random.default_rng(seed), Shape(rows=3, length=200, candidates=40))
    assert ids[names.HISTORY_ITEM_ID].shape == (3, 200) and ids[names.CANDIDATE_ITEM_ID].shape == (3, 40)
    for name in (names.HISTORY_ITEM_ID, names.CANDIDATE_ITEM_ID):
        assert set(np.unique(ids[name])) <= set(range(1, len(fake.ITEMS) + 1))
    assert ids[names.HISTORY_QUERY].min() == 1 and ids[names.HISTORY_QUERY].max() < drawer.metadata.sizes.queries
    assert (np.diff(ids[names.HISTORY_TIMESTAMP]) > 0).all()
    assert (ids[names.HISTORY_TIMESTAMP] <= ids[names.REQUEST_TIMESTAMP][:, None]).all()


def test_items_are_drawn_as_often_as_they_were_seen(exported, tmp_path):
    metadata = ModelMetadata.load(exported[0] / "seminar")
    counts = np.zeros_like(metadata.item_count)
    counts[3], counts[7] = 3, 1
    ModelMetadata(**{**metadata.__dict__, "item_count": counts}).save(tmp_path)
    items = Drawer(tmp_path).ids(np.random.default_rng(0), Shape(1, 4000, 1))[names.HISTORY_ITEM_ID]
    assert set(np.unique(items)) == {3, 7}
    assert (items == 3).mean() == pytest.approx(0.75, abs=0.04)


@pytest.mark.parametrize("packed", [True, False])
def test_strings_and_ids_ask_the_same(client, drawer, packed):
    def scores(signature):
        request = protos.PredictRequest.FromString(serialized(drawer, signature, SHAPE, packed, 1, 3, "ranker")[0])
        inputs = {name: codec.decode(tensor) for name, tensor in request.inputs.items()}
        return client.predict(inputs, signature).outputs["score_click"]

    ids = drawer.ids(np.random.default_rng(3), SHAPE)
    known = ids[names.HISTORY_QUERY] < names.FIRST_QUERY_ID + len(fake.QUERIES)
    assert not known.all(), "some queries fall in hash buckets, where a string and an id need not agree"
    ids[names.HISTORY_QUERY][~known] = names.EMPTY_QUERY_ID
    ids[names.QUERY][:] = names.EMPTY_QUERY_ID
    ids[names.USER_ATTRIBUTES][:] = 1
    by_id = client.predict(ids, "rank_indexed", packed=packed).outputs["score_click"]
    by_name = client.predict(drawer.raw(ids), packed=packed).outputs["score_click"]
    np.testing.assert_allclose(by_name, by_id, atol=1e-5)
    assert scores("rank_indexed").shape == scores("serving_default").shape == (2, 5)


def test_examples_hold_the_same_lists(drawer):
    raw = drawer.raw(drawer.ids(np.random.default_rng(3), SHAPE))
    kinds = {name: tf.string if values.dtype == np.object_ else tf.int64 for name, values in raw.items()}
    spec = {name: tf.io.FixedLenFeature(values.shape[1:], kinds[name]) for name, values in raw.items()}
    parsed = tf.io.parse_example(tf.constant(list(examples(raw)["examples"])), spec)
    for name, values in raw.items():
        np.testing.assert_array_equal(parsed[name].numpy(), values)
    request = protos.PredictRequest.FromString(serialized(drawer, "examples", SHAPE, True, 1, 3, "ranker")[0])
    assert list(request.inputs) == ["examples"] and len(request.inputs["examples"].string_val) == 2


def test_an_unknown_signature_is_named(drawer):
    with pytest.raises(DrawError, match="'rank_by_luck'; expected one of serving_default, examples, rank_indexed"):
        serialized(drawer, "rank_by_luck", SHAPE, True, 1, 0, "ranker")


def test_both_loops_on_a_real_server(server, drawer):
    requests = serialized(drawer, "rank_indexed", SHAPE, True, 4, 0, "ranker")
    with GrpcTarget(server.address, timeout_s=20.0) as target:
        closed = closed_loop(target, requests, callers=3, seconds=0.5)
        moments = poisson(40.0, 0.5, seed=1)
        opened = open_loop(target, requests, moments)
    assert len(closed) >= 3 and len(opened) == len(moments)
    for samples in (closed, opened):
        assert {(s.reply.status, s.reply.version) for s in samples} == {("OK", 5)}
        assert all(s.intended <= s.sent <= s.ended for s in samples)


def test_failures_are_counted_by_status(server, drawer):
    unknown = serialized(drawer, "rank_indexed", SHAPE, True, 1, 0, "nobody")
    good = serialized(drawer, "rank_indexed", SHAPE, True, 1, 0, "ranker")
    with GrpcTarget(server.address, timeout_s=20.0) as target:
        found = summarize(open_loop(target, [*unknown, *good, b"\xff not a message"], np.zeros(6)))
        assert target.call(unknown[0]).message.startswith("Servable not found")
    assert found.calls == 6 and found.errors["NOT_FOUND"] == 2 and found.failed == 4
    with GrpcTarget("127.0.0.1:1", timeout_s=2.0) as target:
        assert summarize(closed_loop(target, good, 1, 0.0)).calls == 0
        assert target.call(good[0]).status == "UNAVAILABLE"


def test_a_server_that_ends_says_why():
    with pytest.raises(ProcessError, match=r"ended with code 3 before it listened:\nno room"):
        ServerProcess("here", command=("-c", "print('no room'); raise SystemExit(3)"))


def _bench(*arguments):
    return CliRunner().invoke(command, ["serving", *map(str, arguments)])


def test_bench_serving(server, exported, tmp_path):
    base = tmp_path / "versions"
    base.mkdir()
    (base / "5").symlink_to(exported[0] / "seminar")
    given = ("--model-dir", base, "--address", server.address, "-L", 12, "-N", 5, "-B", 2, "--callers", 2,
             "--rounds", 2, "--duration", 0.4, "--warmup", 0.1)  # fmt: skip
    ran = _bench(*given, "--signature", "rank_indexed", "--signature", "serving_default", "--encoding", "packed",
                 "--encoding", "values", "--share", 0.5, "--json")  # fmt: skip
    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.stdout)
    assert found["shape"] == {"rows": 2, "length": 12, "candidates": 5}
    assert [(r["signature"], r["encoding"], r["loop"]) for r in found["rows"]] == [
        (signature, encoding, loop)
        for loop in ("closed", "open")
        for signature in ("rank_indexed", "serving_default")
        for encoding in ("packed", "values")
    ]
    assert all(row["calls"] > 0 and row["errors"] == {} for row in found["rows"] if row["loop"] == "closed")
    assert (found["rows"][0]["qps_ratio"], found["rows"][0]["p50_ratio"]) == (1.0, 1.0)
    ran = _bench(*given, "--qps", 20)
    assert ran.exit_code == 0, ran.output
    shown = " ".join(ran.stdout.split())
    assert "B = 2, L = 12, N = 5; open loop; medians of 2 rounds" in shown
    assert "ranker" in shown and "rank_indexed, packed" in shown and "at 20.0 a second" in shown
    assert all(len(line) <= 80 for line in ran.stdout.splitlines())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((), "give --model-dir"), (("--model", "float"), "expected NAME=DIR"),
     (("--model", "a=x", "--model", "a=y"), "is given twice"),
     (("--model", "a=x", "--model", "b=y", "--address", "127.0.0.1:1"), "of one server"),
     (("--model-dir", "nowhere"), "no model version found"),
     (("--model-dir", "nowhere", "--qps", 3, "--share", 0.5), "not both")],
)  # fmt: skip
def test_bench_serving_refuses(arguments, message):
    ran = _bench(*arguments)
    assert ran.exit_code != 0
    assert message in " ".join(ran.output.replace("│", " ").split())


def test_a_serialized_request_is_what_the_client_sends(server, drawer):
    sent = protos.PredictRequest.FromString(serialized(drawer, "rank_indexed", SHAPE, True, 1, 7, "ranker")[0])
    ids = drawer.ids(np.random.default_rng(7), SHAPE)
    assert set(sent.inputs) == set(ids)
    for name, tensor in sent.inputs.items():
        np.testing.assert_array_equal(codec.decode(tensor), ids[name])
    with Client(server.address) as connected:
        assert connected.predict(ids, "rank_indexed").request_bytes == sent.ByteSize()
