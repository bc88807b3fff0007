"""A run that is killed in the middle of an epoch, twice, ends with the bits of the unbroken one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.training.corpus import make_users, write_segments

ROOT = Path(__file__).resolve().parents[2]


def run(folder, name, kill_after):
    command = [sys.executable, "-m", "tests.training.resume_run", str(folder), name, str(kill_after)]
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}, stdout=subprocess.DEVNULL, stderr=None
    )


def test_killed_and_unbroken_runs_end_with_the_same_bits(tmp_path):
    users = make_users(7)
    write_segments(tmp_path, users)
    steps = -(-sum(len(user.targets["train"]) for user in users) // 16)
    assert steps >= 8, "the kills below must fall in the middle of an epoch"
    unbroken = run(tmp_path, "unbroken", 0)
    # The first kill is between two checkpoints of epoch 0, the second in epoch 1.
    for kill_after in (4, steps + 5):
        assert run(tmp_path, "killed", kill_after).wait() == -signal.SIGKILL
    assert run(tmp_path, "killed", 0).wait() == 0
    assert unbroken.wait() == 0
    with np.load(tmp_path / "unbroken.npz") as one, np.load(tmp_path / "killed.npz") as two:
        assert sorted(one.files) == sorted(two.files)
        assert not one["resumed"] and two["resumed"]
        assert str(one["history"]) == str(two["history"])
        for name in one.files:
            if name.startswith(("weight", "optimizer")):
                np.testing.assert_array_equal(one[name], two[name], err_msg=name)
