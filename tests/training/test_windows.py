"""Windows cut by index arithmetic equal those of a loop over Python lists, and never show a pair to come."""

import numpy as np
import pytest
import tensorflow as tf

from seminar_tf.features import names
from seminar_tf.training import windows
from seminar_tf.training.blocks import request_block, sequence_block
from seminar_tf.training.records import concatenate, parse_segments, read_segments
from tests.training.corpus import User, make_users, segment_example, write_segments

TASKS = ("click", "like")


def load(tmp_path, users):
    files = write_segments(tmp_path, users)
    return concatenate(list(read_segments(files["train"], TASKS)))


def by_user(users: list[User], segments) -> list[User]:
    known = {user.user_id: user for user in users}
    return [known[user] for user in segments.user_id.tolist()]


@pytest.mark.parametrize("length", [1, 5, 64])
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("grouped", [False, True])
def test_windows_equal_a_naive_loop(tmp_path, seed, length, grouped):
    users = make_users(seed, grouped=grouped)
    segments = load(tmp_path, users)
    block = request_block(segments, grouped)

    expected = []
    for user in by_user(users, segments):
        groups: dict[int, list] = {}
        for n, target in enumerate(user.targets["train"]):
            groups.setdefault(target.request if grouped else n, []).append(target)
        expected += [(user, group) for group in groups.values()]
    assert len(expected) == len(block.user)

    requests = tf.range(len(expected), dtype=tf.int64)
    batch = windows.request_batch(block, requests, length, 3)
    items, labels = windows.candidates(block, requests, 6)
    for row, (user, group) in enumerate(expected):
        seen = user.pairs[: group[0].position][-length:]
        pad = length - len(seen)
        assert batch[names.HISTORY_ITEM_ID][row].numpy().tolist() == [p[0] for p in seen] + [0] * pad
        assert batch[names.HISTORY_QUERY][row].numpy().tolist() == [p[1] for p in seen] + [0] * pad
        assert batch[names.HISTORY_TIMESTAMP][row].numpy().tolist() == [p[2] for p in seen] + [0] * pad
        assert batch[names.QUERY][row] == group[0].query
        assert batch[names.REQUEST_TIMESTAMP][row] == group[0].timestamp
        attributes = user.attributes[:3]
        assert batch[names.USER_ATTRIBUTES][row].numpy().tolist() == attributes + [0] * (3 - len(attributes))
        assert items[row].numpy().tolist() == [t.item for t in group] + [0] * (6 - len(group))
        wanted = [[t.labels[task] for task in TASKS] for t in group] + [[np.nan] * 2] * (6 - len(group))
        np.testing.assert_array_equal(labels[row].numpy(), wanted)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_window_holds_a_pair_at_or_after_its_target(tmp_path, seed):
    users = make_users(seed)
    for user in users:
        # Pair p happens at p + 1 ms, so that a timestamp tells its position.
        user.pairs = [(item, query, n + 1) for n, (item, query, _) in enumerate(user.pairs)]
    segments = load(tmp_path, users)
    block = request_block(segments, False)
    batch = windows.history_windows(block, tf.range(len(block.user), dtype=tf.int64), 7)
    newest = batch[names.HISTORY_TIMESTAMP].numpy().max(axis=1)
    np.testing.assert_array_equal(newest, segments.target_position)


@pytest.mark.parametrize("stride", [1, 4])
def test_sequence_windows_end_at_the_end_and_every_stride_before(tmp_path, stride):
    users = make_users(3)
    segments = load(tmp_path, users)
    block = sequence_block(segments, stride)
    batch = windows.history_windows(block, tf.range(len(block.user), dtype=tf.int64), 6)
    expected = []
    for user in by_user(users, segments):
        pairs = user.pairs[: user.ends["train"]]
        expected += [pairs[:end][-6:] for end in range(len(pairs), 1, -stride)]
    assert len(expected) == len(block.user)
    for row, seen in enumerate(expected):
        assert batch[names.HISTORY_ITEM_ID][row].numpy().tolist() == [p[0] for p in seen] + [0] * (6 - len(seen))


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("stride", [1, 4])
def test_windows_from_the_first_target_on_are_those_that_hold_a_new_pair(tmp_path, stride, seed):
    users = make_users(seed)
    for n, user in enumerate(users):
        # As many of the newest targets as a rolling window leaves: of some users one or two, of others none.
        user.targets["train"] = user.targets["train"][-(n % 3) :] if n % 3 else []
    segments = load(tmp_path, users)
    block = sequence_block(segments, stride, from_targets=True)
    every = sequence_block(segments, stride)
    expected = []
    for user in by_user(users, segments):
        first = min((target.position for target in user.targets["train"]), default=len(user.pairs))
        # A window that ends at `end` holds pairs up to number end - 1.
        expected += [(user.user_id, end) for end in range(user.ends["train"], 1, -stride) if end - 1 >= first]
    found = [(segments.user_id[row], int(end - segments.pair_splits[row])) for row, end in zip(block.user, block.end)]
    assert found == expected
    assert 0 < len(expected) < len(every.user)
    # What is asked of a window is the same, whichever are kept.
    known = {key: n for n, key in enumerate(zip(every.user.numpy(), every.end.numpy()))}
    rows = [known[key] for key in zip(block.user.numpy(), block.end.numpy())]
    for name in ("begin", "request_query", "request_timestamp"):
        np.testing.assert_array_equal(getattr(block, name), tf.gather(getattr(every, name), rows), err_msg=name)


def serialized(features):
    feature = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
        if isinstance(values[0], bytes)
        else tf.train.Feature(float_list=tf.train.FloatList(value=values))
        if isinstance(values[0], float)
        else tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        for name, values in features.items()
        if len(values)
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def test_a_target_outside_its_segment_is_refused():
    user = make_users(0)[0]
    user.targets["train"][-1].position = user.ends["train"] + 1
    segments = parse_segments(tf.constant([serialized(segment_example(user, "train", None))]), TASKS)
    with pytest.raises(tf.errors.InvalidArgumentError, match="beyond its segment's last pair"):
        request_block(segments, False)


def test_parallel_lists_of_different_length_are_refused():
    features = segment_example(make_users(0)[0], "train", None)
    features[names.HISTORY_QUERY] = features[names.HISTORY_QUERY][:-1]
    with pytest.raises(tf.errors.InvalidArgumentError, match="history_query and history_item_id differ in length"):
        parse_segments(tf.constant([serialized(features)]), TASKS)
