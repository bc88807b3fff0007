"""A model read back from its SavedModel, and one that is exported with codes in the place of its tables."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seminar_tf.config import TrainConfig
from seminar_tf.export.metadata import MetadataError, ModelMetadata
from seminar_tf.export.ranker_module import served_variables
from seminar_tf.export.restored import restore_seminar
from seminar_tf.export.signatures import export_ranker
from seminar_tf.features.vocabulary import feature_sizes
from seminar_tf.retrieval.hold import hold_codes, never
from seminar_tf.retrieval.quantized_pair_table import QuantizedPairTable
from seminar_tf.retrieval.quantizer import quantize
from seminar_tf.retrieval.tables import gsu_tables
from tests.serving import fake_ranker as fake

import tensorflow as tf  # isort: skip

SEEDS = [0, 1]


def stirred(sizes, seed):
    """The real ranker with every weight moved away from where it starts."""
    # A listwise term brings a metric of its own, which is none of the ranker's weights.
    model = fake.seminar(sizes, seed, train=TrainConfig(listwise_weight=1.0))
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(0, 0.1, variable.shape).astype(np.float32))
    return model


@pytest.fixture(scope="module", params=SEEDS)
def exported(request, tmp_path_factory):
    """(folder, vocabularies, model)."""
    root = tmp_path_factory.mktemp("restored")
    vocabularies = fake.write_vocabularies(root / "transform")
    model = stirred(feature_sizes(vocabularies, fake.CONFIG.features), request.param)
    export(model, vocabularies, root / "model")
    return root / "model", vocabularies, model


def export(model, vocabularies: Path, folder: Path) -> None:
    export_ranker(model, vocabularies, fake.CONFIG, fake.TASKS, folder, item_count=model._counts.numpy().astype(int))


def scores(folder: Path, batch) -> np.ndarray:
    signature = tf.saved_model.load(str(folder)).signatures["rank_indexed"]
    return signature(**{k: tf.constant(v) for k, v in batch.items()})["score_click"].numpy()


def test_a_restored_model_is_the_one_that_was_exported(exported):
    folder, _, model = exported
    restored = restore_seminar(folder)
    assert restored.pairs.channels == model.pairs.channels
    for mine, theirs in zip(served_variables(restored), served_variables(model)):
        np.testing.assert_array_equal(tf.convert_to_tensor(mine), tf.convert_to_tensor(theirs), err_msg=theirs.name)
    batch = fake.batch(np.random.default_rng(1), rows=3, length=7, width=5)
    for task, logits in model(batch).items():
        np.testing.assert_allclose(restored(batch)[task], logits, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "changes, message",
    [({"cross_layers": 3}, "weights, its configuration makes"), ({"hidden_units": (7, 64)}, "shape")],
)
def test_weights_of_another_configuration_are_refused(exported, tmp_path, changes, message):
    folder = shutil.copytree(exported[0], tmp_path / "copy")
    metadata = ModelMetadata.load(folder)
    replace(metadata, model=replace(metadata.model, **changes)).save(folder)
    with pytest.raises(MetadataError, match=message):
        restore_seminar(folder)


def test_another_ranker_is_refused(exported, tmp_path):
    fake.export(tmp_path / "other", exported[1], seed=0)
    with pytest.raises(MetadataError, match="no item channels"):
        restore_seminar(tmp_path / "other")


@pytest.mark.parametrize("rotate", [False, True])
def test_a_table_of_codes_gives_the_pairs_that_the_codes_stand_for(exported, rotate):
    _, _, model = exported
    tables = gsu_tables(model)
    codes = quantize(tables, subvectors=4, size=16)[0]
    if rotate:
        # OPQ wants more vectors than this catalog has: any rotation will do.
        turn = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0].astype(np.float32)
        turned = replace(tables, item=tables.item @ turn, query=tables.query @ turn, fold=tables.fold @ turn)
        codes = replace(quantize(turned, subvectors=4, size=16)[0], rotation=turn, back=turn.T)
    rng = np.random.default_rng(2)
    items = rng.integers(0, len(tables.item), (3, 7)).astype(np.int32)
    queries = rng.integers(0, len(tables.query), (3, 7)).astype(np.int32)
    table = QuantizedPairTable(codes, never)
    wanted = codes.decoded().pairs(items, queries)
    np.testing.assert_allclose(table(items, queries), wanted, rtol=1e-4, atol=1e-5)
    fused, item_rows, query_rows = table.fuse(tf.reshape(items, [-1]), tf.reshape(queries, [-1]))
    np.testing.assert_allclose(fused.pairs(item_rows, query_rows), wanted.reshape(21, -1), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="codes, which do not train"):
        table.fuse(tf.reshape(items, [-1]), tf.reshape(queries, [-1]), training=True)


# One model is enough: what codes lose is tests/retrieval's to show, and each export takes seconds.
@pytest.mark.parametrize("exported", SEEDS[:1], indirect=True)
def test_an_exported_model_holds_codes_and_no_float_tables(exported, tmp_path):
    folder, vocabularies, model = exported
    restored = restore_seminar(folder)
    # Sixteen centroids a single dimension for some thirty values lose little.
    codes = quantize(gsu_tables(restored), subvectors=8, size=16)[0]
    hold_codes(restored, codes)
    export(restored, vocabularies, tmp_path / "codes")
    saved = tf.train.load_checkpoint(str(tmp_path / "codes" / "variables" / "variables"))
    types, shapes = saved.get_variable_to_dtype_map(), saved.get_variable_to_shape_map()
    held = {(types[key], *shape) for key, shape in shapes.items()}
    (items, channels, dim), (queries, _) = model.pairs.item_table.shape, model.pairs.query_table.shape
    assert {(tf.uint8, items, channels, 8), (tf.uint8, queries, 8)} <= held
    assert (tf.float32, items, channels, dim) not in held
    batch = fake.batch(np.random.default_rng(1), rows=4, length=12, width=9)
    ids = np.array([1, 2]), np.array([1, 3])
    exact, coded = scores(folder, batch), scores(tmp_path / "codes", batch)
    np.testing.assert_allclose(restored.gate_weights(*ids), model.gate_weights(*ids), rtol=1e-5)
    with pytest.raises(MetadataError, match="no item channels"):
        restore_seminar(tmp_path / "codes")
    np.testing.assert_allclose(coded, tf.sigmoid(restored(batch)["click"]), rtol=1e-5, atol=1e-6)
    assert 0 < np.abs(coded - exact).mean() < 0.3 * exact.std()


def test_codes_of_another_model_are_refused(exported):
    _, _, model = exported
    codes = quantize(gsu_tables(model), subvectors=4, size=16)[0]
    with pytest.raises(ValueError, match="the codes are of channels"):
        hold_codes(model, replace(codes, channels=("query", "text", "attributes", "image")))
    for changed in (codes.item_logit + 1, codes.item_logit[:-1]):
        with pytest.raises(ValueError, match="of another model: item_logit differs"):
            hold_codes(model, replace(codes, item_logit=changed))
