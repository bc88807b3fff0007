"""Transform on raw examples of every split: ids, padding, vocabularies, scaling; and the raw schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorflow_metadata.proto.v0 import schema_pb2

from pipelines.schema import raw_schema, write_schema
from pipelines.transform import standardise
from seminar_tf.config import FeatureConfig
from seminar_tf.data.dataset import DatasetSpec
from seminar_tf.data.examples import bytes_feature, float_feature, int_feature, serialize
from seminar_tf.features.vocabulary import feature_sizes, read_vocabulary
from tests.data.single_examples import item_example, query_example
from tests.pipelines.transform_helpers import transform

SPEC = DatasetSpec(spans=(1,), tasks=("click",), numeric=("price", "same"), image="pixels")
FEATURES = FeatureConfig(
    max_title_tokens=4,
    max_query_tokens=2,
    max_attributes=2,
    item_oov_buckets=3,
    query_oov_buckets=2,
    token_oov_buckets=2,
    attribute_oov_buckets=2,
)
ITEMS: list[dict[str, Any]] = [
    {"item_id": "a", "title": "Red shoe, RED", "text": "straße 42 x", "attributes": ["c=1", "c=2", "c=3"]},
    {"item_id": "b", "title": "hat", "attributes": ["c=1"], "numeric_price": 1.0, "numeric_same": 5.0},
    {"item_id": "é", "numeric_price": 3.0, "numeric_same": 5.0, "attributes": []},
    {"item_id": "rare", "title": None},
]
COUNTS = [1, 3, 2, 0]


def _segment() -> bytes:
    return serialize(
        {
            "user_id": bytes_feature([b"u"]),
            "split": bytes_feature([b"train"]),
            "span": int_feature([1]),
            "segment_start": int_feature([0]),
            "user_attributes": bytes_feature([b"age=3", b"c=1"]),
            "history_item_id": bytes_feature([b"b", b"only in a history", b"rare", b"b"]),
            "history_query": bytes_feature([b"", b"red shoe", b"never seen", b"hat"]),
            "history_timestamp": int_feature([1, 2, 3, 4]),
            "target_position": int_feature([1, 2]),
            "target_timestamp": int_feature([2, 3]),
            "target_request": int_feature([0, 1]),
            "target_item_id": bytes_feature(["é".encode(), b"b"]),
            "target_query": bytes_feature([b"red shoe", b""]),
            "label_click": float_feature([1.0, float("nan")]),
        }
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    out = tmp_path_factory.mktemp("graph")
    raw = [_segment()]
    raw += [item_example(item, b"\x00\xff\x10" * 2, count) for item, count in zip(ITEMS, COUNTS)]
    raw += [query_example(b"red shoe", 5), query_example(b"hat of a kind", 9)]
    return out, transform(raw, out, SPEC, FEATURES)


def test_vocabularies_hold_catalog_and_queries_by_train_frequency(made: tuple[Path, list]) -> None:
    out, _ = made
    assert read_vocabulary(out, "items") == ["b", "é", "a", "rare"]
    assert read_vocabulary(out, "queries") == ["hat of a kind", "red shoe"]
    assert sorted(read_vocabulary(out, "attributes")) == ["age=3", "c=1", "c=2", "c=3"]
    assert read_vocabulary(out, "attributes")[0] == "c=1"
    # The fifth token of the first item and the third of a query are cut off.
    assert sorted(read_vocabulary(out, "tokens")) == sorted(["red", "shoe", "straße", "hat", "of"])
    sizes = feature_sizes(out, FEATURES)
    assert (sizes.items, sizes.queries, sizes.tokens, sizes.attributes) == (1 + 4 + 3, 2 + 2 + 2, 1 + 5 + 2, 1 + 4 + 2)


def test_segments_become_ids_with_oov_buckets_after_the_vocabulary(made: tuple[Path, list]) -> None:
    row = made[1][0]
    items = list(row["history_item_id"])
    assert items[0] == items[3] == 1 and items[2] == 4 and 5 <= items[1] <= 7
    assert list(row["target_item_id"]) == [2, 1]
    queries = list(row["history_query"])
    assert queries[0] == 1 and queries[1] == 3 and all(4 <= q <= 5 for q in queries[2:])
    assert list(row["target_query"]) == [3, 1]
    assert len(row["user_attributes"]) == 2 and min(row["user_attributes"]) >= 1
    assert list(row["user_id"]) == [b"u"] and list(row["history_timestamp"]) == [1, 2, 3, 4]
    assert row["label_click"][0] == 1 and np.isnan(row["label_click"][1])
    assert len(row["item_id"]) == len(row["query"]) == len(row["item_tokens"]) == len(row["item_numeric_price"]) == 0


def test_catalog_becomes_tokens_attributes_and_scaled_numbers(made: tuple[Path, list]) -> None:
    out, rows = made
    tokens = {word: n + 1 for n, word in enumerate(read_vocabulary(out, "tokens"))}
    attributes = {name: n + 1 for n, name in enumerate(read_vocabulary(out, "attributes"))}
    first, second, third, rare = rows[1:5]
    assert [list(row["item_id"]) for row in rows[1:5]] == [[3], [1], [2], [4]]
    assert list(first["item_tokens"]) == [tokens[w] for w in ("red", "shoe", "red", "straße")]
    assert list(first["item_attributes"]) == [attributes["c=1"], attributes["c=2"]]
    assert len(rare["item_tokens"]) == len(third["item_tokens"]) == len(rare["item_attributes"]) == 0
    np.testing.assert_allclose([*second["item_numeric_price"], *third["item_numeric_price"]], [-1, 1], rtol=1e-6)
    assert list(second["item_numeric_same"]) == [0.0] and len(first["item_numeric_price"]) == 0
    assert list(first["item_image"]) == [b"\x00\xff\x10" * 2] and list(first["item_count"]) == [1]
    query = rows[5]
    assert list(query["query"]) == [3] and list(query["query_count"]) == [5]
    assert list(query["query_tokens"]) == [tokens["red"], tokens["shoe"]]


def test_numbers_are_scaled_alike_however_they_are_batched(tmp_path: Path) -> None:
    prices = np.random.default_rng(1).lognormal(3.0, 2.0, 120).astype(np.float32)
    raw = [item_example({"item_id": f"i{n}", "numeric_price": float(p)}, None, 1) for n, p in enumerate(prices)]
    spec = DatasetSpec(spans=(1,), numeric=("price",))
    found = []
    for batch_size in (7, 120):
        rows = transform(
            raw,
            tmp_path / str(batch_size),
            spec,
            FEATURES,
            batch_size,
            lambda inputs: {"price": standardise(inputs["item_numeric_price"])},
        )
        found.append(np.concatenate([row["price"] for row in rows]))
    np.testing.assert_array_equal(*found)
    np.testing.assert_allclose(found[0], (prices - prices.mean(dtype=np.float64)) / prices.std(dtype=np.float64), 1e-4)


def test_schema_has_every_raw_feature_as_optional(tmp_path: Path) -> None:
    schema = raw_schema(SPEC)
    types = {feature.name: feature.type for feature in schema.feature}
    assert types["item_numeric_price"] == types["label_click"] == schema_pb2.FLOAT
    assert types["history_timestamp"] == schema_pb2.INT and types["item_image"] == schema_pb2.BYTES
    assert not any(feature.HasField("presence") or feature.HasField("shape") for feature in schema.feature)
    path = write_schema(SPEC, tmp_path / "deep" / "schema.pbtxt")
    before = path.stat().st_mtime_ns
    assert write_schema(SPEC, path).stat().st_mtime_ns == before
