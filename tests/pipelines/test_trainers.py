"""Both run_fns over a small transformed dataset: artifacts, report, logs, state, and what they refuse."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from pipelines.trainers import common, psu, seminar
from seminar_tf.config import FeatureConfig, ModelConfig, PipelineConfig, ServingConfig, TrainConfig
from seminar_tf.config_io import to_json
from seminar_tf.data.dataset import DatasetSpec
from seminar_tf.features import names
from seminar_tf.features.vocabulary import vocabulary_path
from seminar_tf.models.channel_tables import ChannelTables
from seminar_tf.training.records import RecordError
from tests.training.corpus import ITEMS, QUERIES, make_users, write_records, write_segments

WORDS, ATTRIBUTES = 12, 6
SPEC = DatasetSpec((1,), tasks=("click",))
CONFIG = PipelineConfig(
    features=FeatureConfig(item_oov_buckets=2, query_oov_buckets=1, max_title_tokens=3, max_attributes=2),
    model=ModelConfig(
        history_length=8, serving_history_length=16, top_k=4, dim=8, heads=2, short_length=3, hidden_units=(8,)
    ),
    psu=TrainConfig(epochs=1, batch_size=32, window_stride=4),
    seminar=TrainConfig(epochs=2, batch_size=32, patience=1, negatives=2),
    serving=ServingConfig(warmup_candidates=(1,)),
)


def write_dataset(root):
    """Transformed splits and vocabularies of a random dataset."""
    write_segments(root / "examples", make_users(0))
    rng = np.random.default_rng(0)
    items = [
        {
            names.ITEM_ID: [item],
            names.ITEM_TOKENS: rng.integers(1, WORDS + 1, 2).tolist(),
            names.ITEM_ATTRIBUTES: [int(rng.integers(1, ATTRIBUTES))],
            names.ITEM_COUNT: [int(rng.integers(1, 9))],
        }
        for item in range(1, ITEMS + 1)
    ]
    queries = [
        {names.QUERY: [query], names.QUERY_TOKENS: [query], names.QUERY_COUNT: [2]} for query in range(2, QUERIES)
    ]
    for split, rows in (("catalog", items), ("queries", queries)):
        (root / "examples" / f"Split-{split}").mkdir()
        write_records(str(root / "examples" / f"Split-{split}" / "part-0.gz"), rows)
    vocabularies = {
        names.ITEM_VOCABULARY: [f"item-{n}" for n in range(ITEMS)],
        names.QUERY_VOCABULARY: [f"query {n}" for n in range(QUERIES - 2)],
        names.TOKEN_VOCABULARY: [f"word{n}" for n in range(WORDS)],
        names.ATTRIBUTE_VOCABULARY: [f"a={n}" for n in range(ATTRIBUTES)],
    }
    for name, entries in vocabularies.items():
        path = vocabulary_path(root / "graph", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(entries) + "\n")


def fn_args(root, stage, base_model=None, **custom):
    """Arguments as TFX's executor gives them."""
    return SimpleNamespace(
        train_files=[str(root / "examples" / "Split-train" / "*")],
        transform_graph_path=str(root / "graph"),
        base_model=base_model,
        serving_model_dir=str(root / stage / "model" / "Format-Serving"),
        model_run_dir=str(root / stage / "run"),
        custom_config={
            "config": to_json(CONFIG),
            "dataset": to_json(SPEC),
            "state_dir": str(root / "state"),
            "code": "c0de",
            **custom,
        },
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A dataset with both stages trained on it."""
    root = tmp_path_factory.mktemp("trained")
    write_dataset(root)
    psu.run_fn(fn_args(root, "psu"))
    seminar.run_fn(fn_args(root, "seminar", str(root / "psu" / "model" / "Format-Serving")))
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


def test_the_projector_shows_items_by_their_words(trained):
    labels = (trained / "psu" / "run" / "items_text_titles.tsv").read_text().splitlines()
    assert len(labels) == ITEMS and all(label.startswith("item-") and " word" in label for label in labels)


def test_no_state_and_no_staged_folder_is_left(trained):
    assert not list((trained / "state").rglob("*.index"))
    assert [path.name for path in (trained / "psu" / "model").iterdir()] == ["Format-Serving"]


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
