"""The measured table: what is chosen, and what is said where nothing was measured."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from seminar_tf.retrieval.auto import Choice, Measured, UnmeasuredError
from seminar_tf.retrieval.served import COMPILED, PLAIN

TABLE = {
    "devices": {
        "CPU": {
            "lengths": [1_000, 10_000],
            "targets": [1, 16, 200],
            "seconds": {
                "adc": [[1, 5, 9], [1, 1, 9]],
                "decode": [[2, 2, 2], [3, 3, 3]],
                "exact_fused": [[9, 9, 9], [9, 9, 1]],
            },
        }
    }
}


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "measured.json"
    path.write_text(json.dumps(TABLE))
    return Measured.load("CPU", path)


def test_the_nearest_measured_size_by_ratio_decides(table):
    choose = lambda n, length: table.choose(n, length, ("adc", "decode"))  # noqa: E731
    assert choose(1, 1_000) == "adc" and choose(16, 1_000) == "decode" and choose(16, 10_000) == "adc"
    # 3,000 is nearer to 1,000 by ratio, 3,300 to 10,000; 4 is nearer to 1 and 5 to 16.
    assert choose(16, 3_000) == "decode" and choose(16, 3_300) == "adc"
    assert choose(3, 10) == "adc" and choose(5, 10) == "decode" and choose(10_000, 10**7) == "decode"
    assert table.choose(200, 10_000, ("adc", "decode", "exact_fused")) == "exact_fused"


def test_it_says_what_it_chooses(table):
    said = table.describe(("adc", "decode"))
    assert "CPU: L 1,000, N 1: adc; L 1,000, N 16: decode" in said and "L 10,000, N 200: decode" in said


def test_the_graph_chooses_as_python_does(table):
    choice = Choice(table, "adc", "decode")
    in_graph = tf.function(lambda n, length: choice(n, length), input_signature=[tf.TensorSpec([], tf.int32)] * 2)
    for n in (1, 3, 5, 16, 50, 200, 1_000):
        for length in (1, 500, 3_000, 3_300, 100_000):
            wanted = table.choose(n, length, ("adc", "decode")) == "adc"
            assert choice(n, length) is wanted
            assert bool(in_graph(tf.constant(n), tf.constant(length))) is wanted
    # One that is never faster needs no branch in the graph.
    slower = Measured("CPU", table.targets, table.lengths, {**table.seconds, "slow": table.seconds["decode"] + 99})
    assert Choice(slower, "slow", "decode")(tf.constant(1), tf.constant(1)) is False
    assert Choice(slower, "decode", "slow")(tf.constant(1), tf.constant(1)) is True
    never = Measured("CPU", table.targets, table.lengths, {"never": np.full((2, 3), np.inf)})
    with pytest.raises(UnmeasuredError, match="none was measured at some L and N"):
        never.fastest(["never"])


def test_what_was_not_measured_is_refused(table, tmp_path):
    with pytest.raises(UnmeasuredError, match=r"device TPU: measured\.json has times of CPU"):
        Measured.load("TPU", tmp_path / "measured.json")
    with pytest.raises(UnmeasuredError, match="lsh: CPU has times of adc, decode, exact_fused"):
        table.choose(1, 1, ("lsh", "adc"))


def test_the_table_that_comes_with_the_package_has_the_served_ways():
    table = Measured.load()
    for methods in (PLAIN, COMPILED):
        assert table.fastest(methods).shape == (len(table.lengths), len(table.targets))
        assert np.isfinite([table.seconds[name][:2, :2] for name in methods]).all()
