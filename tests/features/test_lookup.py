"""The served graph's ids are Transform's ids, for the known and the unknown, saved and loaded; and the text rules."""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest

import seminar_tf  # noqa: F401

# isort: split
import tensorflow as tf

from seminar_tf.config import FeatureConfig
from seminar_tf.data.dataset import DatasetSpec
from seminar_tf.data.examples import bytes_feature, serialize
from seminar_tf.features.lookup import IdLookup
from seminar_tf.features.text import normalise_tensor, normalise_text, tokens
from tests.data.single_examples import item_example, query_example
from tests.pipelines.transform_helpers import transform

FEATURES = FeatureConfig(item_oov_buckets=7, query_oov_buckets=5, token_oov_buckets=3, attribute_oov_buckets=4)
ITEMS = ["a", "b c", "ünïcode", "日本", "-1"]
QUERIES = ["red shoe", "Ünder wegs", "日 本", "hat"]
UNKNOWN = ["nobody", "ñ", "🙂 smile", "b  c", "A", *[f"unknown {n}" for n in range(30)]]
ATTRIBUTES = ["color=red", "size=ä"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    out = tmp_path_factory.mktemp("graph")
    segment = {
        "history_item_id": bytes_feature([s.encode() for s in ITEMS + UNKNOWN]),
        "history_query": bytes_feature([s.encode() for s in [*QUERIES, "", *UNKNOWN]]),
        "user_attributes": bytes_feature([b"size=\xc3\xa4", b"age=9"]),
    }
    raw = [serialize(segment)]
    raw += [item_example({"item_id": i, "title": f"{i} İstanbul x²", "attributes": ATTRIBUTES}, None, 1) for i in ITEMS]
    raw += [query_example(q.encode(), 1) for q in QUERIES]
    return out, transform(raw, out, DatasetSpec(spans=(1,)), FEATURES)


def test_ids_equal_those_of_transform(made: tuple[Path, list[dict]]) -> None:
    out, rows = made
    lookup = IdLookup(out, FEATURES)
    items = lookup.items(tf.constant([ITEMS + UNKNOWN, [""] * len(ITEMS + UNKNOWN)]))
    assert items.dtype == tf.int32
    np.testing.assert_array_equal(items[0], rows[0]["history_item_id"])
    np.testing.assert_array_equal(items[1], 0)
    stored = [*QUERIES, "", *(normalise_text(q) for q in UNKNOWN)]
    at = [n for n, q in enumerate([*QUERIES, "", *UNKNOWN]) if q == stored[n]]
    np.testing.assert_array_equal(lookup.queries(tf.constant(stored)).numpy()[at], rows[0]["history_query"][at])
    assert lookup.queries(tf.constant(["", " \t", "hat", " hat\n"])).numpy().tolist()[:2] == [1, 1]
    assert len(set(lookup.queries(tf.constant(["hat", " hat\n"])).numpy())) == 1
    np.testing.assert_array_equal(
        lookup.history_queries(tf.constant(["hat", "", ""]), tf.constant(["a", "a", ""])).numpy()[1:], [1, 0]
    )
    np.testing.assert_array_equal(lookup.attributes(tf.constant(["size=ä", "age=9"])), rows[0]["user_attributes"])
    assert lookup.attributes(tf.constant([""])).numpy().tolist() == [0]


def test_tokens_equal_those_of_transform(made: tuple[Path, list[dict]]) -> None:
    out, rows = made
    lookup = IdLookup(out, FEATURES)
    titles = lookup.tokens(tf.constant([f"{i} İstanbul x²" for i in ITEMS]), 24)
    assert titles.shape == (len(ITEMS), 24)
    for row, title in zip(rows[1:], titles.numpy()):
        assert title[title > 0].tolist() == list(row["item_tokens"])
    assert (lookup.tokens(tf.constant(["a a a", ""]), 2).numpy()[1] == 0).all()


def test_lookup_exports_with_its_files(made: tuple[Path, list[dict]], tmp_path: Path) -> None:
    class Served(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lookup = IdLookup(made[0], FEATURES)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def ids(self, items: tf.Tensor) -> tf.Tensor:
            return self.lookup.items(items)

    served = Served()
    tf.saved_model.save(served, str(tmp_path / "staged"))
    (tmp_path / "staged").rename(tmp_path / "moved")
    assert {p.name for p in (tmp_path / "moved" / "assets").iterdir()} >= {"items", "queries"}
    loaded = tf.saved_model.load(str(tmp_path / "moved"))
    values = tf.constant(ITEMS + UNKNOWN)
    np.testing.assert_array_equal(loaded.ids(values), served.ids(values))


def test_a_missing_vocabulary_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="vocabulary 'items' is not at"):
        IdLookup(tmp_path, FEATURES)


def test_white_space_is_the_same_in_python_and_in_the_graph() -> None:
    points = [chr(p) for p in range(sys.maxunicode + 1) if not 0xD800 <= p <= 0xDFFF]
    texts = ["", "  ", "a", *(f"{c} a{c}{c}b {c}" for c in points)]
    found = normalise_tensor(tf.constant([t.encode() for t in texts])).numpy()
    assert found.tolist() == [normalise_text(t).encode() for t in texts]


def test_tokens_are_runs_of_letters_digits_and_marks() -> None:
    texts = ["Red-SHOE, 42!", "", "ÄÖ_ü", "e\u0301te\u0301", "हिन्दी", "日本 x", "🙂"]
    found = [[w.decode() for w in row] for row in tokens(tf.constant(texts)).to_list()]
    assert found == [["red", "shoe", "42"], [], ["äö", "ü"], ["e\u0301te\u0301"], ["हिन्दी"], ["日本", "x"], []]


def test_every_code_point_is_a_word_or_a_cut() -> None:
    # Python's Unicode tables and the graph's are of different age: only what Unicode 3.2 had and kept. Not NUL, at
    # which the graph's lower() ends a string.
    old = unicodedata.ucd_3_2_0.category
    points = [chr(p) for p in range(1, 0x3000)]
    points = [c for c in points if old(c) != "Cn" and old(c)[0] == unicodedata.category(c)[0]]
    counts = tokens(tf.constant([f"a{c}b" for c in points])).row_lengths().numpy()
    words = np.array([unicodedata.category(c)[0] in "LNM" for c in points])
    np.testing.assert_array_equal(counts, np.where(words, 1, 2))
