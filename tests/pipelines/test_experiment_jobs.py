"""The jobs of an experiment: order, cores, failures, what is done already, and processes that lose their parent."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pipelines.experiment.jobs import Job, Runner
from tests.preloaded import Preloaded

TARGETS = "tests.pipelines.experiment_targets"


def job(name: str, function: str, *arguments, outputs=(), needs=()) -> Job:
    return Job(name, f"{TARGETS}:{function}", arguments, tuple(outputs), tuple(needs))


def writing(path: Path, name: str, needs=()) -> Job:
    return job(name, "write", path / name, "x", outputs=[path / name], needs=needs)


def test_jobs_run_after_what_they_need_on_one_core_each(tmp_path):
    order = []
    runner = Runner(2, tmp_path / "logs", on_end=lambda job, outcome: order.append((job.name, outcome.status)))
    jobs = [writing(tmp_path, "a"), writing(tmp_path, "b", needs=["a"]), writing(tmp_path, "c")]
    assert runner.run(jobs)
    assert {name for name, _ in order} == {"a", "b", "c"} and {status for _, status in order} == {"done"}
    assert [name for name, _ in order if name != "c"] == ["a", "b"]
    assert {(tmp_path / name).read_text() for name in "abc"} == {"x1"}
    # Everything is there: no process is started.
    again = Runner(2, tmp_path / "none")
    assert again.run(jobs)
    assert {outcome.status for outcome in again.outcomes.values()} == {"cached"} and not (tmp_path / "none").exists()


def test_a_job_that_fails_costs_what_needs_it_and_no_more(tmp_path):
    runner = Runner(1, tmp_path / "logs")
    jobs = [
        job("bad / one", "fail", "a message\nof two lines", outputs=[tmp_path / "never"]),
        writing(tmp_path, "after", needs=["bad / one"]),
        writing(tmp_path, "later", needs=["after"]),
        job("gone", "vanish", outputs=[tmp_path / "never"]),
        job("idle", "nothing", outputs=[tmp_path / "never"]),
        writing(tmp_path, "good"),
    ]
    assert not runner.run(jobs)
    errors = {name: outcome.error for name, outcome in runner.outcomes.items()}
    assert errors == {
        "bad / one": "ValueError: a message of two lines",
        "after": "not run: bad / one failed",
        "later": "not run: after failed",
        "gone": "its process was killed by SIGKILL (out of memory?)",
        "idle": f"it ended well, but did not write {tmp_path / 'never'}",
        "good": "",
    }
    log = runner.outcomes["bad / one"].log
    assert log is not None and "Traceback" in log.read_text()
    # A need of an earlier call counts, too.
    assert not runner.run([writing(tmp_path, "next", needs=["gone"])])
    assert runner.outcomes["next"].error == "not run: gone failed"


def test_plans_that_make_no_sense_are_refused(tmp_path):
    runner = Runner(1, tmp_path)
    with pytest.raises(ValueError, match="two jobs are named 'a'"):
        runner.run([writing(tmp_path, "a"), writing(tmp_path, "a")])
    with pytest.raises(ValueError, match=r"'a' needs \['b'\], which come after it or are no jobs"):
        runner.run([writing(tmp_path, "a", needs=["b"]), writing(tmp_path, "b")])


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait(condition, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="reads /proc to see that a process has ended")
def test_a_job_does_not_outlive_the_process_that_started_it(tmp_path):
    said = tmp_path / "pid"
    parent = Preloaded("tests.pipelines.experiment_parent", str(said), str(tmp_path / "logs"))
    try:
        wait(lambda: said.exists() and said.read_text(), 60, "the job did not start")
    finally:
        parent.kill()
    process = int(said.read_text())
    wait(lambda: not alive(process), 20, f"process {process} is still there")
