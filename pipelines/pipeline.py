"""The pipeline: from the canonical tables to a pushed, versioned SavedModel.

BehaviorExampleGen -> StatisticsGen, ImportSchemaGen, ExampleValidator, DriftCheck -> Transform -> Trainer (PSU) ->
Trainer (SEMINAR or a rival, restoring the PSU's tables) -> Quantizer (the tables that are served) -> RecallEvaluator
(against exact attention) and Evaluator (against the last blessed model) -> Pusher.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tensorflow_data_validation as tfdv

# Not tfx.v1: it brings Google Cloud's AI Platform along, seconds of every start.
from tfx import components as tfx_components
from tfx import types
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration import metadata
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import transform_pb2
from tfx.types import standard_artifacts

from components.behavior_example_gen.component import BehaviorExampleGen
from components.drift.artifacts import SpanStatistics
from components.drift.component import DriftCheck
from components.evaluator.eval_config import eval_config
from components.quantizer.component import Quantizer
from components.recall_evaluator.component import RecallEvaluator
from components.resolvers.earlier_models import EarlierBlessedStrategy
from components.resolvers.earlier_statistics import EarlierSpanStrategy
from pipelines.beam_arguments import beam_arguments
from pipelines.fingerprint import code_fingerprint
from pipelines.site import Site
from pipelines.stage_inputs import (
    DRIFT_CODE,
    INGEST_CODE,
    QUANTIZER_CODE,
    RECALL_CODE,
    TRANSFORM_CODE,
    serving_part,
    trainer_code,
    trainer_part,
)
from seminar_tf.config import PipelineConfig
from seminar_tf.config_io import to_json
from seminar_tf.data.dataset import DatasetSpec, describe, table_bytes
from seminar_tf.features import names

PSU_ID = "PSU"
SEMINAR_ID = "SEMINAR"


def artifacts_dir(config: PipelineConfig) -> Path:
    """Folder of the components' outputs, one sub-folder a component."""
    return Path(config.root).resolve() / "artifacts"


def metadata_path(config: PipelineConfig) -> Path:
    """ML Metadata's SQLite file."""
    return Path(config.root).resolve() / "metadata.sqlite"


def create_pipeline(config: PipelineConfig, enable_cache: bool = True, span: int | None = None) -> Pipeline:
    """Builds the pipeline.

    Args:
      config: the whole configuration; `config.data.path` must hold a canonical dataset.
      enable_cache: take outputs of earlier executions with equal inputs, parameters and code.
      span: the span to run for, as if there were no later ones; None takes the newest there is.

    Returns:
      A pipeline for any TFX runner.

    Raises:
      DatasetError: the dataset is missing or malformed.
    """
    spec = describe(config.data.path, span)
    metadata_path(config).parent.mkdir(parents=True, exist_ok=True)
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(artifacts_dir(config)),
        components=pipeline_nodes(config, spec, Site(config), span),
        enable_cache=enable_cache,
        metadata_connection_config=metadata.sqlite_metadata_connection_config(str(metadata_path(config))),
        beam_pipeline_args=beam_arguments(config.beam, table_bytes(config.data.path, spec.spans)),
    )


def pipeline_nodes(config: PipelineConfig, spec: DatasetSpec, site: Site, span: int | None = None) -> list[BaseNode]:
    """The nodes of the pipeline, in topological order.

    Args:
      config: the whole configuration.
      spec: of the dataset.
      site: where they are to run.
      span: the span to run for; None takes the newest there is.
    """
    example_gen = BehaviorExampleGen(
        data=dataclasses.replace(config.data, path=str(Path(config.data.path).resolve())),
        features=config.features,
        dataset=spec,
        span=span,
        now_ms=config.data.now_ms,
        code=code_fingerprint(*INGEST_CODE),
        state_dir=site.ingestion_state_dir(),
        input_base=site.input_base(),
        span_range=site.span_range(),
    )
    statistics_gen = tfx_components.StatisticsGen(
        examples=example_gen.outputs["examples"],
        # Encoded pixels are long strings of which no statistic says anything.
        stats_options=tfdv.StatsOptions(semantic_domain_stats_sample_rate=None),
    )
    schema_node, schema = site.schema(spec)
    validator = tfx_components.ExampleValidator(statistics=statistics_gen.outputs["statistics"], schema=schema)
    drift = _drift(config, example_gen)
    transform = tfx_components.Transform(
        examples=example_gen.outputs["examples"],
        schema=schema,
        preprocessing_fn="pipelines.transform.preprocessing_fn",
        splits_config=transform_pb2.SplitsConfig(analyze=["train", "catalog", "queries"], transform=list(names.SPLITS)),
        custom_config={
            "features": to_json(config.features),
            "dataset": to_json(spec),
            "code": code_fingerprint(*TRANSFORM_CODE),
        },
        # StatisticsGen has looked at the same rows already.
        disable_statistics=True,
    )
    if drift:
        # A blocked span is neither transformed nor trained on.
        transform.add_upstream_node(drift[-1])
    earlier = _earlier_models(config, example_gen)
    psu = _trainer(config, spec, site, transform, "psu", earlier).with_id(PSU_ID)
    seminar = _trainer(config, spec, site, transform, "seminar", earlier, psu.outputs["model"]).with_id(SEMINAR_ID)
    quantizer = Quantizer(
        model=seminar.outputs["model"],
        transform_graph=transform.outputs["transform_graph"],
        config=serving_part(config),
        code=code_fingerprint(*QUANTIZER_CODE),
    )
    recall = RecallEvaluator(
        examples=transform.outputs["transformed_examples"],
        model=seminar.outputs["model"],
        served_model=quantizer.outputs["served_model"],
        retrieval=config.retrieval,
        seed=config.seed,
        code=code_fingerprint(*RECALL_CODE),
    )
    baseline = site.baseline()
    evaluator = site.evaluator(
        examples=transform.outputs["transformed_examples"],
        model=quantizer.outputs["served_model"],
        baseline_model=baseline.outputs["model"],
        eval_config=eval_config(config, spec),
        example_splits=list(names.SEGMENT_SPLITS),
        module_path="components.evaluator.module",
    )
    pusher = site.pusher(
        model=quantizer.outputs["served_model"],
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=recall.outputs["blessing"],
    )
    warm = [] if earlier is None else [earlier]
    return [
        example_gen, statistics_gen, schema_node, validator, *drift, *warm, transform, psu, seminar, quantizer, recall,
        baseline, evaluator, pusher,
    ]  # fmt: skip


def _drift(config: PipelineConfig, example_gen: BehaviorExampleGen) -> list[BaseNode]:
    """The check of the newest span against the one before, last; none where it is off."""
    if config.drift.action == "off":
        return []
    earlier = Resolver(
        strategy_class=EarlierSpanStrategy,
        examples=example_gen.outputs["examples"],
        statistics=types.Channel(type=SpanStatistics),
    ).with_id("EarlierSpan")
    check = DriftCheck(
        examples=example_gen.outputs["examples"],
        baseline=earlier.outputs["statistics"],
        path=str(Path(config.data.path).resolve()),
        config=config.drift,
        code=code_fingerprint(*DRIFT_CODE),
    )
    return [earlier, check]


def _earlier_models(config: PipelineConfig, example_gen: BehaviorExampleGen) -> Resolver | None:
    """Finds what a warm start starts from; None where there is to be none."""
    if config.continuous.warm_start == "off":
        return None
    return Resolver(
        strategy_class=EarlierBlessedStrategy,
        examples=example_gen.outputs["examples"],
        model=types.Channel(type=standard_artifacts.Model),
        model_blessing=types.Channel(type=standard_artifacts.ModelBlessing),
        psu=types.Channel(type=standard_artifacts.Model),
        seminar=types.Channel(type=standard_artifacts.Model),
    ).with_id("EarlierModels")


def _trainer(
    config: PipelineConfig,
    spec: DatasetSpec,
    site: Site,
    transform: tfx_components.Transform,
    stage: str,
    earlier: Resolver | None,
    base_model: types.Channel | None = None,
) -> BaseNode:
    """A Trainer of one stage, `psu` or `seminar`."""
    return site.trainer(
        stage,
        {
            "config": to_json(trainer_part(config, stage)),
            "dataset": to_json(spec),
            "state_dir": site.state_dir(),
            "code": code_fingerprint(*trainer_code(config, stage)),
        },
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        base_model=base_model,
        warm_model=None if earlier is None else earlier.outputs[stage],
    )
