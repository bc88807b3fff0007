"""Both run_fns over a small transformed dataset: artifacts, report, logs, state, and what they refuse."""

import dataclasses
import json
import re

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorflow.core.protobuf import saved_model_pb2

from pipelines.trainers import common, psu, seminar
from seminar_tf.config import PipelineConfig, RetrievalConfig, RivalsConfig
from seminar_tf.config_io import to_json
from seminar_tf.export.restored import restore_ranker
from seminar_tf.features import names
from seminar_tf.features.tables import ItemFeatures
from seminar_tf.models.channel_tables import ChannelTables
from seminar_tf.models.rankers import CLASSES
from seminar_tf.models.seminar import Seminar
from seminar_tf.training.calibration_plot import HEIGHT, WIDTH
from seminar_tf.training.records import RecordError
from seminar_tf.training.requests import load_users
from tests.pipelines.skew_helpers import skew_of, write_raw
from tests.pipelines.trainer_data import ATTRIBUTES, CONFIG, SPEC, fn_args, train_both, write_dataset
from tests.training.corpus import ITEMS, make_users


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A dataset with both stages trained on it."""
    root = tmp_path_factory.mktemp("trained")
    train_both(root)
    return root


def test_the_psu_writes_tables_and_a_model(trained):
    folder = trained / "psu" / "model" / "Format-Serving"
    tables = ChannelTables.load(folder / psu.TABLES_FILE)
    assert tables.item.shape == (1 + ITEMS + 2, len(tables.channels), 8)
    assert (folder / psu.ITEMS_FILE).exists() and (folder / psu.QUERIES_FILE).exists()
    lookup = tf.saved_model.load(str(folder)).signatures["serving_default"]
    found = lookup(item_id=tf.constant([3, -1, 10**6], tf.int32))
    np.testing.assert_array_equal(found["vectors"], tables.item[[3, 0, 0]])
    np.testing.assert_array_equal(found["present"], tables.item_mask[[3, 0, 0]])


def test_seminar_writes_a_ranker(trained):
    model = tf.saved_model.load(str(trained / "seminar" / "model" / "Format-Serving"))
    assert {"serving_default", "rank_indexed"} <= set(model.signatures)


@pytest.mark.parametrize("stage", ["psu", "seminar"])
def test_reports_and_logs(trained, stage):
    run = trained / stage / "run"
    report = json.loads((run / "training.json").read_text())
    assert report["rows"] > 0 and report["seconds"] > 0 and not report["resumed"]
    assert report["steps"] == report["epochs"] * -(-report["rows"] // 32) == report["history"][-1]["steps"]
    terms = {"psu": {"loss", "next_pair", "align", "query_item"}, "seminar": {"loss", "click"}}
    assert set(report["losses"]) == terms[stage]
    assert "loss" in report["eval"] if stage == "psu" else 0 <= report["eval"]["ndcg_at_10"] <= 1
    assert list(run.glob("events*"))


def test_calibration_of_every_epoch_is_in_tensorboard(trained):
    events = EventAccumulator(str(trained / "seminar" / "run"), {"images": 0, "tensors": 0}).Reload()
    epochs = json.loads((trained / "seminar" / "run" / "training.json").read_text())["history"]
    steps = [epoch["steps"] for epoch in epochs]
    errors = events.Tensors("calibration/click_expected_error")
    ratios = events.Tensors("calibration/click_predicted_to_observed")
    assert [event.step for event in errors] == [event.step for event in ratios] == steps
    assert all(0 <= tf.make_ndarray(event.tensor_proto) <= 1 for event in errors)
    assert all(tf.make_ndarray(event.tensor_proto) > 0 for event in ratios)
    plots = events.Tensors("calibration/click")
    assert [event.step for event in plots] == steps
    for event in plots:
        width, height, image = tf.make_ndarray(event.tensor_proto)
        assert tf.io.decode_png(image).shape == (int(height), int(width), 3) == (HEIGHT, WIDTH, 3)


def test_calibration_of_events_has_the_base_rate_of_training(trained):
    inputs = common.trainer_inputs(fn_args(trained, "seminar"), "seminar")
    items = inputs.items()
    data = seminar.calibration_data(inputs, items, load_users(inputs.files, "eval", SPEC.tasks))
    (batch,) = data.as_numpy_iterator()
    (again,) = data.as_numpy_iterator()
    candidates, labels = batch[names.CANDIDATE_ITEM_ID], batch[names.label("click")]
    np.testing.assert_array_equal(candidates, again[names.CANDIDATE_ITEM_ID])
    assert candidates.shape == (12, 1 + CONFIG.seminar.negatives)  # a positive of each user, and negatives
    assert (labels[:, 0] == 1).all() and (labels[:, 1:] == 0).all()
    users = {user.pairs[-2] for user in make_users(0)}
    assert {pair[0] for pair in users} == set(candidates[:, 0].tolist())
    assert np.isin(candidates[:, 1:], np.flatnonzero(items.known)).all()


def test_calibration_of_logged_requests_has_all_their_known_candidates(tmp_path):
    write_dataset(tmp_path, make_users(0, grouped=True))
    spec = dataclasses.replace(SPEC, tasks=("click", "like"), has_requests=True)
    inputs = common.trainer_inputs(fn_args(tmp_path, "seminar", dataset=to_json(spec)), "seminar")
    assert inputs.uses_requests
    data = seminar.calibration_data(inputs, inputs.items(), load_users(inputs.files, "eval", spec.tasks))
    (batch,) = data.as_numpy_iterator()
    found = {"click": [], "like": []}
    for task, rows in found.items():
        labels = batch[names.label(task)]
        known = np.isfinite(labels)
        rows += zip(batch[names.CANDIDATE_ITEM_ID][known].tolist(), labels[known].tolist())
    wanted = {"click": [], "like": []}
    for user in make_users(0, grouped=True):
        for target in user.targets["eval"]:
            for task, rows in wanted.items():
                if np.isfinite(target.labels[task]):
                    rows.append((target.item, target.labels[task]))
    assert {task: sorted(rows) for task, rows in found.items()} == {task: sorted(rows) for task, rows in wanted.items()}


def test_the_projector_shows_items_by_their_words(trained):
    labels = (trained / "psu" / "run" / "items_text_titles.tsv").read_text().splitlines()
    assert len(labels) == ITEMS and all(label.startswith("item-") and " word" in label for label in labels)


def test_no_state_and_no_staged_folder_is_left(trained):
    assert not list((trained / "state").rglob("*.index"))
    assert [path.name for path in (trained / "psu" / "model").iterdir()] == ["Format-Serving"]


def test_without_pretraining_seminar_starts_by_itself(tmp_path):
    write_dataset(tmp_path)
    config = dataclasses.replace(CONFIG, psu=dataclasses.replace(CONFIG.psu, epochs=0))
    psu.run_fn(fn_args(tmp_path, "psu", config=to_json(config)))
    folder = tmp_path / "psu" / "model" / "Format-Serving"
    tables, items = ChannelTables.load(folder / psu.TABLES_FILE), ItemFeatures.load(folder / psu.ITEMS_FILE)
    assert tables.weights == {} and np.abs(tables.item[1:]).sum(axis=(1, 2)).min() > 0
    inputs = common.trainer_inputs(fn_args(tmp_path, "seminar"), "seminar")
    model = Seminar(CONFIG.model, inputs.sizes, SPEC.tasks, tables, items, 1)
    np.testing.assert_array_equal(model.search.query_kernel, np.eye(8))
    assert not np.asarray(model.heads["click"].wide.kernel).any()


def rival_config(ranker, prefix="a="):
    model = dataclasses.replace(CONFIG.model, ranker=ranker, rivals=RivalsConfig(category_prefix=prefix))
    once = dataclasses.replace(CONFIG.seminar, epochs=1)
    return dataclasses.replace(CONFIG, model=model, seminar=once, retrieval=RetrievalConfig(tables="float"))


@pytest.mark.parametrize("ranker, search", [("sim_hard", True), ("sasrec", False)])
def test_the_ranker_that_the_configuration_names_is_trained_and_exported(trained, ranker, search):
    base = str(trained / "psu" / "model" / "Format-Serving")
    seminar.run_fn(fn_args(trained, ranker, base, config=to_json(rival_config(ranker))))
    folder = trained / ranker / "model" / "Format-Serving"
    # Read, not loaded, which takes seconds: tests/export/test_rivals.py calls them.
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    signatures = set(saved.meta_graphs[0].signature_def)
    assert {"serving_default", "rank_indexed", "rank_indexed_xla", "examples", "embed_items"} <= signatures
    assert ("search_history" in signatures) == search
    restored = restore_ranker(folder)
    assert type(restored) is CLASSES[ranker]
    if ranker == "sim_hard":
        assert set(np.unique(restored.categories.table)) <= set(range(ATTRIBUTES)) and restored.categories.columns == 1
    report = json.loads((trained / ranker / "run" / "training.json").read_text())
    assert 0 <= report["eval"]["ndcg_at_10"] <= 1 and report["losses"]["click"] > 0


def test_a_category_that_no_item_has_is_told(trained):
    base = str(trained / "psu" / "model" / "Format-Serving")
    config = rival_config("twin", "genre=")
    with pytest.raises(ValueError, match=r"no item attribute starts with 'genre='.*start with a="):
        seminar.run_fn(fn_args(trained, "twin", base, config=to_json(config)))


def test_a_second_run_trains_anew_to_the_same_bits(trained):
    tables = [ChannelTables.load(trained / "psu" / "model" / "Format-Serving" / psu.TABLES_FILE)]
    psu.run_fn(fn_args(trained, "again"))
    tables.append(ChannelTables.load(trained / "again" / "model" / "Format-Serving" / psu.TABLES_FILE))
    np.testing.assert_array_equal(tables[0].item, tables[1].item)
    np.testing.assert_array_equal(tables[0].query, tables[1].query)


def test_a_state_is_found_again_by_equal_inputs_only(trained):
    one = common.trainer_inputs(fn_args(trained, "psu"), "psu").state_dir
    elsewhere = fn_args(trained, "other")
    assert common.trainer_inputs(elsewhere, "psu").state_dir == one
    others = [
        common.trainer_inputs(fn_args(trained, "psu"), "seminar"),
        common.trainer_inputs(fn_args(trained, "psu", base_model="base"), "psu"),
        common.trainer_inputs(fn_args(trained, "psu", code="other"), "psu"),
        common.trainer_inputs(fn_args(trained, "psu", config=to_json(PipelineConfig())), "psu"),
    ]
    assert len({one, *(other.state_dir for other in others)}) == len(others) + 1


def test_seminar_needs_the_psu(trained):
    with pytest.raises(ValueError, match="needs base_model"):
        seminar.run_fn(fn_args(trained, "none"))
    with pytest.raises(ValueError, match=r"holds no channel_tables\.npz"):
        seminar.run_fn(fn_args(trained, "none", str(trained)))


def test_missing_arguments_and_files_are_named(trained, tmp_path):
    arguments = fn_args(trained, "psu")
    del arguments.custom_config["code"]
    with pytest.raises(ValueError, match="custom_config lacks code"):
        common.trainer_inputs(arguments, "psu")
    with pytest.raises(RecordError, match="no file matches"):
        common.trainer_inputs(fn_args(tmp_path, "psu"), "psu")


def test_both_roads_give_the_same_features_and_scores(trained, tmp_path):
    write_raw(tmp_path, make_users(0))
    found = skew_of(trained, tmp_path)
    assert found.requests == 8 and not found.differing, found.examples


def test_events_that_retention_kept_from_training_are_no_skew(trained, tmp_path):
    users = make_users(0)
    oldest = min(moment for user in users for _, _, moment in user.pairs)
    for user in users:
        user.pairs.insert(0, (1, names.EMPTY_QUERY_ID, oldest - 1))
    write_raw(tmp_path, users)
    assert not skew_of(trained, tmp_path, oldest).differing
    assert "history_item_id" in skew_of(trained, tmp_path).differing


def test_what_differs_between_the_roads_is_named(trained, tmp_path):
    users = make_users(0)
    for user in users:
        item, query, moment = user.pairs[-2]
        user.pairs[-2] = (item % ITEMS + 1, query, moment + 1)
        user.attributes = [5]
    write_raw(tmp_path, users)
    found = skew_of(trained, tmp_path)
    assert {"history_item_id", "history_timestamp", "user_attributes", "score_click"} == set(found.differing)
    assert found.differing["history_item_id"] == 8
    assert re.match(
        r"of user user-.* at position \d+: training has \d+ at \d+, serving has", found.examples["history_item_id"]
    )
