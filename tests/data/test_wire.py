"""Serialized examples of whole columns against protobuf's own serialization, record by record."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

import seminar_tf  # noqa: F401

# isort: split
import tensorflow as tf

from seminar_tf.config import DataConfig
from seminar_tf.data import examples, wire
from seminar_tf.data.columns import strings
from seminar_tf.data.examples import bytes_feature, float_feature, int_feature, item_examples, query_examples, serialize
from seminar_tf.data.sequences import build_segments
from seminar_tf.features.text import normalise_text
from tests.data.single_examples import item_example, query_example, segment_example
from tests.data.test_sequences import TASKS, random_events, random_requests, table


def canonical(record: bytes) -> bytes:
    """The record with its features in protobuf's order, which differs from release to release."""
    return tf.train.Example.FromString(record).SerializeToString(deterministic=True)


EDGES = [0, 1, 127, 128, 16_383, 16_384, 2**31, 2**32, 1_700_000_000_000, 2**63 - 1, -1, -(2**63)]


@pytest.mark.parametrize("seed", range(4))
def test_any_lists_equal_protobuf(seed: int) -> None:
    rng = np.random.default_rng(seed)
    records = 40
    # Lengths around 127 and 16,383 bytes need one byte more for themselves; many lists are empty.
    sizes = rng.choice([0, 0, 1, 3, 40, 130, 5000], records)
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    distinct = np.array(sorted({b"", b"x" * 127, b"y" * 128, "ünï".encode(), b"\0\xff"}), object)
    codes = rng.integers(0, len(distinct), bounds[-1])
    numbers = rng.choice(np.array(EDGES), bounds[-1])
    floats = rng.normal(size=bounds[-1]).astype(np.float32)
    floats[::7] = np.nan
    made = wire.examples(
        {
            "z": wire.bytes_lists(codes, pa.array(distinct, pa.binary()), bounds),
            "a number": wire.int_lists(numbers, bounds),
            "floats": wire.float_lists(floats, bounds),
        }
    )
    for record in range(records):
        rows = slice(bounds[record], bounds[record + 1])
        expected = {
            "z": bytes_feature(distinct[codes[rows]].tolist()),
            "a number": int_feature(numbers[rows].tolist()),
            "floats": float_feature(floats[rows].tolist()),
        }
        assert canonical(made[record]) == serialize(expected)


def test_no_records_and_long_names() -> None:
    nothing = np.zeros(0, np.int64)
    assert len(wire.examples({"a": wire.int_lists(nothing, np.zeros(1, np.int64))})) == 0
    with pytest.raises(ValueError, match="has 128 bytes, expected at most 127"):
        wire.examples({"n" * 128: wire.int_lists(nothing, np.zeros(2, np.int64))})


@pytest.mark.parametrize("at_once", [1, 5, 262_144])
@pytest.mark.parametrize("logged", [False, True])
def test_segments_equal_one_by_one(logged: bool, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "_PAIRS_AT_ONCE", at_once)
    requests = table(random_requests(5)) if logged else None
    segments = build_segments(table(random_events(5)), requests, DataConfig(), TASKS, 2)
    attributes = {segments.pairs.users[0]: [b"age=30", "größe=1".encode()]}
    made = examples.segment_examples(segments, 300, TASKS, attributes)
    expected = [segment_example(segments, index, 300, TASKS, attributes) for index in range(len(segments))]
    assert len(made) > 5 and list(map(canonical, made)) == expected


def test_no_segments_make_no_examples() -> None:
    segments = build_segments(table([]), None, DataConfig(), TASKS, 2)
    assert examples.segment_examples(segments, 1, TASKS, {}).tolist() == []


@pytest.mark.parametrize("image_vectors", [False, True])
def test_items_and_queries_equal_one_by_one(image_vectors: bool) -> None:
    schema = pa.schema(
        [
            ("item_id", pa.string()),
            ("title", pa.string()),
            ("attributes", pa.list_(pa.string())),
            ("image_vector", pa.list_(pa.float32())),
            ("text_vector", pa.list_(pa.float32())),
            ("numeric_price", pa.float32()),
        ]
    )
    items = [
        {"item_id": "a", "title": "Tïtle", "attributes": [" c =  1 ", None, "", " ", "d=2"], "numeric_price": 1.5},
        {"item_id": "b", "title": "", "image_vector": [1.0, -2.0], "numeric_price": math.nan},
        {"item_id": "c", "attributes": [], "text_vector": [0.5] * 40, "image_vector": []},
        {"item_id": "d" * 200, "attributes": ["c = 1"], "text_vector": [0.25] * 40},
    ]
    pixels = [b"\0" * 300, None, b"", None]
    counts = np.array([0, 1, 2**40, 5])
    rows = pa.Table.from_pylist(items, schema)
    # Slices have offsets of their own.
    for first, last in ((0, 4), (1, 3), (3, 4), (2, 2)):
        made = item_examples(rows.slice(first, last - first), pixels[first:last], counts[first:last], image_vectors)
        expected = []
        for item, image, count in zip(rows.to_pylist()[first:last], pixels[first:last], counts[first:last]):
            stored = [normalise_text(value) for value in item["attributes"] or [] if value]
            vector = item["image_vector"] if image_vectors else None
            told = item | {"attributes": [value for value in stored if value], "image_vector": vector}
            expected.append(item_example(told, image, int(count)))
        assert list(map(canonical, made)) == expected
    queries = strings(pa.array(["b", "", "ü"]))
    expected = [query_example(query, count) for query, count in zip([b"b", b"", "ü".encode()], [3, 0, 200])]
    assert list(map(canonical, query_examples(queries, np.array([3, 0, 200])))) == expected
