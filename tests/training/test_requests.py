"""Eval and test requests see all pairs before them over all splits, and samples are of whole users."""

import numpy as np
import pytest

from seminar_tf.evaluation.requests import SegmentError
from seminar_tf.training.blocks import request_block
from seminar_tf.training.records import concatenate
from seminar_tf.training.requests import UserSegments, join_sequences, join_targets, load_requests, load_users
from tests.training.corpus import make_users, write_segments

TASKS = ("click", "like")


@pytest.mark.parametrize("split", ["eval", "test"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_requests_see_every_earlier_pair_of_every_split(tmp_path, split, seed):
    users = {user.user_id: user for user in make_users(seed)}
    files = write_segments(tmp_path, list(users.values()))
    requests = load_requests(load_users(files, split, TASKS), 0, 7)
    assert [r.user for r in requests] == sorted(users)
    for request in requests:
        user = users[request.user]
        (target,) = user.targets[split]
        seen = user.pairs[: target.position][-7:]
        assert request.item.tolist() == [p[0] for p in seen]
        assert request.query.tolist() == [p[1] for p in seen]
        assert request.timestamp.tolist() == [p[2] for p in seen]
        assert request.target_item.tolist() == [target.item]
        assert request.request_timestamp == target.timestamp
        assert request.user_attributes.tolist() == user.attributes


@pytest.mark.parametrize("seed", [0, 1])
def test_a_sample_depends_on_users_and_seed_only(tmp_path, seed):
    users = make_users(3, count=30)
    one = load_users(write_segments(tmp_path / "a", users), "eval", TASKS, 8, seed)
    two = load_users(write_segments(tmp_path / "b", users[::-1], shards=3), "eval", TASKS, 8, seed)
    test = load_users(write_segments(tmp_path / "c", users), "test", TASKS, 8, seed)
    assert one.users == two.users == test.users
    assert len(one.users) == 8
    assert set(one.parts["train"].user_id.tolist()) == set(one.users)
    other = load_users(write_segments(tmp_path / "d", users), "eval", TASKS, 8, seed + 10)
    assert other.users != one.users


def test_joined_sequences_are_whole(tmp_path):
    users = {user.user_id: user for user in make_users(4)}
    joined = join_sequences(load_users(write_segments(tmp_path, list(users.values())), "test", TASKS))
    assert joined.user_id.tolist() == sorted(users)
    for row, name in enumerate(joined.user_id.tolist()):
        pairs = slice(joined.pair_splits[row], joined.pair_splits[row + 1])
        assert joined.item[pairs].tolist() == [p[0] for p in users[name].pairs]
        attributes = slice(joined.attribute_splits[row], joined.attribute_splits[row + 1])
        assert joined.attribute[attributes].tolist() == users[name].attributes
    assert len(joined.target_item) == 0 and np.diff(joined.target_splits).sum() == 0


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("split", ["eval", "test"])
def test_joined_targets_are_those_of_the_split_and_see_what_its_requests_see(tmp_path, split, grouped):
    users = {user.user_id: user for user in make_users(6, grouped=grouped)}
    joined = join_targets(load_users(write_segments(tmp_path, list(users.values())), split, TASKS))
    assert joined.user_id.tolist() == sorted(users)
    wanted = [target for name in sorted(users) for target in users[name].targets[split]]
    assert joined.target_item.tolist() == [target.item for target in wanted]
    labels = [[target.labels[task] for task in TASKS] for target in wanted]
    np.testing.assert_array_equal(joined.label, np.array(labels, np.float32))
    block = request_block(joined, grouped)
    assert len(block.user) == len(users)
    for row, name in enumerate(sorted(users)):
        target = users[name].targets[split][0]
        seen = users[name].pairs[: target.position]
        assert block.item[block.begin[row] : block.end[row]].numpy().tolist() == [p[0] for p in seen]
        assert int(block.request_timestamp[row]) == target.timestamp


def test_two_segments_of_one_user_are_noticed(tmp_path):
    users = load_users(write_segments(tmp_path, make_users(7)), "eval", TASKS)
    own = users.parts["eval"]
    begin = own.target_position[own.target_splits[:-1]]  # as if the pair had a segment of its own before it
    twice = concatenate([own, own._replace(start=begin + 1)])
    with pytest.raises(ValueError, match="expected one each"):
        join_targets(UserSegments({**users.parts, "eval": twice}, "eval"))


def test_a_missing_split_is_noticed(tmp_path):
    files = write_segments(tmp_path, make_users(5))
    other = write_segments(tmp_path / "other", make_users(5, longest=40))
    users = load_users({**files, "eval": other["eval"]}, "test", TASKS)
    with pytest.raises(ValueError, match="not of one dataset"):
        join_sequences(users)
    with pytest.raises(SegmentError):
        load_requests(users, 0, 100)
