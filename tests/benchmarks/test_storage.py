"""The storage benchmark on few users: both layouts hold the same, and the ratio grows with the targets a user has."""

from __future__ import annotations

import pytest

import seminar_tf  # noqa: F401

# isort: split
import tensorflow as tf

from benchmarks.storage import make_events, measure, target_examples
from seminar_tf.config import DataConfig
from seminar_tf.data.sequences import build_segments


def test_both_layouts_hold_the_same_targets_and_histories() -> None:
    segments = build_segments(make_events(0, 3, 40, 5, seed=1), None, DataConfig(), ("click",), 1)
    assert len(segments) == 9
    examples = [tf.train.Example.FromString(record).features.feature for record in target_examples(segments)]
    assert len(examples) == 15
    lengths = [len(example["history_item_id"].bytes_list.value) for example in examples]
    assert lengths == [35, 36, 37, 38, 39] * 3
    newest = [example["target_timestamp"].int64_list.value[0] for example in examples]
    assert all(max(e["history_timestamp"].int64_list.value) <= t for e, t in zip(examples, newest))


@pytest.mark.parametrize(("spread", "least"), [(False, 15), (True, 8)])
def test_ratio_is_near_the_number_of_targets(spread: bool, least: float) -> None:
    found = measure(users=6, events=1000, targets=20, sample=2, seed=1, spread=spread)
    assert (found["segment_examples"], found["target_examples"]) == (18, 120)
    assert least < found["ratio_uncompressed"] < 21
    # Histories as short as these fit in gzip's window.
    assert found["ratio"] > 1
