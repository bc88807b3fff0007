"""Quantizer and RecallEvaluator on a real ranker: what is served, what it loses, and whether it is pushed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import seminar_tf  # noqa: F401  (settles the Keras version before TFX loads TensorFlow)

# isort: split
from tfx.proto import pusher_pb2
from tfx.types import standard_artifacts
from tfx.types.component_spec import ComponentSpec
from tfx.utils import proto_utils

from components.pusher.executor import Executor as PusherExecutor
from components.quantizer.artifacts import Codebook
from components.quantizer.component import QuantizerSpec
from components.quantizer.executor import Executor as QuantizerExecutor
from components.recall_evaluator.component import RecallEvaluation, RecallEvaluatorSpec
from components.recall_evaluator.executor import Executor as RecallExecutor
from components.recall_evaluator.executor import bless, refused
from seminar_tf.config import EvaluationConfig, RetrievalConfig
from seminar_tf.config_io import to_json
from seminar_tf.export.metadata import ModelMetadata
from seminar_tf.export.restored import restore_ranker
from seminar_tf.export.signatures import export_ranker
from seminar_tf.features.vocabulary import feature_sizes
from seminar_tf.retrieval.codebook import CodebookError
from seminar_tf.retrieval.quantizer import QuantizedTables
from seminar_tf.retrieval.served import prepare
from tests.components import evaluation_fixtures as fixtures
from tests.serving import fake_ranker as fake

TASKS = ("click",)
CONFIG = replace(
    fake.CONFIG,
    evaluation=EvaluationConfig(),
    retrieval=RetrievalConfig(tables="codes", subvectors=8, query_subvectors=4, centroids=16, candidates=5),
)
STRICT = replace(CONFIG.retrieval, min_recall=0.99, max_ndcg_lost=1.0)


def artifact(kind, folder: Path):
    made = kind()
    made.uri = str(folder)
    return made


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(Model artifact of a ranker with float tables, TransformGraph artifact)."""
    root = tmp_path_factory.mktemp("trained")
    vocabularies = fake.write_vocabularies(root / "transform")
    model = fake.seminar(feature_sizes(vocabularies, CONFIG.features), 0, tasks=TASKS)
    counts = np.arange(model.sizes.items)
    export_ranker(model, vocabularies, CONFIG, TASKS, root / "model" / "Format-Serving", counts)
    model = artifact(standard_artifacts.Model, root / "model")
    return model, artifact(standard_artifacts.TransformGraph, vocabularies)


def quantized(trained, folder: Path, retrieval: RetrievalConfig, config=CONFIG):
    """(served Model artifact, Codebook artifact)."""
    served, codebook = artifact(standard_artifacts.Model, folder / "served"), artifact(Codebook, folder / "codebook")
    QuantizerExecutor().Do(
        {"model": [trained[0]], "transform_graph": [trained[1]]},
        {"served_model": [served], "codebook": [codebook]},
        {"config": to_json(replace(config, retrieval=retrieval)), "code": ""},
    )
    return served, codebook


@pytest.fixture(scope="module")
def fused(trained, tmp_path_factory):
    """(served Model artifact with exact tables, Codebook artifact)."""
    return quantized(trained, tmp_path_factory.mktemp("fused"), RetrievalConfig())


@pytest.fixture(scope="module")
def coarse(trained, examples, tmp_path_factory):
    """(served Model artifact whose codes lose much, report of it under STRICT, InfraBlessing artifact)."""
    folder = tmp_path_factory.mktemp("coarse")
    served, _ = quantized(trained, folder, replace(CONFIG.retrieval, subvectors=4, centroids=2))
    return served, *judged(trained, served, examples, folder, STRICT)


def test_the_specs_are_sound():
    for spec in (QuantizerSpec, RecallEvaluatorSpec):
        assert issubclass(spec, ComponentSpec)
        assert not set(spec.INPUTS) & set(spec.OUTPUTS)


def test_codes_and_their_quality_are_written(trained, tmp_path):
    served, codebook = quantized(trained, tmp_path, CONFIG.retrieval)
    codes = QuantizedTables.load(Path(codebook.uri) / "codebook.npz")
    report = json.loads((Path(codebook.uri) / "quality.json").read_text())
    assert codes.channels == ("query", "item") and set(report["channels"]) == {"query", "item"}
    assert report["channels"]["item"]["vectors"] == 39
    for name, quality in report["channels"].items():
        assert 0 <= quality["error"] < 0.2 and 0 <= quality["entropy"] <= 4
        assert codebook.get_float_custom_property(f"error_{name}") == pytest.approx(quality["error"])
        assert codebook.get_int_custom_property(f"dead_{name}") == quality["dead"]
    assert report["bytes_per_pair"] == codes.held_bytes == 8 + 4 + 2 * 4
    assert "auto, CPU" in codebook.get_string_custom_property("search")
    metadata = ModelMetadata.load(Path(served.uri) / "Format-Serving")
    assert metadata.retrieval == CONFIG.retrieval and metadata.tasks == TASKS
    np.testing.assert_array_equal(metadata.item_count, np.arange(len(metadata.item_count)))
    assert not [p for p in tmp_path.rglob("*") if ".part" in p.name]


@pytest.mark.parametrize("tables", ["float", "fused"])
def test_tables_without_codes_have_no_codebook(trained, fused, tmp_path, tables):
    _, codebook = fused if tables == "fused" else quantized(trained, tmp_path, RetrievalConfig(tables="float"))
    assert [p.name for p in Path(codebook.uri).iterdir()] == ["quality.json"]
    assert "product" in codebook.get_string_custom_property("search")


def test_a_rival_goes_through_as_it_was_trained(examples, tmp_path):
    """No search of it could miss a pair, so nothing is measured of one, and what is served ranks alike."""
    config = replace(CONFIG, model=replace(CONFIG.model, ranker="twin"), retrieval=RetrievalConfig(tables="float"))
    vocabularies = fake.write_vocabularies(tmp_path / "transform")
    model = fake.rival(feature_sizes(vocabularies, config.features), 0, config, TASKS)
    counts = model._counts.numpy().astype(int)
    export_ranker(model, vocabularies, config, TASKS, tmp_path / "model" / "Format-Serving", counts)
    graph = artifact(standard_artifacts.TransformGraph, vocabularies)
    rival = (artifact(standard_artifacts.Model, tmp_path / "model"), graph)
    served, codebook = quantized(rival, tmp_path, config.retrieval, config)
    assert codebook.get_string_custom_property("search") == "as trained"
    report, blessing = judged(rival, served, examples, tmp_path, config.retrieval)
    assert report["searched"] == 0 and report["recall"] is None and not report["refused"]
    assert report["ndcg_at_10"]["lost"] == pytest.approx(0, abs=1e-6)
    assert blessing.get_int_custom_property("blessed") == 1
    with pytest.raises(ValueError, match=r"retrieval\.tables: expected float, found 'fused': the model is a Twin"):
        prepare(restore_ranker(tmp_path / "model" / "Format-Serving"), RetrievalConfig(tables="fused"))


def test_fewer_vectors_than_centroids_fail_with_the_channels_name(trained, tmp_path):
    with pytest.raises(CodebookError, match=r"item: \d+ vectors for 256 centroids"):
        quantized(trained, tmp_path, replace(CONFIG.retrieval, centroids=256))
    assert not (tmp_path / "served").exists()


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    fixtures.write_examples(fixtures.make_toy(seed=4), folder)
    return artifact(standard_artifacts.Examples, folder)


def judged(trained, served, examples, folder: Path, retrieval: RetrievalConfig):
    """(report, InfraBlessing artifact)."""
    evaluation = artifact(RecallEvaluation, folder / "evaluation")
    blessing = artifact(standard_artifacts.InfraBlessing, folder / "blessing")
    RecallExecutor().Do(
        {"examples": [examples], "model": [trained[0]], "served_model": [served]},
        {"recall": [evaluation], "blessing": [blessing]},
        {"retrieval": to_json(retrieval), "seed": 1, "code": ""},
    )
    return json.loads((folder / "evaluation" / "recall.json").read_text()), blessing


def pushed(served, blessing, folder: Path) -> list[str]:
    """Versions that the Pusher made of it."""
    model = artifact(standard_artifacts.PushedModel, folder / "pushed")
    destination = pusher_pb2.PushDestination(
        filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=str(folder / "versions"))
    )
    allowed = artifact(standard_artifacts.ModelBlessing, folder)
    allowed.set_int_custom_property("blessed", 1)
    PusherExecutor().Do(
        {"model": [served], "model_blessing": [allowed], "infra_blessing": [blessing]},
        {"pushed_model": [model]},
        {"push_destination": proto_utils.proto_to_json(destination)},
    )
    return [p.name for p in (folder / "versions").iterdir()] if (folder / "versions").exists() else []


def test_exact_tables_lose_nothing_and_are_pushed(trained, fused, examples, tmp_path):
    served, _ = fused
    report, blessing = judged(trained, served, examples, tmp_path, replace(CONFIG.retrieval, min_recall=1.0))
    assert report["recall"] == 1.0 and report["refused"] == []
    assert report["ndcg_at_10"]["lost"] == pytest.approx(0.0, abs=1e-9)
    assert 0 < report["searched"] < report["requests"] and report["top_k"] == 4
    assert sum(part["requests"] for part in report["slices"].values()) == report["requests"]
    assert (tmp_path / "blessing" / "INFRA_BLESSED").exists()
    assert len(pushed(served, blessing, tmp_path)) == 1


def test_recall_below_the_threshold_keeps_the_pusher_from_pushing(coarse, tmp_path):
    served, report, blessing = coarse
    assert 0.25 < report["recall"] < 0.99
    assert report["refused"] == [f"Recall@4 is {report['recall']:.4f}, retrieval.min_recall is 0.99"]
    assert (Path(blessing.uri) / "INFRA_NOT_BLESSED").read_text() == report["refused"][0]
    assert pushed(served, blessing, tmp_path) == []
    # The same model passes a threshold that it reaches.
    loose = artifact(standard_artifacts.InfraBlessing, tmp_path / "loose" / "blessing")
    bless(loose, refused(report, replace(STRICT, min_recall=0.2)))
    assert len(pushed(served, loose, tmp_path / "loose")) == 1


def test_ndcg_lost_is_that_of_both_models_on_the_same_requests(coarse):
    _, report, _ = coarse
    lost = report["ndcg_at_10"]
    assert lost["exact"] != lost["served"] and lost["lost"] == pytest.approx(lost["exact"] - lost["served"])
    assert lost["interval"][0] < lost["lost"] < lost["interval"][1]
    parts = report["slices"].values()
    mean = sum(part["requests"] * part["ndcg_at_10_lost"] for part in parts) / report["requests"]
    assert mean == pytest.approx(lost["lost"])


@pytest.mark.parametrize(
    ("lost", "interval", "shown"),
    [
        (0.0061, None, "0.0061"),
        (0.0061, [0.001, 0.0112], "0.0061 [0.0010, 0.0112]"),
        (0.0061, [-0.001, 0.0132], None),
        (0.0049, [0.004, 0.0058], None),
        (-0.2, [-0.3, -0.1], None),
    ],
)
def test_ndcg_lost_beyond_the_threshold_is_refused_unless_by_chance(tmp_path, lost, interval, shown):
    report = {"requests": 9, "recall": 1.0, "top_k": 4, "ndcg_at_10": {"lost": lost, "interval": interval}}
    said = refused(report, RetrievalConfig(max_ndcg_lost=0.005))
    assert said == ([] if shown is None else [f"ndcg_at_10 loses {shown}, retrieval.max_ndcg_lost is 0.005"])
    blessing = artifact(standard_artifacts.InfraBlessing, tmp_path / "blessing")
    bless(blessing, said)
    assert len(pushed(saved_model(tmp_path), blessing, tmp_path)) == int(shown is None)


def saved_model(folder: Path):
    """A Model artifact that is one only by its files' names."""
    (folder / "model" / "Format-Serving").mkdir(parents=True)
    (folder / "model" / "Format-Serving" / "saved_model.pb").write_text("x")
    return artifact(standard_artifacts.Model, folder / "model")


def test_no_eval_request_means_nothing_can_be_lost(trained, fused, examples, tmp_path):
    folder = tmp_path / "examples"
    folder.mkdir()
    (folder / "Split-train").symlink_to(Path(examples.uri) / "Split-train")
    served, _ = fused
    without = artifact(standard_artifacts.Examples, folder)
    report, _ = judged(trained, served, without, tmp_path, CONFIG.retrieval)
    assert report["requests"] == 0 and report["recall"] is None and report["refused"] == []
