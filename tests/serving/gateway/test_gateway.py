"""The gateway before a ranker that says what a test wants: order, limits, what the model gets."""

from __future__ import annotations

from dataclasses import replace

import grpc
import numpy as np
import pytest

from seminar_tf.export.inputs import RankRequest, raw_inputs
from seminar_tf.features import names
from serving.client import Client
from serving.gateway import messages, ranker, validation
from serving.gateway.client import GatewayClient
from serving.gateway.events import Event, History
from serving.gateway.server import Gateway
from tests.serving.gateway.conftest import GATEWAY as OPTIONS
from tests.serving.gateway.stub_ranker import refused

Code = grpc.StatusCode
NOW = 1_700_000_000_000


def test_descending_scores_and_ties_by_the_requests_order(asking):
    found = asking.rank("u", ["a:0.1", "b:0.5", "c:0.5", "d:0.9", "e:0.5", "f:0"])
    assert [name for name, _ in found.items] == ["d:0.9", "b:0.5", "c:0.5", "e:0.5", "a:0.1", "f:0"]
    np.testing.assert_allclose([score for _, score in found.items], [0.9, 0.5, 0.5, 0.5, 0.1, 0.0], rtol=1e-6)
    assert (found.task, found.model_name, found.model_version) == ("click", "ranker", 7)


@pytest.mark.parametrize("seed", range(5))
def test_order_equals_a_stable_sort(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, 200).astype(np.float32) / 5
    expected = sorted(range(200), key=lambda n: (-scores[n], n))
    assert ranker.order(scores, 0).tolist() == expected
    assert ranker.order(scores, 7).tolist() == expected[:7]
    assert ranker.order(scores, 900).tolist() == expected


@pytest.mark.parametrize(("top", "count"), [(0, 3), (1, 1), (2, 2), (3, 3), (99, 3)])
def test_top(asking, top, count):
    found = asking.rank("u", ["a:0.1", "b:0.5", "c:0.4"], top=top)
    assert [name for name, _ in found.items] == ["b:0.5", "c:0.4", "a:0.1"][:count]


def test_ranks_count_from_one(gateway):
    request = messages.RankRequest(user_id="u", candidate_item_id=["a:0.1", "b:0.5"])
    with grpc.insecure_channel(gateway.address) as channel:
        raw = channel.unary_unary(messages.path("Rank"))(request.SerializeToString(), timeout=30)
    assert [(i.item_id, i.rank) for i in messages.RankResponse.FromString(raw).items] == [("b:0.5", 1), ("a:0.1", 2)]


def test_duplicates_are_ranked_once(asking, stub):
    found = asking.rank("u", ["a:0.5", "b:0.9", "a:0.5", "b:0.9", "c:0.5"])
    assert [name for name, _ in found.items] == ["b:0.9", "a:0.5", "c:0.5"]
    assert stub.requests[0][names.CANDIDATE_ITEM_ID].tolist() == [[b"a:0.5", b"b:0.9", b"c:0.5"]]


def test_no_candidates_ask_nobody(asking, stub):
    assert asking.rank("u", []).items == []
    assert stub.requests == []


def test_unknown_users_have_an_empty_history(asking, stub):
    found = asking.rank("nobody knows", ["a:1"])
    assert (found.history_pairs, found.history_unavailable) == (0, False)
    assert stub.requests[0][names.HISTORY_ITEM_ID].shape == (1, 0)


def test_the_model_gets_what_raw_inputs_gives(asking, stub):
    events = [Event(f"e{n}", f"i{n}", "" if n % 2 else f"Frage é {n}", NOW + n) for n in range(5)]
    assert asking.append_events("reader", events[::-1]) == 5
    asking.rank("reader", ["a", "b"], query="zelt", user_attributes=["age=old", "x=é"], timestamp=NOW + 9)
    expected = raw_inputs(
        [
            RankRequest(
                [(e.item_id, e.query, e.timestamp) for e in events],
                ["a", "b"],
                NOW + 9,
                "zelt",
                "reader",
                ["age=old", "x=é"],
            )
        ]
    )
    assert set(stub.requests[0]) == set(expected)
    for name, array in expected.items():
        assert stub.requests[0][name].dtype == array.dtype
        np.testing.assert_array_equal(stub.requests[0][name], array, err_msg=name)


def test_the_clock_is_the_moment_of_requests_without_one(asking, stub):
    before = validation.now_ms()
    asking.rank("u", ["a:1"])
    assert before <= stub.requests[0][names.REQUEST_TIMESTAMP][0] <= validation.now_ms()


def test_only_the_newest_pairs_are_sent(stub, shared_store, asking):
    asking.append_events("long", [Event(f"e{n}", f"i{n}", "", NOW + n) for n in range(20)])
    with Client(stub.address) as ranker_client:
        options = replace(OPTIONS, history_length=3)
        with Gateway(shared_store, ranker_client, options) as short, GatewayClient(short.address, 30.0) as asking:
            assert asking.rank("long", ["a:1"]).history_pairs == 3
    assert stub.requests[-1][names.HISTORY_ITEM_ID].tolist() == [[b"i17", b"i18", b"i19"]]


def test_fixed_shapes_pad_on_the_right(stub):
    options = replace(OPTIONS, fixed_shapes=True, history_length=4)
    request = validation.Ranking("u", b"u", b"", [b"a:0.3", b"b:0.6"], [b"x=y"], NOW, 0, "")
    history = History([b"i", b"j"], [b"", b"q"], np.array([5, 6]))
    padded = ranker.inputs(request, history, options)
    shapes = {name: array.shape for name, array in padded.items()}
    assert shapes[names.HISTORY_ITEM_ID] == shapes[names.HISTORY_TIMESTAMP] == (1, 4)
    assert (shapes[names.CANDIDATE_ITEM_ID], shapes[names.USER_ATTRIBUTES]) == ((1, 50), (1, 3))
    assert padded[names.HISTORY_ITEM_ID].tolist() == [[b"i", b"j", b"", b""]]
    with Client(stub.address) as predicting:
        found = ranker.rank(predicting, None, request, history, options, 30.0)
    assert (found.items, found.scores.tolist()) == ([b"b:0.6", b"a:0.3"], [np.float32(0.6), np.float32(0.3)])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"user_id": ""}, "user_id is empty"),
        ({"user_id": "u" * 257}, "user_id has 257 bytes"),
        ({"query": "q" * 2049}, "query has 2049 bytes"),
        ({"candidate_item_id": ["a", ""]}, r"candidate_item_id\[1\] is empty"),
        ({"candidate_item_id": ["a", "é" * 300]}, r"candidate_item_id\[1\] has 600 bytes"),
        ({"candidate_item_id": [str(n) for n in range(51)]}, "candidate_item_id has 51 values; .* at most 50"),
        ({"user_attributes": ["x=y", ""]}, r"user_attributes\[1\] is empty"),
        ({"user_attributes": ["x=y"] * 4}, "user_attributes has 4 values; .* at most 3"),
        ({"request_timestamp_ms": -1}, "request_timestamp_ms is -1"),
        ({"request_timestamp_ms": NOW * 1000}, "request_timestamp_ms .* another unit"),
        ({"task": "buy"}, "task is 'buy'; the model scores click"),
    ],
)
def test_bad_rankings_are_invalid_arguments(gateway, fields, message):
    request = messages.RankRequest(**{"user_id": "u", "candidate_item_id": ["a:1"], **fields})
    check_refused(gateway, "Rank", request.SerializeToString(), message)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([{"event_id": ""}], r"events\[0\].event_id is empty"),
        ([{}, {"event_id": "f", "item_id": ""}], r"events\[1\].item_id is empty"),
        ([{"query": "q" * 3000}], r"events\[0\].query has 3000 bytes"),
        ([{"timestamp_ms": 0}], r"events\[0\].timestamp_ms is 0, expected ms"),
        ([{"timestamp_ms": NOW // 1000}], r"events\[0\].timestamp_ms .* in seconds"),
        ([{"timestamp_ms": NOW * 1000}], r"events\[0\].timestamp_ms .* another unit"),
        ([{}] * 21, "events has 21 values; .* at most 20"),
    ],
)
def test_bad_events_are_invalid_arguments(gateway, events, message):
    good = {"event_id": "e", "item_id": "i", "timestamp_ms": NOW}
    request = messages.AppendEventsRequest(user_id="bad", events=[messages.Event(**{**good, **e}) for e in events])
    check_refused(gateway, "AppendEvents", request.SerializeToString(), message)
    with GatewayClient(gateway.address, 30.0) as asking:
        assert not asking.delete_user("bad"), "nothing was stored"


@pytest.mark.parametrize("method", list(messages.METHODS))
@pytest.mark.parametrize("raw", [b"\xff\xff\xff", b"\n\x02\xff\xfe"])
def test_bytes_that_are_no_request(gateway, method, raw):
    check_refused(gateway, method, raw, "bytes are no .*Request")


def check_refused(gateway, method, raw, message):
    with grpc.insecure_channel(gateway.address) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(messages.path(method))(raw, timeout=30)
        assert caught.value.code() == Code.INVALID_ARGUMENT
        with pytest.raises(AssertionError, match=message):
            raise AssertionError(caught.value.details())


def test_a_known_event_with_another_content_exists_already(asking):
    assert asking.append_events("twice", [Event("e", "i", "", NOW)]) == 1
    assert asking.append_events("twice", [Event("e", "i", "", NOW)]) == 0
    error = refused(asking.append_events, "twice", [Event("e", "other", "", NOW)])
    assert error.code == Code.ALREADY_EXISTS and "event_id 'e'" in error.message


def test_delete_user(asking):
    asking.append_events("goer", [Event("e", "i", "", NOW)])
    assert asking.rank("goer", ["a:1"]).history_pairs == 1
    assert asking.delete_user("goer") and not asking.delete_user("goer")
    assert asking.append_events("goer", [Event("e", "i", "", NOW)]) == 0, "a replay"
    assert asking.rank("goer", ["a:1"]).history_pairs == 0


def test_delete_user_up_to_a_moment(asking):
    asking.append_events("stayer", [Event("e", "i", "", NOW), Event("f", "i", "", NOW + 1)])
    assert asking.delete_user("stayer", NOW)
    assert asking.append_events("stayer", [Event("e", "i", "", NOW), Event("g", "i", "", NOW + 2)]) == 1
    assert asking.rank("stayer", ["a:1"]).history_pairs == 2
    for moment in (NOW // 1000, NOW * 1000, -5):
        error = refused(asking.delete_user, "stayer", moment)
        assert error.code == Code.INVALID_ARGUMENT and f"until_ms is {moment}" in error.message


@pytest.mark.parametrize(
    ("outputs", "task", "code", "message"),
    [
        ({"score_click": [[0.5]], "score_like": [[0.1]]}, "", Code.INVALID_ARGUMENT, "scores click, like: name one"),
        ({"score_click": [[0.5]], "score_like": [[0.1]]}, "like", None, "like"),
        ({"score_click": [[np.nan]]}, "", Code.INTERNAL, "no number"),
        ({"score_click": [[np.inf]]}, "", Code.INTERNAL, "no number"),
        ({"score_click": [0.5]}, "", Code.INTERNAL, r"shape \[1\] for 1 candidates"),
        ({"score_click": np.zeros((1, 0))}, "", Code.INTERNAL, r"shape \[1, 0\]"),
        ({"loss": [[0.5]]}, "", Code.INTERNAL, "no output that begins with score_"),
    ],
)
def test_answers_of_the_model(asking, stub, outputs, task, code, message):
    stub.answer = lambda inputs: {name: np.asarray(array, np.float32) for name, array in outputs.items()}
    if code is None:
        assert asking.rank("u", ["a"], task=task).task == message
        return
    error = refused(asking.rank, "u", ["a"], task=task)
    assert error.code == code
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(error.message)
