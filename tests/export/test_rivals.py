"""Rivals exported: the signatures that each has, the model's scores from them, and the model read back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from seminar_tf.config import RetrievalConfig
from seminar_tf.export.metadata import MetadataError, ModelMetadata
from seminar_tf.export.ranker_module import served_variables
from seminar_tf.export.restored import restore_ranker, restore_seminar
from seminar_tf.export.signatures import export_ranker
from seminar_tf.features.vocabulary import feature_sizes
from tests.serving import fake_ranker as fake

import tensorflow as tf  # isort: skip

ALL = {"serving_default", "rank_indexed", "rank_indexed_xla", "examples", "embed_items"}


@pytest.fixture(scope="module", params=["twin", "sdim", "sasrec"])
def exported(request, tmp_path_factory):
    """(folder, model, ranker)."""
    root = tmp_path_factory.mktemp("rival")
    config = replace(
        fake.CONFIG,
        model=replace(fake.CONFIG.model, ranker=request.param),
        retrieval=RetrievalConfig(tables="float"),
    )
    vocabularies = fake.write_vocabularies(root / "transform")
    sizes = feature_sizes(vocabularies, config.features)
    model, rng = fake.rival(sizes, 3, config), np.random.default_rng(3)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(0, 0.1, variable.shape).astype(np.float32))
    export_ranker(model, vocabularies, config, fake.TASKS, root / "model", np.zeros(sizes.items, np.int64))
    return root / "model", model, request.param


def test_the_signatures_are_those_that_the_ranker_has(exported):
    folder, model, ranker = exported
    signatures = tf.saved_model.load(str(folder)).signatures
    assert set(signatures) == ALL | ({"search_history"} if ranker == "twin" else set())
    batch = fake.batch(np.random.default_rng(1), rows=3, length=7, width=5)
    given = {name: tf.constant(value) for name, value in batch.items()}
    logits = model(batch)
    for signature in ("rank_indexed", "rank_indexed_xla"):
        scores = signatures[signature](**given)
        for task in fake.TASKS:
            np.testing.assert_allclose(scores[f"score_{task}"], tf.sigmoid(logits[task]), atol=1e-5)
    raw = {name: tf.constant(value) for name, value in fake.to_raw(batch).items()}
    by_name = signatures["serving_default"](**raw)
    np.testing.assert_allclose(by_name["score_click"], tf.sigmoid(logits["click"]), atol=1e-5)
    if ranker == "twin":
        found = signatures["search_history"](**given)
        positions, weights = model.search_history(given)
        np.testing.assert_array_equal(found["pair_position"], positions)
        np.testing.assert_allclose(found["pair_weight"], weights, atol=1e-5)


def test_a_restored_rival_is_the_one_that_was_exported(exported):
    folder, model, ranker = exported
    assert ModelMetadata.load(folder).categories == (2 if ranker == "twin" else 0)
    restored = restore_ranker(folder)
    assert type(restored) is type(model)
    for mine, theirs in zip(served_variables(restored), served_variables(model), strict=True):
        np.testing.assert_array_equal(tf.convert_to_tensor(mine), tf.convert_to_tensor(theirs), err_msg=theirs.name)
    with pytest.raises(MetadataError, match=rf"holds the ranker {ranker}: this needs model\.ranker seminar"):
        restore_seminar(folder)
