"""Long histories and skew: a user of 100,000 events is one sequence, and memory is that of the partition's rows."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import seminar_tf  # noqa: F401

# isort: split
import tensorflow as tf

from components.behavior_example_gen import arrow
from components.behavior_example_gen.segments import BuildSegments
from components.behavior_example_gen.settings import IngestSettings
from seminar_tf.config import DataConfig
from seminar_tf.data.dataset import DatasetSpec

SETTINGS = IngestSettings(DataConfig(path="x"), DatasetSpec(spans=(1,)))
SOURCES = {"users": (), "events": ("span-1/events/part-0.parquet",), "requests": ()}
# Of everything at once: rows as they arrive, sorted columns, encoded examples.
MOST_BYTES_AN_EVENT = 1500


def rows(busy: int, others: int = 200, each: int = 50, seed: int = 0) -> pa.Table:
    """Events of one user with `busy` events among others with `each`, in order of time."""
    rng = np.random.default_rng(seed)
    user = rng.permutation(np.concatenate([np.zeros(busy, np.int64), np.repeat(np.arange(1, others + 1), each)]))
    count = len(user)
    item = rng.integers(0, 20_000, count)
    searched = rng.random(count) < 0.3
    return pa.table(
        {
            "user_id": pc.binary_join_element_wise("user-", pa.array(user).cast(pa.string()), ""),
            "timestamp": pa.array(np.sort(rng.integers(0, 10**12, count))),
            "kind": pa.array(np.where(searched, "search", "browse")),
            "query": pa.array(np.where(searched, "red shoe", None), pa.string()),
            "item_id": pc.binary_join_element_wise("item-", pa.array(item).cast(pa.string()), ""),
            "action": pa.array(np.full(count, "click")),
            "request_id": pa.nulls(count, pa.string()),
            "order": pa.array(np.arange(count)),
            "span": pa.array(np.ones(count, np.int32)),
        }
    )


def build(table: pa.Table) -> dict[str, list[Any]]:
    """What the partition makes, by tag; rows arrive as pieces, as they do from batches."""
    pieces = [arrow.to_bytes(table.slice(start, 8192)) for start in range(0, table.num_rows, 8192)]
    made: dict[str, list[Any]] = {}
    for output in BuildSegments(SETTINGS, 1, SOURCES).process((0, {"users": (), "events": pieces, "requests": ()})):
        made.setdefault(output.tag, []).append(output.value)
    return made


def test_a_user_of_100_000_events_is_one_sequence() -> None:
    table = rows(100_000)
    made = build(table)
    ((_, train),) = made["train"]
    examples = [tf.train.Example.FromString(record).features.feature for record in train]
    assert len(examples) == 201
    (busy,) = (e for e in examples if e["user_id"].bytes_list.value[0] == b"user-0")
    mine = table.filter(pc.equal(table["user_id"], "user-0"))
    # The last event is test, the one before it eval.
    assert list(busy["history_item_id"].bytes_list.value) == [v.encode() for v in mine["item_id"].to_pylist()[:-2]]
    assert list(busy["history_timestamp"].int64_list.value) == mine["timestamp"].to_pylist()[:-2]
    assert list(busy["target_position"].int64_list.value) == list(range(1, 99_998))


def peak(table: pa.Table) -> int:
    """Most bytes that NumPy, Python and Arrow held at once while the partition was built."""
    pool, before = pa.proxy_memory_pool(pa.system_memory_pool()), pa.default_memory_pool()
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        build(table)
        return int(tracemalloc.get_traced_memory()[1] + (pool.max_memory() or 0))
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)


@pytest.mark.parametrize("skewed", [False, True])
def test_memory_is_bounded_by_the_rows_however_they_are_spread(skewed: bool) -> None:
    sizes = (25_000, 100_000)
    tables = [rows(size - 10_000) if skewed else rows(0, others=size // 50) for size in sizes]
    small, large = (peak(table) for table in tables)
    assert large < MOST_BYTES_AN_EVENT * sizes[1]
    # Four times the rows take no more than four times the room, and a little.
    assert large < 4.5 * small
