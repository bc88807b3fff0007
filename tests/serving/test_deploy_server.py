"""On a running server: the health probe, and why batching.config never lets the server pad.

TensorFlow Serving with pad_variable_length_inputs fills a shorter row with copies of the tensor's first element. Both
kinds of padding are made here by hand, so no batching is needed to see what it would do.
"""

from __future__ import annotations

import numpy as np
import pytest

from seminar_tf.export.inputs import RankRequest, raw_inputs
from serving.deploy import health_probe
from tests.serving import fake_ranker as fake

HISTORY = ("history_item_id", "history_query", "history_timestamp")


def request(seed, length, width):
    rng = np.random.default_rng(seed)
    history = [
        (fake.ITEMS[rng.integers(40)], fake.QUERIES[rng.integers(12)], fake.NOW - 3_600_000 * n)
        for n in range(length, 0, -1)
    ]
    candidates = [fake.ITEMS[n] for n in rng.choice(40, width, replace=False)]
    return RankRequest(
        history=history, candidates=candidates, timestamp=fake.NOW, query="query 3", user_attributes=["age=old"]
    )


def widen(array, width, first):
    """[1, W] -> [1, width], with the first element as the server would, or with what means "nothing"."""
    value = array[0, 0] if first else b"" if array.dtype == np.object_ else 0
    return np.concatenate([array, np.full((1, width - array.shape[1]), value, array.dtype)], axis=1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_padding_does(client, seed):
    inputs = raw_inputs([request(seed, length=5, width=4)])
    alone = client.predict(inputs).outputs["score_click"]
    assert alone.shape == (1, 4)

    padded = {**inputs, "candidate_item_id": widen(inputs["candidate_item_id"], 7, first=False)}
    scores = client.predict({**padded, **{n: widen(inputs[n], 9, first=False) for n in HISTORY}}).outputs["score_click"]
    np.testing.assert_allclose(scores[:, :4], alone, atol=1e-6)
    np.testing.assert_array_equal(scores[:, 4:], 0.0)

    # The server's padding of candidates is harmless to who cuts the scores to the own N ...
    repeated = {**inputs, "candidate_item_id": widen(inputs["candidate_item_id"], 7, first=True)}
    scores = client.predict(repeated).outputs["score_click"]
    np.testing.assert_allclose(scores[:, :4], alone, atol=1e-6)
    np.testing.assert_allclose(scores[:, 4:], np.repeat(alone[:, :1], 3, axis=1), atol=1e-6)

    # ... and of a history it is not: pairs that never were.
    scores = client.predict({**inputs, **{n: widen(inputs[n], 9, first=True) for n in HISTORY}}).outputs["score_click"]
    assert np.abs(scores - alone).max() > 1e-4


def test_a_client_batches_rows_of_different_widths_itself(client):
    requests = [request(3, length=2, width=5), request(4, length=9, width=2)]
    together = client.predict(raw_inputs(requests)).outputs["score_click"]
    for row, one in enumerate(requests):
        alone = client.predict(raw_inputs([one])).outputs["score_click"]
        np.testing.assert_allclose(together[row, : len(one.candidates)], alone[0], atol=1e-6)
        np.testing.assert_array_equal(together[row, len(one.candidates) :], 0.0)


def test_the_probe_asks_the_embedded_server(server):
    assert health_probe.status(server.address, timeout_s=10.0) == (True, "SERVING")
