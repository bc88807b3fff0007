"""The quality benchmark's own parts: rows, the held-out tail, the tables."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import quality, quality_run, quality_tables
from benchmarks.quality_run import Transformed
from seminar_tf.config import EvaluationConfig
from seminar_tf.training.ranking import TargetMetrics
from seminar_tf.training.records import concatenate, read_segments
from tests.pipelines.test_trainers import CONFIG, SPEC, write_dataset
from tests.training.corpus import ITEMS


def segments(data: Transformed, split: str):
    return concatenate(list(read_segments(data.files(split), SPEC.tasks)))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Transformed:
    root = tmp_path_factory.mktemp("quality")
    write_dataset(root)
    return Transformed(root / "examples", root / "graph")


def test_held_out_targets_leave_the_train_split_and_nothing_else_does(data, tmp_path):
    held_out = np.array([3, 4, 5, 6, 7, 8])
    copy = quality_run.without_targets(data, held_out, tmp_path)
    before, after = segments(data, "train"), segments(copy, "train")
    gone = np.isin(before.target_item, held_out)
    assert 0 < gone.sum() < len(gone)
    for field in ("item", "query", "timestamp", "user_id", "start", "pair_splits", "attribute"):
        np.testing.assert_array_equal(getattr(before, field), getattr(after, field))
    for field in ("target_item", "target_query", "target_timestamp", "target_position", "label"):
        np.testing.assert_array_equal(getattr(before, field)[~gone], getattr(after, field))
    for split in ("eval", "test"):
        np.testing.assert_array_equal(segments(data, split).target_item, segments(copy, split).target_item)
    assert quality_run.without_targets(data, held_out[1:], tmp_path).examples != copy.examples


def test_a_tenth_of_the_items_is_held_out_whatever_else_is_there():
    held_out = quality.tenth(range(10_000))
    assert 800 < len(held_out) < 1_200
    np.testing.assert_array_equal(quality.tenth(range(100)), held_out[held_out < 100])


def test_a_row_trains_once_and_ranks_every_user(data, tmp_path, monkeypatch):
    monkeypatch.setattr(quality_run, "describe", lambda path: SPEC)
    base = quality_run.pretrained(CONFIG, data, tmp_path)
    # What only fine-tuning reads does not pretrain again.
    other = replace(CONFIG, model=replace(CONFIG.model, short_length=0), seminar=replace(CONFIG.seminar, epochs=1))
    assert quality_run.pretrained(other, data, tmp_path) == base
    unaligned = replace(CONFIG, psu=replace(CONFIG.psu, align_weight=0.0))
    folders = [quality_run.pretrained_folder(c, data, tmp_path) for c in (CONFIG, unaligned)]
    assert folders[0] in base.parents and folders[1] != folders[0]
    model = quality_run.fine_tuned(CONFIG, data, base, tmp_path)
    assert quality_run.training_report(model)["seconds"] > 0
    evaluation = EvaluationConfig(candidates="sampled", negatives=9)
    ranks = quality_run.user_ranks(model, data, evaluation, "test")
    test = segments(data, "test")
    order = np.argsort(test.user_id)
    np.testing.assert_array_equal(ranks.users, test.user_id[order])
    np.testing.assert_array_equal(ranks.items, test.target_item[order])
    assert ((ranks.values["ndcg_at_10"] > 0) & (ranks.values["ndcg_at_10"] <= 1)).all()
    for kept in model.parent.glob("test-*.npz"):
        kept.unlink()
    again = quality_run.user_ranks(model, data, evaluation, "test")
    np.testing.assert_array_equal(again.values["mrr"], ranks.values["mrr"])


def ranks(value: float) -> dict[str, TargetMetrics]:
    users = np.array([b"%d" % n for n in range(50)])
    values = {m: np.linspace(value, value + 0.1, 50) for m in ("ndcg_at_5", "ndcg_at_10", "ndcg_at_50", "mrr")}
    return {"sampled": TargetMetrics(users, 1 + np.arange(50) % ITEMS, values | {"hit_at_10": np.ones(50)})}


def test_tables_show_means_intervals_and_paired_differences(capsys):
    results = {("SEMINAR", s): ranks(0.5 + s / 100) for s in (1, 2, 3)} | {("no gate", 1): ranks(0.41)}
    summary = quality_tables.print_table(results, "sampled")
    lines = capsys.readouterr().out.splitlines()
    assert "| SEMINAR | 3 | " in lines[3] and "0.5700 ± 0.0248" in lines[3]
    # Against seed 1 alone, whose mean is 0.56.
    assert "| no gate | 1 | " in lines[4] and "-0.1000 [-0.1000, -0.1000]" in lines[4]
    assert summary["no gate"]["ndcg_at_10"] == [pytest.approx(0.46), None]
    assert summary["no gate"]["difference"].startswith("-0.1000")
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    results |= {("long tail", 1): ranks(0.3), ("long tail, no pretraining", 1): ranks(0.2)}
    quality_tables.print_tail(results, "sampled", np.array([1, 2]))
    out = capsys.readouterr().out
    assert "| 2 items that are no train target | 4 test targets |" in out
    assert "+0.1000 [+0.1000, +0.1000]" in out


def cores(_: int) -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def test_workers_have_a_core_each():
    assert quality.in_workers(cores, [1, 2, 3], jobs=2) == [1, 1, 1]


def test_every_row_is_a_configuration_of_its_own():
    made = [(row.config(CONFIG, 1), row.tail) for row in quality.ROWS]
    assert all(made.count(m) == 1 for m in made)
