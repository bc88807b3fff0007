"""The serving benchmarks: one request on a real server, a soak's verdict by arithmetic, the page they write."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import pages, serving_report
from benchmarks.random_ranker import Sizes
from benchmarks.serving_one import measure
from benchmarks.serving_soak import FLAT_MIB_A_SWAP, levels, verdict, windows
from serving.load.loops import Reply, Sample

MACHINE = {"commit": "abc1234", "tensorflow": "2.16.2", "cores": 2, "load": 0.5}
TINY = Sizes(items=400, queries=300, length=32, candidates=5, dim=8, heads=2, top_k=4)


def test_one_request_and_where_its_time_goes(tmp_path):
    found = measure(tmp_path, TINY, ["rank_indexed"], ["fused"], calls=6, rounds=2)
    (row,) = found["rows"]
    assert (row["tables"], row["signature"], row["calls"]) == ("fused", "rank_indexed", 6)
    assert sum(row["shares"].values()) == pytest.approx(1.0)
    assert all(share > 0 for share in row["shares"].values())
    assert 0 < row["parts_p50_ms"]["tensorflow"] < row["p50_ms"] <= row["p99_ms"] <= row["max_ms"]
    assert row["times_faster"] == pytest.approx(row["one_by_one_s"] * 1e3 / row["p50_ms"])
    table = serving_report.one_table(found | {"machine": MACHINE})
    assert "L = 32, N = 5, d = 8, H = 2, K = 4, 400 items; 6 calls" in table
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows[:3]}) == 1 and len({line.count("|") for line in rows[3:]}) == 1


def _found(slope: float, swaps: int, seed: int) -> dict:
    """A soak whose memory grows by `slope` MiB at each swap, and by 300 MiB while two versions are loaded."""
    rng = np.random.default_rng(seed)
    moments = [60.0 * n for n in range(1, swaps + 1)]
    memory = []
    for second in range(60 * (swaps + 1)):
        done = sum(moment <= second for moment in moments)
        loading = any(moment <= second < moment + 15 for moment in moments)
        settling = 200.0 * min(done, 2)
        mib = 900.0 + settling + slope * done + 300.0 * loading + rng.normal(0, 0.3)
        memory.append({"at_s": float(second), "mib": mib})
    return {
        "soak": {"seconds": 60.0 * (swaps + 1)},
        "summary": {"errors": {"UNAVAILABLE": 2, "INTERNAL": 1}},
        "memory": memory,
        "swaps": [{"published_s": moment, "first_answer_s": moment + 14.0} for moment in moments],
    }


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("slope", [-1.0, 0.0, 1.5, 3.0, 20.0])
def test_flat_by_the_stated_rule(slope, seed):
    said = verdict(_found(slope, 9, seed))
    assert said["failed"] == 3
    assert said["mib_a_swap"] == pytest.approx(slope, abs=0.3)
    assert said["flat"] is (slope < FLAT_MIB_A_SWAP)
    assert len(said["levels_mib"]) == 10


def test_too_few_swaps_say_nothing_of_memory():
    said = verdict(_found(0.0, 2, 0))
    assert said["flat"] is None and said["mib_a_swap"] is None


def test_a_version_that_never_answered_was_no_swap():
    found = _found(0.0, 9, 0)
    found["swaps"][-1]["first_answer_s"] = None  # the run may end before the last one is up
    assert verdict(found)["flat"] is True
    found["swaps"][4]["first_answer_s"] = None
    assert verdict(found)["flat"] is None


def test_levels_are_of_the_second_halves():
    memory = [(float(second), 5.0 if second % 10 < 5 else 1.0 + second // 10) for second in range(30)]
    assert levels(memory, [10.0, 20.0], 30.0) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("seed", range(3))
def test_windows_hold_every_call_once(seed):
    rng = np.random.default_rng(seed)
    moments = np.sort(rng.uniform(100.0, 160.0, 500))
    samples = [Sample(m, m, m + rng.exponential(0.02), Reply(rng.choice(["OK", "OK", "ABORTED"]))) for m in moments]
    rows = windows(samples, 100.0, 10.0)
    assert sum(row["calls"] for row in rows) == 500
    assert sum(row["failed"] for row in rows) == sum(s.reply.status != "OK" for s in samples)
    for row in rows:
        inside = [s for s in samples if row["from_s"] <= s.intended - 100.0 < row["from_s"] + 10.0]
        answered = [1e3 * s.latency for s in inside if s.reply.status == "OK"]
        assert len(inside) == row["calls"]
        assert row["p50_ms"] <= row["p99_ms"] <= max(answered)


def test_only_the_marked_section_changes(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- one -->\nold\n<!-- end of one -->\nafter\n", encoding="utf-8")
    for text in ("new\n\n| table |", "newer"):
        pages.write_section(page, "one", text)
        assert page.read_text(encoding="utf-8") == f"before\n<!-- one -->\n{text}\n<!-- end of one -->\nafter\n"
    with pytest.raises(ValueError, match="expected <!-- two --> and <!-- end of two -->"):
        pages.write_section(page, "two", "x")
