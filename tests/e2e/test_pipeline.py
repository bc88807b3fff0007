"""The whole road on generated data: run, cache, predict, and the `tfx` command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from seminar_tf.cli.run import command as run_command
from seminar_tf.export.metadata import ModelMetadata
from tests.e2e.commands import REPOSITORY, TINY, report, run_forked
from tests.e2e.conftest import FinishedRun

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def test_run_reports_every_component_with_its_rows(finished: FinishedRun) -> None:
    done = finished.components
    assert set(done) == {
        "BehaviorExampleGen", "StatisticsGen", "ImportSchemaGen", "ExampleValidator", "Transform", "PSU", "SEMINAR",
        "Quantizer", "RecallEvaluator", "LatestBlessedModel", "Evaluator", "Pusher",
    }  # fmt: skip
    assert not any(c["cached"] for c in done.values())
    assert done["BehaviorExampleGen"]["rows_in"] > done["BehaviorExampleGen"]["rows_out"] > 0
    assert done["Transform"]["rows_in"] == done["BehaviorExampleGen"]["rows_out"]
    assert done["Transform"]["rows_out"] == done["SEMINAR"]["rows_in"]
    assert done["SEMINAR"]["rows_out"] > 0
    assert done["Evaluator"]["rows_out"] == finished.report["metrics"]["requests"]
    for name in done:
        assert name in finished.printed


def test_metrics_obey_the_invariants_and_are_printed(finished: FinishedRun) -> None:
    metrics = finished.report["metrics"]
    assert 0 < metrics["ndcg_at_10"] <= metrics["hit_at_10"] <= 1
    assert metrics["ndcg_at_5"] <= metrics["ndcg_at_10"] <= metrics["ndcg_at_50"]
    assert f"{metrics['ndcg_at_10']:.4f}" in finished.printed


def test_blessed_model_is_pushed_as_a_numbered_version(finished: FinishedRun) -> None:
    tree = finished.report
    assert tree["blessed"]
    version = Path(tree["pushed"])
    assert version.name.isdigit()
    assert (version / "saved_model.pb").exists()
    assert (version / "assets.extra" / "tf_serving_warmup_requests").exists()


def test_served_model_holds_codes_and_what_they_lose_is_reported(finished: FinishedRun) -> None:
    retrieval = finished.report["retrieval"]
    assert retrieval["tables"] == "codes" and set(retrieval["codebook"]["channels"]) == {"query", "item"}
    recall = retrieval["recall"]
    assert recall["refused"] == [] and recall["requests"] > 0
    assert recall["recall"] >= recall["thresholds"]["min_recall"] and recall["searched"] > 0
    assert f"{recall['recall']:.4f}" in finished.printed
    served = ModelMetadata.load(finished.report["pushed"])
    assert served.retrieval.tables == "codes" and served.channels == ()


def test_tensorboard_has_each_loss_by_itself_and_the_projector(finished: FinishedRun) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logs = finished.report["tensorboard"]
    tags: dict[str, set[str]] = {}
    for stage, folder in logs.items():
        tags[stage] = set()
        for event_dir in {f.parent for f in Path(folder).rglob("events.out.tfevents.*")}:
            accumulator = EventAccumulator(str(event_dir))
            accumulator.Reload()
            found = accumulator.Tags()
            tags[stage] |= set(found["scalars"]) | set(found["tensors"]) | set(found["histograms"])
        for kind in ("loss", "gate"):
            assert any(kind in tag for tag in tags[stage]), (stage, kind, sorted(tags[stage]))
    for loss in ("next_pair", "align", "query_item"):
        assert any(loss in tag for tag in tags["PSU"]), sorted(tags["PSU"])
    assert list(Path(logs["SEMINAR"]).rglob("projector_config.pbtxt")) or list(
        Path(logs["PSU"]).rglob("projector_config.pbtxt")
    )


def test_predict_answers_a_real_user_over_grpc(finished: FinishedRun, tmp_path: Path) -> None:
    model_dir = Path(finished.report["pushed"]).parent
    command = ("predict", "--dataset", str(finished.dataset), "--model-dir", str(model_dir), "--json")
    printed = run_forked(tmp_path / "printed.txt", *command)
    answer = json.loads(printed[printed.index("{\n") :])
    scores = [row["score"] for row in answer["results"]]
    assert len(scores) == 10
    assert scores == sorted(scores, reverse=True)
    assert all(row["title"] is not None for row in answer["results"][:1])


def test_second_run_takes_everything_from_the_cache(finished: FinishedRun, tmp_path: Path) -> None:
    command = ("run", "--config", str(TINY), "--data", str(finished.dataset), "--root", str(finished.root))
    run_forked(tmp_path / "printed.txt", *command)
    again = report(finished.root)
    cached = {component["name"] for component in again["components"] if component["cached"]}
    # The Evaluator runs: there is a blessed model to compare with now.
    assert {
        "BehaviorExampleGen", "StatisticsGen", "ExampleValidator", "Transform", "PSU", "SEMINAR", "Quantizer",
        "RecallEvaluator",
    } <= cached  # fmt: skip
    assert again["metrics"] == finished.report["metrics"]


def test_tfx_command_line_creates_lists_updates_and_runs(finished: FinishedRun, tmp_path: Path) -> None:
    config = tmp_path / "tiny.yaml"
    text = TINY.read_text()
    text = text.replace("root: runs/tiny", f"root: {finished.root}").replace(
        "path: runs/tiny/data", f"path: {finished.dataset}"
    )
    config.write_text(text)
    variables = {"SEMINAR_CONFIG": str(config), "LOCAL_HOME": str(tmp_path / "tfx")}

    def tfx(group: str, command: str, *arguments: str) -> str:
        # What the installed `tfx` calls.
        output = tmp_path / f"{group}-{command}.txt"
        arguments = (group, command, *arguments, "--engine", "local")
        return run_forked(output, *arguments, module="tfx.tools.cli.cli_main", **variables)

    path = str(REPOSITORY / "pipelines" / "local_pipeline.py")
    assert "created successfully" in tfx("pipeline", "create", "--pipeline_path", path)
    assert "tiny" in tfx("pipeline", "list")
    assert "updated successfully" in tfx("pipeline", "update", "--pipeline_path", path)
    tfx("run", "create", "--pipeline_name", "tiny")
    versions = [v for v in (finished.root / "serving" / "ranker").iterdir() if v.name.isdigit()]
    assert versions


@pytest.mark.parametrize(("flags", "enabled"), [((), True), (("--no-cache",), False)])
def test_no_cache_reaches_the_pipeline(flags: tuple[str, ...], enabled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # That a run in an empty folder repeats the metrics is test_killed_runs' to show; one more here takes minutes.
    from pipelines import run as pipeline_run

    asked: list[bool] = []
    monkeypatch.setattr(pipeline_run, "run_pipeline", lambda *given, enable_cache, **more: asked.append(enable_cache))
    monkeypatch.setattr(pipeline_run, "print_summary", lambda *given: None)
    result = CliRunner().invoke(run_command, ["--config", str(TINY), *flags])
    assert result.exit_code == 0, result.output
    assert asked == [enabled]
