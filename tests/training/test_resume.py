"""A run that is killed in the middle of an epoch ends with the bits of the unbroken one."""

import signal

import numpy as np

from tests.training.cluster import start_task
from tests.training.corpus import make_users, write_segments


def test_killed_and_unbroken_runs_end_with_the_same_bits(tmp_path):
    users = make_users(7)
    write_segments(tmp_path, users)
    steps = -(-sum(len(user.targets["train"]) for user in users) // 16)
    assert steps >= 8, "the kill below must fall in the middle of an epoch"
    unbroken = start_task("resume_run", str(tmp_path), "unbroken", "0")
    # In epoch 1, two steps after its first checkpoint.
    killed = start_task("resume_run", str(tmp_path), "killed", str(steps + 5))
    assert killed.wait(300) == -signal.SIGKILL
    assert start_task("resume_run", str(tmp_path), "killed", "0").wait(300) == 0
    assert unbroken.wait(300) == 0
    with np.load(tmp_path / "unbroken.npz") as one, np.load(tmp_path / "killed.npz") as two:
        assert sorted(one.files) == sorted(two.files)
        assert not one["resumed"] and two["resumed"]
        assert str(one["history"]) == str(two["history"])
        for name in one.files:
            if name.startswith(("weight", "optimizer")):
                np.testing.assert_array_equal(one[name], two[name], err_msg=name)
