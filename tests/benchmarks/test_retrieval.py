"""The retrieval benchmark's own parts: what counts as found, and which methods are in the table."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.retrieval import measure, recall
from benchmarks.retrieval_data import Pairs, random, random_pairs, request
from benchmarks.retrieval_methods import methods, served_names
from benchmarks.retrieval_report import draw, write_measured, write_tables
from seminar_tf.retrieval.auto import Measured


def test_recall_counts_ties_with_the_last_place_as_found():
    scores = np.array([[3.0, 1.0, 2.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    assert recall(np.array([[0, 2], [1, 3]]), scores) == 1.0
    assert recall(np.array([[0, 1], [0, 1]]), scores) == 0.75
    # Two of the three best are wanted beside one that ties with the third.
    assert recall(np.array([[0, 2, 3], [0, 1, 2]]), scores) == 1.0


def test_a_history_longer_than_a_users_goes_on_with_the_next():
    pairs = Pairs(np.arange(50, dtype=np.int32), np.arange(50, dtype=np.int32) + 100)
    items, queries, targets, typed = request(pairs, 30, 4, seed=1)
    assert items.shape == queries.shape == (1, 30) and targets.shape == typed.shape == (1, 4)
    np.testing.assert_array_equal(np.diff(items[0]), 1)
    np.testing.assert_array_equal(queries - items, 100)
    np.testing.assert_array_equal(typed - targets, 100)


@pytest.mark.parametrize("seed", [0, 1])
def test_every_method_is_measured_and_exact_ones_find_everything(seed):
    made = random(items=500, queries=300, dim=16, seed=seed)
    rows = {row["method"]: row for row in measure(made, methods(made), random_pairs(made, 2_000), (300, 3, 20), 2, 1)}
    assert {"exact_unfused", "sdc", "adc_xla", "decode_fused4_weighted_x2", "hnsw_cascaded", "faiss_pq"} <= rows.keys()
    assert served_names(16).keys() <= rows.keys()
    assert rows["exact_fused"]["recall"] == rows["exact_unfused"]["recall"] == rows["faiss_flat"]["recall"] == 1.0
    # The same scores by other means.
    assert rows["adc"]["recall"] == pytest.approx(rows["decode"]["recall"], abs=0.05)
    assert rows["sdc"]["recall"] == pytest.approx(rows["sdc_collapsed"]["recall"], abs=0.05)
    assert rows["adc_fused12_weighted"]["recall"] == pytest.approx(
        rows["decode_xla_fused12_weighted"]["recall"], abs=0.05
    )
    assert rows["decode_fused4_weighted_x2"]["recall"] > rows["decode_fused4_weighted"]["recall"]
    assert all(row["search_seconds"] > 0 and row["index_seconds"] > 0 for row in rows.values())
    assert rows["adc"]["built_seconds"] > 0 and rows["exact_fused"]["built_seconds"] == 0


def test_tables_and_autos_times_hold_every_figure(tmp_path):
    def row(name, seconds):
        times = {"index_seconds": 0.001, "search_seconds": seconds}
        return {"method": name, "recall": 0.5, **times, "bytes": 60.0, "built_seconds": 2.0}

    found = [
        {
            "embeddings": "a",
            "shape": (1_000, n, 100),
            "rows": [row("adc_x", n / 100), {"method": "hnsw", "left_out": True}],
        }
        for n in (1, 16)
    ]
    write_tables(found, tmp_path / "tables.md", "a test")
    text = (tmp_path / "tables.md").read_text()
    assert "## a, L = 1,000: Recall@K" in text and "| method | bytes | built, s | N 1, K 100 | N 16, K 100 |" in text
    assert "| adc_x | 60 | 2.0 | 11.0 | 161.0 |" in text and "hnsw" not in text
    write_measured(found, {"adc_x": "adc", "gone": "decode"}, tmp_path / "measured.json")
    table = Measured.load("CPU", tmp_path / "measured.json")
    np.testing.assert_allclose(table.seconds["adc"], [[0.011, 0.161]])
    assert np.isinf(table.seconds["decode"]).all()
    draw(found, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000
