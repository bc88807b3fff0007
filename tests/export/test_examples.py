"""The signature `examples`: serialized tf.Example protos score as the same requests in arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from seminar_tf.export.examples import examples_inputs
from seminar_tf.export.inputs import RankRequest, raw_inputs
from seminar_tf.features import names
from tests.serving import fake_ranker as fake

import tensorflow as tf  # isort: skip

L = fake.CONFIG.model.serving_history_length
Invalid = tf.errors.InvalidArgumentError


def some_requests(seed, rows=4, longest=L + 5, widest=6):
    """Requests of all sizes, with strings that are in no vocabulary among them."""
    rng = np.random.default_rng(seed)
    items, queries = [*fake.ITEMS, "never seen", "ünknown \U0001f600"], [*fake.QUERIES, "", "", "who  knows"]
    made = []
    for _ in range(rows):
        length, width = rng.integers(0, longest + 1), rng.integers(0, widest + 1)
        times = fake.NOW - np.cumsum(rng.integers(1, 86_400_000, length))[::-1]
        history = [(str(rng.choice(items)), str(rng.choice(queries)), int(moment)) for moment in times]
        attributes = [*fake.ATTRIBUTES, "age=unheard"][: rng.integers(0, 4)]
        candidates = [str(item) for item in rng.choice(items, width)]
        made.append(RankRequest(history, candidates, fake.NOW, str(rng.choice(queries)), "u", attributes))
    return made


def example(**features):
    """A serialized tf.Example of lists of str, int or float; an empty list is a feature without a kind."""
    made = tf.train.Example()
    for name, values in features.items():
        feature = made.features.feature[name]
        if values and isinstance(values[0], str):
            feature.bytes_list.value.extend(value.encode() for value in values)
        elif values and isinstance(values[0], int):
            feature.int64_list.value.extend(values)
        elif values:
            feature.float_list.value.extend(values)
    return made.SerializeToString()


WHOLE = {
    names.USER_ID: ["u"],
    names.HISTORY_ITEM_ID: ["item1", "item2", "item3"],
    names.HISTORY_QUERY: ["", "query 1", ""],
    names.HISTORY_TIMESTAMP: [fake.NOW - 9, fake.NOW - 8, fake.NOW - 7],
    names.CANDIDATE_ITEM_ID: ["item4", "item5"],
    names.QUERY: ["query 2"],
    names.REQUEST_TIMESTAMP: [fake.NOW],
    names.USER_ATTRIBUTES: ["age=old"],
}


def whole(**changes):
    """The proto of `WHOLE` with some features changed; None leaves one out."""
    return example(**{name: values for name, values in {**WHOLE, **changes}.items() if values is not None})


def score(exported, call, *protos):
    array = np.empty(len(protos), np.object_)
    array[:] = protos
    return call(exported[2]["examples"], {"examples": array})


def close(found, expected):
    assert found.keys() == expected.keys()
    for name, scores in expected.items():
        assert found[name].dtype == np.float32 and found[name].shape == scores.shape
        np.testing.assert_allclose(found[name], scores, atol=1e-6)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_they_score_as_the_default_signature_and_as_one_by_one(exported, call, seed):
    requests = some_requests(seed)
    together = call(exported[2]["examples"], examples_inputs(requests))
    close(together, call(exported[2]["serving_default"], raw_inputs(requests)))
    widest = max(len(request.candidates) for request in requests)
    for row, request in enumerate(requests):
        alone = call(exported[2]["examples"], examples_inputs([request]))
        width = len(request.candidates)
        for name, scores in together.items():
            assert alone[name].shape == (1, width) and scores.shape == (4, widest)
            np.testing.assert_allclose(scores[row, :width], alone[name][0], atol=1e-6)
            assert (scores[row, width:] == 0.0).all() and (scores[row, :width] > 0.0).all()


@pytest.mark.parametrize("extra", [1, 50])
def test_longer_histories_keep_the_newest_pairs(exported, call, extra):
    history = [(f"item{n % 40}", f"query {n % 12}", fake.NOW - 1000 + n) for n in range(L + extra)]
    long = RankRequest(history, ["item1", "item2"], fake.NOW)
    both = [examples_inputs([one]) for one in (long, replace(long, history=history[extra:]))]
    close(*(call(exported[2]["examples"], arrays) for arrays in both))


@pytest.mark.parametrize(("history", "candidates"), [([], ["item1"]), ([("item1", "", fake.NOW - 1)], []), ([], [])])
def test_empty_histories_and_no_candidates(exported, call, history, candidates):
    requests = [RankRequest(history, candidates, fake.NOW)] * 2
    found = call(exported[2]["examples"], examples_inputs(requests))
    close(found, call(exported[2]["serving_default"], raw_inputs(requests)))
    assert found["score_click"].shape == (2, len(candidates)) and np.isfinite(found["score_click"]).all()


def test_no_request_in_the_batch(exported, call):
    assert score(exported, call)["score_like"].shape == (0, 0)


def test_what_is_missing_is_empty(exported, call):
    least = {names.CANDIDATE_ITEM_ID: ["item4", "item5"], names.REQUEST_TIMESTAMP: [fake.NOW]}
    empty = {name: [] for name in WHOLE if name not in least}
    expected = call(exported[2]["serving_default"], raw_inputs([RankRequest([], ["item4", "item5"], fake.NOW)]))
    close(score(exported, call, example(**least)), expected)
    close(score(exported, call, example(**least, **empty, another=["x"])), expected)


def test_a_row_without_queries_was_browsing(exported, call):
    browsing = whole(history_query=["", "", ""])
    expected = score(exported, call, browsing, whole())
    for missing in (None, []):
        close(score(exported, call, whole(history_query=missing), whole()), expected)
    close(score(exported, call, whole(history_query=None)), score(exported, call, browsing))
    assert (expected["score_click"][0] != expected["score_click"][1]).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"history_timestamp": [1, 2]}, r"history_timestamp must have as many values as history_item_id\. .*\[1\]"),
        ({"history_timestamp": None}, "history_timestamp must have as many values as history_item_id"),
        ({"history_item_id": ["item1"]}, "history_timestamp must have as many values as history_item_id"),
        ({"history_query": ["", "query 1"]}, "history_query must have as many values as history_item_id, or none"),
        ({"history_query": [""] * 4}, "history_query must have as many values as history_item_id, or none"),
        ({"request_timestamp": None}, "request_timestamp must have one value"),
        ({"request_timestamp": [1, 2]}, "request_timestamp must have one value"),
        ({"query": ["a", "b"]}, "query must have one value or none"),
        ({"user_id": ["a", "b"]}, "user_id must have one value or none"),
        ({"history_timestamp": [1.0, 2.0, 3.0]}, "history_timestamp.*int64.*float"),
        ({"candidate_item_id": [1, 2]}, "candidate_item_id.*string.*int64"),
    ],
)
def test_lists_that_do_not_fit_are_refused_by_name(exported, call, changes, message):
    with pytest.raises(Invalid, match=message):
        score(exported, call, whole(), whole(**changes))


def test_bytes_that_are_no_example_are_refused(exported, call):
    # ASCII only: TensorFlow quotes the bytes in its message, and Python cannot hold others in one.
    with pytest.raises(Invalid, match="Could not parse example input"):
        score(exported, call, whole(), b"no proto")
