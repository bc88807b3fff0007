"""The loops against a simulated server, whose latencies are known by arithmetic; percentiles by their definition."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from serving.load.compare import LoadError, Plan, Variant, compare
from serving.load.loops import Reply, Sample, closed_loop, open_loop, poisson
from serving.load.report import middle, percentile, summarize
from tests.serving.simulated import SimulatedClock, SimulatedServer

SEEDS = range(8)


@pytest.mark.parametrize("seed", SEEDS)
def test_arrivals_are_poisson(seed):
    rate, seconds = 50.0, 200.0
    moments = poisson(rate, seconds, seed)
    assert (np.diff(moments) >= 0).all() and moments[0] >= 0 and moments[-1] < seconds
    assert abs(len(moments) - rate * seconds) < 5 * math.sqrt(rate * seconds)
    gaps = np.diff(moments)
    # Exponential: as wide as long, and 1/e of the gaps above the mean.
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.1)
    assert (gaps > gaps.mean()).mean() == pytest.approx(1 / math.e, abs=0.03)
    np.testing.assert_array_equal(moments, poisson(rate, seconds, seed))
    assert not np.array_equal(moments, poisson(rate, seconds, seed + 100))


@pytest.mark.parametrize(("rate", "seconds"), [(0.0, 1.0), (-1.0, 1.0), (1.0, 0.0), (float("nan"), 1.0)])
def test_arrivals_need_a_rate_and_a_length(rate, seconds):
    with pytest.raises(ValueError, match="above 0"):
        poisson(rate, seconds, 0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("load", [0.3, 0.9, 1.5])
def test_open_loop_counts_queueing(seed, load):
    clock = SimulatedClock()
    service = np.random.default_rng(seed).exponential(0.01, 400)
    moments = poisson(load / 0.01, 4.0, seed)
    clock.sleep_until(7.0)
    samples = open_loop(SimulatedServer(clock, service), [b"a", b"b"], moments, clock)
    # Lindley: a call waits for what its predecessor leaves over.
    waits, wait = [], 0.0
    for number in range(len(moments)):
        if number:
            wait = max(0.0, wait + service[(number - 1) % 400] - (moments[number] - moments[number - 1]))
        waits.append(wait + service[number % 400])
    np.testing.assert_allclose([s.latency for s in samples], waits, atol=1e-9)
    np.testing.assert_allclose([s.intended for s in samples], 7.0 + moments)


def test_open_loop_owes_what_the_generator_slept_over():
    clock = SimulatedClock()
    clock.oversleeps = {0.2: 1.0}
    server = SimulatedServer(clock, [0.001])
    samples = open_loop(server, [b"r"], np.arange(10) / 10, clock)
    # The third call should have left at 0.2 and left at 1.2, and so did those that came due meanwhile.
    assert [round(s.sent, 6) for s in samples] == [0.0, 0.1, *[1.2] * 8]
    expected = [0.001, 0.001] + [1.2 + 0.001 * (n + 1) - (n + 2) / 10 for n in range(8)]
    np.testing.assert_allclose([s.latency for s in samples], expected, atol=1e-9)
    assert summarize(samples).late_p99_ms == pytest.approx(1000.0)


def test_open_loop_sends_while_answers_are_outstanding():
    clock = SimulatedClock()
    server = SimulatedServer(clock, [5.0])
    samples = open_loop(server, [b"a", b"b", b"c"], np.array([0.0, 0.1, 0.2, 0.3]), clock)
    assert server.received == [b"a", b"b", b"c", b"a"]
    np.testing.assert_allclose([s.ended for s in samples], [5.0, 10.0, 15.0, 20.0])
    assert open_loop(server, [b"a"], np.array([]), clock) == []


def test_closed_loop_waits_for_each_answer():
    clock = SimulatedClock()
    server = SimulatedServer(clock, [0.1, 0.3])
    samples = closed_loop(server, [b"a", b"b", b"c"], callers=1, seconds=1.0, clock=clock)
    np.testing.assert_allclose([s.sent for s in samples], [0.0, 0.1, 0.4, 0.5, 0.8, 0.9])
    np.testing.assert_allclose([s.latency for s in samples], [0.1, 0.3] * 3)
    assert server.received == [b"a", b"b", b"c"] * 2
    found = summarize(samples)
    assert (found.calls, found.errors) == (6, {})
    assert found.qps == pytest.approx(6 / 1.2)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("count", [1, 2, 99, 100, 101, 1000])
def test_percentiles_by_their_definition(seed, count):
    values = np.random.default_rng(seed).exponential(1.0, count)
    for percent in (50, 95, 99, 100):
        found = percentile(values, percent)
        assert found in values
        assert (values <= found).mean() >= percent / 100 - 1e-12
        assert (values < found).mean() < percent / 100


def test_summary_counts_failures_apart():
    replies = ["OK", "UNAVAILABLE", "OK", "DEADLINE_EXCEEDED", "UNAVAILABLE"]
    samples = [Sample(n, n, n + (0.5 if r == "OK" else 99.0), Reply(r)) for n, r in enumerate(replies)]
    found = summarize(samples)
    assert (found.calls, found.failed) == (5, 3)
    assert found.errors == {"UNAVAILABLE": 2, "DEADLINE_EXCEEDED": 1}
    assert (found.p50_ms, found.max_ms) == (500.0, 500.0)
    assert found.qps == pytest.approx(2 / 103)


def test_nothing_answered_has_no_percentiles():
    found = summarize([Sample(0.0, 0.0, 1.0, Reply("INTERNAL"))])
    assert math.isnan(found.p50_ms) and found.qps == 0.0
    assert found.to_json()["p99_ms"] is None and found.to_json()["late_p99_ms"] == 0.0
    assert summarize([]).calls == 0


def test_medians_of_rounds():
    rounds = [
        summarize([Sample(0.0, 0.0, ms / 1e3, Reply("OK")), Sample(0.0, 0.0, 0.001, Reply(status))])
        for ms, status in ((5, "OK"), (100, "ABORTED"), (7, "ABORTED"))
    ]
    found = middle(rounds)
    assert (found.calls, found.errors) == (6, {"ABORTED": 2})
    assert found.max_ms == pytest.approx(7.0)


class _Instant:
    """Answers at once and writes down who was asked."""

    def __init__(self, name, asked, status="OK"):
        self.name, self.asked, self.status = name, asked, status

    def call(self, request):
        self.asked.append(self.name)
        return Reply(self.status, message="why")

    def start(self, request, done):
        done(self.call(request))


def test_variants_take_turns_and_the_open_loop_follows_at_its_share():
    asked: list[str] = []
    variants = [Variant(name, "s", "packed", _Instant(name, asked), [b"r"]) for name in "ab"]
    rows = compare(variants, Plan(callers=1, seconds=0.03, rounds=3, warmup_s=0.0, share=0.5))
    assert [name for name, _ in itertools.groupby(asked)] == ["a", "b"] * 7  # first calls, 3 rounds, 3 rounds
    assert [(row.variant.model, row.loop, len(row.rounds)) for row in rows] == [
        ("a", "closed", 3), ("b", "closed", 3), ("a", "open", 3), ("b", "open", 3)
    ]  # fmt: skip
    assert rows[2].offered_qps == pytest.approx(0.5 * rows[0].middle.qps)
    shown = rows[1].to_json(rows[0])
    assert shown["qps_ratio"] == pytest.approx(rows[1].middle.qps / rows[0].middle.qps)
    assert shown["request_bytes"] == 1 and len(shown["rounds"]) == 3


def test_a_variant_that_fails_is_not_measured():
    variants = [Variant("a", "s", "packed", _Instant("a", [], "NOT_FOUND"), [b"r"])]
    with pytest.raises(LoadError, match=r"a, s, packed: the first call failed\. NOT_FOUND: why"):
        compare(variants, Plan())


@pytest.mark.parametrize(
    ("given", "message"),
    [({"callers": 0}, "callers is 0"), ({"seconds": -1.0}, "seconds is -1"), ({"qps": 0.0}, "qps is 0"),
     ({"qps": 3.0, "share": 0.5}, "not both")],
)  # fmt: skip
def test_a_plan_that_makes_no_sense(given, message):
    with pytest.raises(LoadError, match=message):
        Plan(**given)
