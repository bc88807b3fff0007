"""The exported graph, called in Python: shapes, padding, long and empty histories, what is not in the vocabulary."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seminar_tf.config.release import SIGNATURE_NAMES, ServingConfig
from seminar_tf.export import inputs
from seminar_tf.export.metadata import ModelMetadata
from seminar_tf.export.signatures import export_ranker
from seminar_tf.export.warmup import FILE
from seminar_tf.features import names
from seminar_tf.features.vocabulary import feature_sizes
from tests.serving import fake_ranker as fake

import tensorflow as tf  # isort: skip
from tensorflow_serving.apis import prediction_log_pb2

L = fake.CONFIG.model.serving_history_length
HISTORY = (names.HISTORY_ITEM_ID, names.HISTORY_QUERY, names.HISTORY_TIMESTAMP)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scores_are_the_models(exported, call, seed):
    _, model, signatures = exported
    ids = fake.batch(np.random.default_rng(seed), rows=3, length=7, width=5)
    got = call(signatures["rank_indexed"], ids)
    logits = model(ids)
    assert set(got) == {"score_click", "score_like"}
    for task in fake.TASKS:
        assert got[f"score_{task}"].dtype == np.float32
        np.testing.assert_allclose(got[f"score_{task}"], tf.sigmoid(logits[task]), atol=1e-6)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_strings_score_as_ids(exported, call, seed):
    _, _, signatures = exported
    ids = fake.batch(np.random.default_rng(seed), rows=2, length=9, width=4)
    by_id, by_name = call(signatures["rank_indexed"], ids), call(signatures["serving_default"], fake.to_raw(ids))
    for name in by_id:
        np.testing.assert_allclose(by_name[name], by_id[name], atol=1e-6)


@pytest.mark.parametrize("signature", ["rank_indexed", "serving_default"])
def test_padding_changes_no_score(exported, call, signature):
    _, _, signatures = exported
    ids = fake.batch(np.random.default_rng(5), rows=2, length=6, width=3)
    wide = {**ids, names.CANDIDATE_ITEM_ID: np.pad(ids[names.CANDIDATE_ITEM_ID], [(0, 0), (0, 4)])}
    for name in (*HISTORY, names.USER_ATTRIBUTES):
        wide[name] = np.pad(ids[name], [(0, 0), (0, 30)])
    convert = fake.to_raw if signature == "serving_default" else dict
    short, padded = (call(signatures[signature], convert(arrays)) for arrays in (ids, wide))
    for name in short:
        np.testing.assert_allclose(padded[name][:, :3], short[name], atol=1e-6)
        assert (padded[name][:, 3:] == 0.0).all()


def test_no_more_attributes_than_in_training(exported, call):
    _, _, signatures = exported
    most = fake.CONFIG.features.max_attributes
    raw = fake.to_raw(fake.batch(np.random.default_rng(7), rows=2, length=6, width=3))
    raw[names.USER_ATTRIBUTES] = np.array([[f"name={n + row}" for n in range(most + 5)] for row in (0, 9)], np.object_)
    cut = {**raw, names.USER_ATTRIBUTES: raw[names.USER_ATTRIBUTES][:, :most]}
    fewer = {**raw, names.USER_ATTRIBUTES: raw[names.USER_ATTRIBUTES][:, : most - 1]}
    scores = [call(signatures["serving_default"], arrays)["score_click"] for arrays in (raw, cut, fewer)]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-6)
    assert np.abs(scores[0] - scores[2]).max() > 1e-5


@pytest.mark.parametrize("extra", [1, 50])
def test_longer_histories_keep_the_newest_pairs(exported, call, extra):
    _, _, signatures = exported
    ids = fake.batch(np.random.default_rng(6), rows=2, length=L + extra, width=3)
    # The second row is shorter than the array, so its newest pairs are not in the last columns.
    for name in HISTORY:
        ids[name][1, L + 1 :] = 0
    cut = {**ids, **{name: np.stack([ids[name][0, extra:], ids[name][1, 1 : L + 1]]) for name in HISTORY}}
    for signature, convert in (("rank_indexed", dict), ("serving_default", fake.to_raw)):
        long, short = (call(signatures[signature], convert(arrays)) for arrays in (ids, cut))
        for name in long:
            np.testing.assert_allclose(long[name], short[name], atol=1e-6)


@pytest.mark.parametrize(("length", "width", "attributes"), [(0, 3, 1), (4, 0, 1), (4, 3, 0), (0, 0, 0)])
def test_axes_without_elements(exported, call, length, width, attributes):
    _, _, signatures = exported
    ids = fake.batch(np.random.default_rng(7), rows=2, length=length, width=width)
    ids[names.USER_ATTRIBUTES] = ids[names.USER_ATTRIBUTES][:, :attributes]
    by_id, by_name = call(signatures["rank_indexed"], ids), call(signatures["serving_default"], fake.to_raw(ids))
    for name in by_id:
        assert by_id[name].shape == (2, width)
        assert np.isfinite(by_id[name]).all()
        np.testing.assert_allclose(by_name[name], by_id[name], atol=1e-6)


def test_empty_history_is_a_history_of_padding(exported, call):
    _, _, signatures = exported
    ids = fake.batch(np.random.default_rng(8), rows=1, length=0, width=4)
    padded = {**ids, **{name: np.zeros((1, 5), ids[name].dtype) for name in HISTORY}}
    empty, zeros = call(signatures["rank_indexed"], ids), call(signatures["rank_indexed"], padded)
    np.testing.assert_allclose(empty["score_click"], zeros["score_click"], atol=1e-6)


def test_unknown_strings_fall_in_oov_buckets(exported, call):
    _, _, signatures = exported
    ids = fake.batch(np.random.default_rng(9), rows=1, length=2, width=2)
    raw = fake.to_raw(ids)
    unknown = [b"never seen", "ünknown \U0001f600".encode()]
    raw[names.CANDIDATE_ITEM_ID] = np.array([unknown], np.object_)
    raw[names.QUERY] = np.array([unknown[0]], np.object_)
    features = fake.CONFIG.features
    buckets = tf.strings.to_hash_bucket_fast(unknown, features.item_oov_buckets).numpy()
    ids[names.CANDIDATE_ITEM_ID] = (len(fake.ITEMS) + 1 + buckets)[None].astype(np.int32)
    bucket = int(tf.strings.to_hash_bucket_fast(unknown[0], features.query_oov_buckets))
    ids[names.QUERY] = np.array([len(fake.QUERIES) + 2 + bucket], np.int32)
    got, expected = call(signatures["serving_default"], raw), call(signatures["rank_indexed"], ids)
    np.testing.assert_allclose(got["score_click"], expected["score_click"], atol=1e-6)


def test_ids_out_of_range_are_padding_or_the_last_bucket(exported, call):
    _, _, signatures = exported
    ids = fake.batch(np.random.default_rng(10), rows=1, length=3, width=3)
    last = len(fake.ITEMS) + fake.CONFIG.features.item_oov_buckets
    wild, tame = dict(ids), dict(ids)
    wild[names.CANDIDATE_ITEM_ID] = np.array([[2**31 - 1, -5, 1]], np.int32)
    tame[names.CANDIDATE_ITEM_ID] = np.array([[last, 0, 1]], np.int32)
    wild[names.QUERY], tame[names.QUERY] = np.array([-1], np.int32), np.array([1], np.int32)
    wild[names.HISTORY_QUERY] = np.array([[0, -7, 10**6]], np.int32)
    tame[names.HISTORY_QUERY] = np.array([[1, 1, 1 + len(fake.QUERIES) + 2]], np.int32)
    got, expected = call(signatures["rank_indexed"], wild), call(signatures["rank_indexed"], tame)
    np.testing.assert_allclose(got["score_click"], expected["score_click"], atol=1e-6)
    assert got["score_click"][0, 1] == 0.0


@pytest.mark.parametrize(
    ("name", "shape"), [(names.HISTORY_QUERY, (2, 3)), (names.HISTORY_TIMESTAMP, (1, 4)), (names.QUERY, (1,))]
)
def test_inputs_that_do_not_belong_together_are_refused(exported, call, name, shape):
    _, _, signatures = exported
    ids = fake.batch(np.random.default_rng(11), rows=2, length=4, width=3)
    ids[name] = np.zeros(shape, ids[name].dtype)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"{name} must have"):
        call(signatures["rank_indexed"], ids)


def test_graph_has_stock_ops_and_no_python(exported):
    path, _, _ = exported
    from tensorflow.core.protobuf import saved_model_pb2

    graph = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes()).meta_graphs[0].graph_def
    used = {node.op for node in graph.node} | {n.op for f in graph.library.function for n in f.node_def}
    assert not {op for op in used if "PyFunc" in op or op == "BatchFunction"}


def test_warmup_covers_every_signature_but_the_compiled_one_and_every_width(exported, call):
    path, _, signatures = exported
    seen = set()
    for record in tf.data.TFRecordDataset(str(path / FILE)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        assert request.model_spec.name == "ranker"
        name = request.model_spec.signature_name
        arrays = {key: tf.make_ndarray(tensor) for key, tensor in request.inputs.items()}
        assert arrays.keys() == inputs.SIGNATURES[name].keys()
        (shape, *_) = [array.shape for array in call(signatures[name], arrays).values()]
        seen.add((name, shape[0 if name == "embed_items" else 1]))
    assert seen == {(s, n) for s in set(signatures) - {"rank_indexed_xla"} for n in (1, 5)}


def test_metadata_says_what_was_exported(exported):
    path, _, _ = exported
    found = ModelMetadata.load(path)
    assert found.tasks == fake.TASKS
    assert found.known_items == len(fake.ITEMS)
    assert not [child for child in Path(path).parent.iterdir() if child.name.startswith(".")]


def test_only_the_signatures_that_are_asked_are_exported(exported, call, tmp_path):
    assert set(SIGNATURE_NAMES) == set(inputs.SIGNATURES)
    folder, model, every = exported
    vocabularies = folder.parent / "transform"
    asked = replace(fake.CONFIG, serving=ServingConfig(signatures=("rank_indexed",), warmup_candidates=(1, 2)))
    counts = np.zeros(feature_sizes(vocabularies, fake.CONFIG.features).items, np.int64)
    export_ranker(model, vocabularies, asked, fake.TASKS, tmp_path / "model", counts)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    assert set(loaded.signatures) == {"rank_indexed"}
    ids = fake.batch(np.random.default_rng(3), rows=2, length=4, width=3)
    np.testing.assert_array_equal(
        call(loaded.signatures["rank_indexed"], ids)["score_click"], call(every["rank_indexed"], ids)["score_click"]
    )
    requests = list(tf.data.TFRecordDataset(str(tmp_path / "model" / FILE)).as_numpy_iterator())
    assert len(requests) == 2
    lacking = replace(asked, serving=ServingConfig(signatures=("rank_indexed", "search_history")))
    if "search_history" not in every:
        with pytest.raises(ValueError, match=r"serving\.signatures: this ranker has .*, not \['search_history'\]"):
            export_ranker(model, vocabularies, lacking, fake.TASKS, tmp_path / "other", counts)
