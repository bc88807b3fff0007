"""The signature `embed_items`: the vectors that the search compares, from each kind of served table."""

from __future__ import annotations

import numpy as np
import pytest

from seminar_tf.config import RetrievalConfig
from seminar_tf.export.ranker_module import RankerModule
from seminar_tf.features import names
from seminar_tf.features.lookup import IdLookup
from seminar_tf.features.vocabulary import feature_sizes
from seminar_tf.retrieval.served import prepare
from seminar_tf.retrieval.tables import gsu_tables
from tests.serving import fake_ranker as fake

import tensorflow as tf  # isort: skip

CODES = {"tables": "codes", "subvectors": 4, "query_subvectors": 4, "centroids": 16, "search": "decode"}
TABLES = {
    "float": RetrievalConfig(tables="float"),
    "fused": RetrievalConfig(),
    "codes of fused": RetrievalConfig(**CODES),
    "codes of channels": RetrievalConfig(**CODES, fuse=False),
}


@pytest.fixture(scope="module", params=TABLES)
def served(request, tmp_path_factory):
    """(model, its `embed_items` of strings, (item ids, query ids) -> [n, d] computed in NumPy)."""
    vocabularies = fake.write_vocabularies(tmp_path_factory.mktemp("embed") / "transform")
    sizes = feature_sizes(vocabularies, fake.CONFIG.features)
    model = fake.seminar(sizes, seed=4)
    rng = np.random.default_rng(4)
    for weight in model.trainable_variables:
        weight.assign_add(rng.normal(0, 0.1, weight.shape).astype(np.float32))
    exact = gsu_tables(model)
    prepared = prepare(model, TABLES[request.param])
    oracle = exact if prepared.codes is None else prepared.codes.decoded()
    lookup = IdLookup(vocabularies, fake.CONFIG.features)
    function = RankerModule(model, lookup, sizes, fake.CONFIG, fake.TASKS).functions()["embed_items"]

    def embed(items, queries):
        inputs = {names.ITEM_ID: tf.constant(items, tf.string), names.QUERY: tf.constant(queries, tf.string)}
        return function(inputs)["embedding"].numpy()

    return model, embed, oracle.pairs


def strings(items, queries):
    return [["", *fake.ITEMS][n] for n in items], [["", "", *fake.QUERIES][n] for n in queries]


@pytest.mark.parametrize("seed", [0, 1])
def test_vectors_are_those_of_the_tables(served, seed):
    _, embed, pairs = served
    rng = np.random.default_rng(seed)
    items, queries = rng.integers(1, 41, 30), rng.integers(1, 14, 30)
    found = embed(*strings(items, queries))
    assert found.dtype == np.float32 and found.shape == (30, fake.CONFIG.model.dim)
    np.testing.assert_allclose(found, pairs(items, queries), rtol=1e-4, atol=1e-5)
    for n in range(3):
        np.testing.assert_allclose(embed(*strings(items[n : n + 1], queries[n : n + 1]))[0], found[n], atol=1e-6)


def test_the_search_scores_a_pair_by_these_vectors(served):
    model, embed, _ = served
    batch = fake.batch(np.random.default_rng(5), rows=1, length=9, width=6)
    query = np.repeat(batch[names.QUERY], 6)
    targets = embed(*strings(batch[names.CANDIDATE_ITEM_ID][0], query))
    keys = embed(*strings(batch[names.HISTORY_ITEM_ID][0], batch[names.HISTORY_QUERY][0]))
    heads, dim = fake.CONFIG.model.heads, fake.CONFIG.model.dim
    fold = model.search.query_kernel.numpy() @ model.search.key_kernel.numpy().T / (heads * (dim // heads) ** 0.5)
    gap = batch[names.REQUEST_TIMESTAMP][:, None] - batch[names.HISTORY_TIMESTAMP]
    recency = model.recency(tf.constant(gap), tf.constant(np.arange(9)[None, ::-1].astype(np.int32)))
    scores = model.search_scores({name: tf.constant(values) for name, values in batch.items()}).numpy()[0]
    np.testing.assert_allclose(targets @ fold @ keys.T + np.mean(recency, axis=-1), scores, rtol=1e-3, atol=1e-4)


def test_unknown_strings_have_their_buckets_vectors_and_no_item_has_zeros(served):
    _, embed, pairs = served
    features = fake.CONFIG.features
    item = 41 + int(tf.strings.to_hash_bucket_fast("never seen", features.item_oov_buckets))
    query = 14 + int(tf.strings.to_hash_bucket_fast("who knows", features.query_oov_buckets))
    found = embed(["never seen", "item3", ""], ["", "  who   knows ", "query 1"])
    expected = pairs(np.array([item, 4]), np.array([1, query]))
    np.testing.assert_allclose(found[:2], expected, rtol=1e-4, atol=1e-5)
    assert (found[2] == 0.0).all() and np.abs(found[1]).max() > 0


def test_none_to_embed(served):
    assert served[1]([], []).shape == (0, fake.CONFIG.model.dim)


def test_lists_of_two_lengths_are_refused(served):
    with pytest.raises(tf.errors.InvalidArgumentError, match="query must have as many rows as item_id"):
        served[1](["item1", "item2"], [""])


def test_only_a_seminar_has_it(exported, call):
    _, model, signatures = exported
    assert ("embed_items" in signatures) == ("search_history" in signatures) == hasattr(model, "pairs")
    if "embed_items" in signatures:
        found = signatures["embed_items"].structured_outputs["embedding"]
        assert (found.dtype, found.shape.as_list()) == (tf.float32, [None, fake.CONFIG.model.dim])
        arrays = {"item_id": np.array([b"item1", b"item2"]), "query": np.array([b"", b"query 1"])}
        expected = model.pairs(tf.constant([2, 3]), tf.constant([1, 3]))
        np.testing.assert_allclose(call(signatures["embed_items"], arrays)["embedding"], expected, atol=1e-6)
