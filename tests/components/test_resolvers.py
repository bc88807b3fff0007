"""What a span's run finds of earlier ones: never itself, never a later one, never an unblessed model."""

from __future__ import annotations

import pytest
from tfx import types
from tfx import v1 as tfx
from tfx.dsl.components.common.resolver import Resolver
from tfx.types import standard_artifacts

from components.drift.artifacts import SpanStatistics
from components.resolvers.earlier_models import EarlierBlessedStrategy
from components.resolvers.earlier_statistics import EarlierSpanStrategy
from pipelines.local_runner import LocalRunner
from tests.components.small_road import Bless, Change, Ingest, Pretrain, Serve, Train


def pipeline(root, span, good):
    ingest = Ingest(span=span)
    examples = ingest.outputs["examples"]
    kinds = {"model": standard_artifacts.Model, "model_blessing": standard_artifacts.ModelBlessing}
    kinds |= {"psu": standard_artifacts.Model, "seminar": standard_artifacts.Model}
    models = Resolver(
        strategy_class=EarlierBlessedStrategy,
        examples=examples,
        **{name: types.Channel(type=kind) for name, kind in kinds.items()},
    ).with_id("Models")
    statistics = Resolver(
        strategy_class=EarlierSpanStrategy, examples=examples, statistics=types.Channel(type=SpanStatistics)
    ).with_id("Statistics")
    change = Change(examples=examples)
    changed = change.outputs["changed"]
    pretrain = Pretrain(examples=changed)
    train = Train(examples=changed, base_model=pretrain.outputs["model"])
    serve = Serve(model=train.outputs["model"])
    bless = Bless(model=serve.outputs["served"], good=good)
    return tfx.dsl.Pipeline(
        pipeline_name="small",
        pipeline_root=str(root / "artifacts"),
        components=[ingest, models, statistics, change, pretrain, train, serve, bless],
        enable_cache=True,
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(root / "metadata.sqlite")
        ),
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Function from a span, and whether its model is blessed, to what was found and what was made, as ids."""
    root = tmp_path_factory.mktemp("road")

    def once(span, good=1):
        runner = LocalRunner()
        runner.run(pipeline(root, span, good))
        results = {result.name: result for result in runner.results}
        found = {name: [a.id for a in held] for name, held in results["Models"].outputs.items() if name != "examples"}
        found["statistics"] = [a.id for a in results["Statistics"].outputs.get("statistics", [])]
        made = {
            "psu": [a.id for a in results["Pretrain"].outputs["model"]],
            "seminar": [a.id for a in results["Train"].outputs["model"]],
            "model": [a.id for a in results["Serve"].outputs["served"]],
            "model_blessing": [a.id for a in results["Bless"].outputs["blessing"]],
            "statistics": [a.id for a in results["Ingest"].outputs["statistics"]],
        }
        return {name: ids for name, ids in found.items() if ids}, made

    return once


def test_only_blessed_models_of_earlier_spans_are_found(run):
    found, first = run(1)
    assert found == {}
    found, second = run(2)
    assert found == first
    found, again = run(2)
    assert found == first, "a span's own model is not what it starts from"
    assert again == second, "so everything comes from the cache"
    found, third = run(3, good=0)
    assert found == second
    found, _ = run(4)
    assert found == {**second, "statistics": third["statistics"]}, "span 3's model is not blessed"
    found, _ = run(1)
    assert found == {}, "a run of an old span does not look ahead"
