"""Predict over a real channel: the scores are the model's, in both signatures and both encodings."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from seminar_tf.export.examples import examples_inputs
from seminar_tf.export.inputs import RankRequest, raw_inputs
from seminar_tf.features import names
from tests.serving import fake_ranker as fake

import tensorflow as tf  # isort: skip


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scores_equal_the_models_in_this_process(client, exported, seed, packed):
    _, model = exported
    ids = fake.batch(np.random.default_rng(seed), rows=3, length=6, width=5)
    expected = model(ids)
    for signature, arrays in (("rank_indexed", ids), ("serving_default", fake.to_raw(ids))):
        answer = client.predict(arrays, signature, packed=packed)
        assert set(answer.outputs) == {"score_click", "score_like"}
        for task in fake.TASKS:
            np.testing.assert_allclose(answer.outputs[f"score_{task}"], tf.sigmoid(expected[task]), atol=1e-5)
        assert (answer.model_name, answer.version, answer.signature) == ("ranker", 5, signature)


@pytest.mark.parametrize(("length", "width"), [(0, 4), (5, 0), (0, 0), (300, 4)])
def test_any_history_and_any_number_of_candidates(client, length, width):
    ids = fake.batch(np.random.default_rng(4), rows=2, length=length, width=width)
    by_id = client.predict(ids, "rank_indexed").outputs["score_click"]
    by_name = client.predict(fake.to_raw(ids)).outputs["score_click"]
    assert by_id.shape == (2, width)
    assert np.isfinite(by_id).all()
    np.testing.assert_allclose(by_name, by_id, atol=1e-5)


def test_no_request_in_the_batch(client):
    ids = fake.batch(np.random.default_rng(4), rows=0, length=3, width=2)
    assert client.predict(ids, "rank_indexed").outputs["score_like"].shape == (0, 2)


def test_unknown_items_get_scores(client):
    request = RankRequest(
        history=[("item1", "", fake.NOW - 5), ("gone", "who knows", fake.NOW - 4)],
        candidates=["item2", "brand new"],
        timestamp=fake.NOW,
        user_attributes=("age=unheard",),
    )
    scores = client.predict(raw_inputs([request])).outputs["score_click"]
    assert scores.shape == (1, 2)
    assert ((scores > 0) & (scores < 1)).all()


def test_requests_of_different_lengths_score_as_one_by_one(client):
    requests = [
        RankRequest([("item1", "", fake.NOW - 9), ("item2", "query 1", fake.NOW - 3)], ["item3", "item4"], fake.NOW),
        RankRequest([], ["item5"], fake.NOW, query="query 2", user_attributes=("age=old",)),
    ]
    together = client.predict(raw_inputs(requests)).outputs["score_click"]
    for row, request in enumerate(requests):
        alone = client.predict(raw_inputs([request])).outputs["score_click"]
        np.testing.assert_allclose(together[row, : alone.shape[1]], alone[0], atol=1e-5)
    assert together[1, 1] == 0.0


def test_examples_score_as_arrays(client):
    requests = [
        RankRequest([("item1", "", fake.NOW - 9), ("item2", "query 1", fake.NOW - 3)], ["item3", "item4"], fake.NOW),
        RankRequest([], ["item5"], fake.NOW, query="query 2", user_attributes=("age=old",)),
    ]
    by_proto = client.predict(examples_inputs(requests), "examples").outputs
    for name, scores in client.predict(raw_inputs(requests)).outputs.items():
        np.testing.assert_allclose(by_proto[name], scores, atol=1e-6)


def test_items_are_embedded(client, exported):
    _, model = exported
    arrays = {"item_id": np.array([b"item1", b""], np.object_), "query": np.array([b"query 1", b""], np.object_)}
    found = client.predict(arrays, "embed_items").outputs["embedding"]
    np.testing.assert_allclose(found[0], model.pairs(tf.constant([2]), tf.constant([3]))[0], atol=1e-6)
    assert found.shape == (2, fake.CONFIG.model.dim) and not found[1].any()


def test_output_filter(client):
    ids = fake.batch(np.random.default_rng(4), rows=1, length=3, width=2)
    answer = client.predict(ids, "rank_indexed", output_filter=["score_like"])
    assert list(answer.outputs) == ["score_like"]


@pytest.mark.parametrize("choice", [{"version": 5}, {"label": "stable"}, {}])
def test_versions_and_labels(client, choice):
    ids = fake.batch(np.random.default_rng(4), rows=1, length=3, width=2)
    assert client.predict(ids, "rank_indexed", **choice).version == 5


def test_a_request_larger_than_grpcs_default(client):
    # 64 rows of 10,000 pairs: 10 MB, more than the 4 MiB that a Python server takes by default.
    ids = fake.batch(np.random.default_rng(4), rows=64, length=10_000, width=2)
    answer = client.predict(ids, "rank_indexed")
    assert answer.request_bytes > 8 << 20
    assert names.HISTORY_ITEM_ID in ids and answer.outputs["score_click"].shape == (64, 2)


def test_client_needs_no_tensorflow():
    code = "import serving.client, sys; assert 'tensorflow' not in sys.modules, 'TensorFlow was imported'"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
