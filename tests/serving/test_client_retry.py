"""The retry policy on a clock of its own: pauses grow, jitter stays in bounds, one deadline covers all attempts."""

from __future__ import annotations

import itertools
import random

import grpc
import pytest

from serving.calls import ServingError
from serving.retry import Attempts, RetryPolicy

Code = grpc.StatusCode


class Failure(grpc.RpcError):
    def __init__(self, code):
        self._code = code

    def code(self):
        return self._code

    def details(self):
        return "made up"


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def play(policy, timeout_s, seed=0, call_s=0.0, code=Code.UNAVAILABLE):
    """Fails every attempt. Returns budgets, pauses, the last error, and the time that it all took."""
    clock, budgets, pauses = Clock(), [], []
    attempts = Attempts(policy, timeout_s, "there:1", random.Random(seed), clock)
    while True:
        budgets.append(attempts.begin())
        clock.now += call_s
        try:
            pauses.append(attempts.pause_after(Failure(code)))
        except ServingError as error:
            return budgets, pauses, error, clock.now - 100.0
        clock.now += pauses[-1]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("jitter", [0.0, 0.3, 1.0])
def test_pauses_double_up_to_the_cap_within_their_jitter(seed, jitter):
    policy = RetryPolicy(max_attempts=12, backoff_s=0.1, max_backoff_s=5.0, jitter=jitter)
    _, pauses, error, _ = play(policy, timeout_s=1e6, seed=seed)
    longest = [min(0.1 * 2**n, 5.0) for n in range(11)]
    assert len(pauses) == 11
    assert all((1 - jitter) * most <= pause <= most for pause, most in zip(pauses, longest))
    assert error.code == Code.UNAVAILABLE
    assert error.message == "made up [there:1, 12 attempts]"


def test_the_seed_decides_the_pauses():
    policy = RetryPolicy(max_attempts=5)
    runs = [play(policy, 1e6, seed)[1] for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("seed", range(20))
def test_attempts_and_pauses_fit_in_the_deadline(seed):
    rng = random.Random(seed)
    timeout_s, call_s = rng.uniform(0.1, 5.0), rng.uniform(0.01, 0.5)
    policy = RetryPolicy(max_attempts=1000, backoff_s=rng.uniform(0.01, 1.0), jitter=rng.random())
    budgets, pauses, _, took = play(policy, timeout_s, seed, call_s)
    assert budgets[0] == pytest.approx(timeout_s)
    assert all(later < earlier for earlier, later in itertools.pairwise(budgets))
    assert all(budget > 0 for budget in budgets)
    assert took <= timeout_s + call_s
    assert len(pauses) == len(budgets) - 1


@pytest.mark.parametrize("code", [code for code in Code if code != Code.UNAVAILABLE])
def test_only_unavailable_is_tried_again(code):
    budgets, pauses, error, _ = play(RetryPolicy(max_attempts=9), 10.0, code=code)
    assert (len(budgets), pauses, error.code) == (1, [], code)
    assert error.message == "made up [there:1]"


@pytest.mark.parametrize("timeout_s", [0.0, -5.0])
def test_no_attempt_is_begun_after_the_deadline(timeout_s):
    attempts = Attempts(RetryPolicy(), timeout_s, "there:1", random.Random(0), Clock())
    with pytest.raises(ServingError, match=r"before attempt 1 was sent \[there:1\]") as caught:
        attempts.begin()
    assert caught.value.code == Code.DEADLINE_EXCEEDED


def test_a_pause_that_lasts_too_long_ends_the_call():
    clock = Clock()
    attempts = Attempts(RetryPolicy(), 1.0, "there:1", random.Random(0), clock)
    attempts.begin()
    assert attempts.pause_after(Failure(Code.UNAVAILABLE)) < 1.0
    clock.now += 3.0  # the machine was busy
    with pytest.raises(ServingError, match="before attempt 2 was sent"):
        attempts.begin()


def test_what_an_answer_cost():
    clock = Clock()
    attempts = Attempts(RetryPolicy(), 10.0, "there:1", random.Random(0), clock)
    attempts.begin()
    clock.now += 0.5
    attempts.pause_after(Failure(Code.UNAVAILABLE))
    attempts.begin()
    clock.now += 0.25
    reply = attempts.succeed(b"x")
    assert (reply.raw, reply.attempts, reply.latency_s) == (b"x", 2, 0.75)


@pytest.mark.parametrize("many", [1, 100, 5000])
def test_no_number_of_attempts_overflows(many):
    assert RetryPolicy(jitter=0.0, max_backoff_s=3.0).pause_s(many, random.Random(0)) <= 3.0


@pytest.mark.parametrize(
    "wrong",
    [{"max_attempts": 0}, {"backoff_s": -0.1}, {"backoff_s": float("nan")}, {"max_backoff_s": -1.0}, {"jitter": 1.1}],
)
def test_a_policy_that_makes_no_sense(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RetryPolicy(**wrong)
