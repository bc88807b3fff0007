"""Stock gRPC for Node, with the public protos, gets the scores that Python gets, and the same refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest

from seminar_tf.features import names
from serving.descriptors import descriptor_set
from tests.serving import fake_ranker as fake
from tests.serving import node_tools

_NAMES = {"i4": "DT_INT32", "i8": "DT_INT64", "f4": "DT_FLOAT"}


@pytest.fixture(scope="module")
def descriptors(tmp_path_factory):
    path = tmp_path_factory.mktemp("protos") / "serving.bin"
    path.write_bytes(descriptor_set().SerializeToString())
    return path


def as_json(array):
    """An input of rank.js."""
    flat = array.reshape(-1).tolist()
    if array.dtype == object:
        return {"dtype": "DT_STRING", "shape": array.shape, "values": [value.decode("utf-8") for value in flat]}
    kind = _NAMES[array.dtype.str[1:]]
    return {"dtype": kind, "shape": array.shape, "values": [str(n) for n in flat] if kind == "DT_INT64" else flat}


def rank(folder, descriptors, address, inputs, model="ranker", signature="rank_indexed"):
    """Exit status and JSON of rank.js."""
    request = {"address": address, "model": model, "signature": signature, "deadlineMs": 60_000}
    request["inputs"] = {name: as_json(array) for name, array in inputs.items()}
    path = folder / "request.json"
    path.write_text(json.dumps(request), encoding="utf-8")
    done = node_tools.node(node_tools.FOLDER / "rank.js", descriptors, path)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("signature", ["rank_indexed", "serving_default"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_scores(server, client, descriptors, tmp_path, signature, seed):
    ids = fake.batch(np.random.default_rng(seed), rows=3, length=7, width=5)
    inputs = ids if signature == "rank_indexed" else fake.to_raw(ids)
    expected = client.predict(inputs, signature).outputs
    status, answers = rank(tmp_path, descriptors, server.address, inputs, signature=signature)
    assert status == 0, answers
    assert set(answers) == {"packed", "single"}
    for answer in answers.values():
        assert answer.pop("version") == "5"
        assert set(answer) == set(expected)
        for name, scores in expected.items():
            assert tuple(answer[name]["shape"]) == scores.shape
            # Node prints the float32 as the double that it is, so that nothing is lost on the way.
            found = np.array(answer[name]["values"]).reshape(scores.shape)
            np.testing.assert_array_equal(found.astype(np.float32), found)
            np.testing.assert_allclose(found, scores, rtol=0, atol=1e-6)


def test_timestamps_keep_all_their_bits(server, client, descriptors, tmp_path):
    # 2^53 + 1 is no double: a client that goes through one shifts the event by a millisecond.
    ids = fake.batch(np.random.default_rng(2), rows=1, length=4, width=3)
    moment = 2**53 + 1
    ids[names.HISTORY_TIMESTAMP] = moment - np.array([[86_400_000, 3_600_000, 2, 0]], np.int64)
    ids[names.REQUEST_TIMESTAMP] = np.array([moment], np.int64)
    expected = client.predict(ids, "rank_indexed").outputs["score_click"]
    status, answers = rank(tmp_path, descriptors, server.address, ids)
    assert status == 0, answers
    for answer in answers.values():
        np.testing.assert_allclose(answer["score_click"]["values"], expected[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("length", "width"), [(0, 3), (4, 0)])
def test_empty_histories_and_no_candidates(server, client, descriptors, tmp_path, length, width):
    ids = fake.batch(np.random.default_rng(3), rows=2, length=length, width=width)
    expected = client.predict(ids, "rank_indexed").outputs["score_like"]
    status, answers = rank(tmp_path, descriptors, server.address, ids)
    assert status == 0, answers
    for answer in answers.values():
        assert answer["score_like"]["shape"] == [2, width]
        np.testing.assert_allclose(answer["score_like"]["values"], expected.reshape(-1), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "code", "details"),
    [
        ({"model": "nobody"}, 5, "Servable not found for request"),
        ({"signature": "nothing"}, 9, 'Serving signature key "nothing" not found'),
        ({"signature": "serving_default"}, 3, "user_id"),
    ],
)
def test_refusals(server, descriptors, tmp_path, changes, code, details):
    ids = fake.batch(np.random.default_rng(4), rows=1, length=2, width=2)
    status, answer = rank(tmp_path, descriptors, server.address, ids, **changes)
    assert status == 1
    assert answer["error"]["code"] == code
    assert details in answer["error"]["details"]


def test_the_lock_names_no_host_and_fixes_every_version():
    wanted = json.loads((node_tools.FOLDER / "package.json").read_text(encoding="utf-8"))["dependencies"]
    text = (node_tools.FOLDER / "package-lock.json").read_text(encoding="utf-8")
    lock = json.loads(text)["packages"]
    assert '"resolved"' not in text
    assert "registry" not in text
    assert {name: lock[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert all(found["integrity"].startswith("sha512-") for name, found in lock.items() if name)


def test_npms_words_are_in_the_error(tmp_path, monkeypatch):
    # A lock without what package.json wants, and no network to find it.
    (tmp_path / "package.json").write_text('{"dependencies": {"@grpc/grpc-js": "1.0.0"}}', encoding="utf-8")
    (tmp_path / "package-lock.json").write_text('{"lockfileVersion": 3, "packages": {}}', encoding="utf-8")
    (tmp_path / ".npmrc").write_text("offline=true\n", encoding="utf-8")
    monkeypatch.setattr(node_tools, "FOLDER", tmp_path)
    monkeypatch.setattr(node_tools, "_CACHE", tmp_path / "cache")
    with pytest.raises(RuntimeError, match=r"npm ci (?s:.*)npm error"):
        node_tools.modules()
    assert not list((tmp_path / "cache").iterdir()), "nothing half-made stays"
