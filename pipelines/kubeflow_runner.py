"""Compiles the pipeline for Kubeflow Pipelines or Vertex AI Pipelines: what `seminar-tf compile` calls.

Kubeflow gets a YAML package of two documents, pipeline and platform; Vertex a JSON job. Nothing is contacted.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import KubeflowV2DagRunner, KubeflowV2DagRunnerConfig
from tfx.orchestration.pipeline import Pipeline

from pipelines.beam_arguments import beam_arguments
from pipelines.kubeflow import spec as specification
from pipelines.kubeflow.checks import check_config
from pipelines.kubeflow.sites import DATA_PATH, SPAN_RANGE, make_site
from pipelines.pipeline import pipeline_nodes
from seminar_tf.config import PipelineConfig
from seminar_tf.config.kubeflow import COMPONENTS
from seminar_tf.data.dataset import describe


def compile_pipeline(config: PipelineConfig, engine: str) -> dict[str, Any]:
    """Compiles the pipeline.

    Args:
      config: `data.path` must hold a dataset on this machine, with the same columns as the one that runs will read.
      engine: kubeflow or vertex.

    Returns:
      A PipelineJob as JSON, schema 2.1.0.

    Raises:
      ConfigError: `kubeflow` lacks what the engine needs.
      DatasetError: the dataset is missing or malformed.
    """
    check_config(config, engine)
    kubeflow = config.kubeflow
    pipeline = Pipeline(
        pipeline_name=config.name,
        pipeline_root=kubeflow.pipeline_root,
        components=pipeline_nodes(config, describe(config.data.path), make_site(engine, config)),
        enable_cache=kubeflow.cache,
        beam_pipeline_args=beam_arguments(config.beam),
    )
    images = {"default_image_path": kubeflow.image} | {name: kubeflow.image_of(name) for name in COMPONENTS}
    settings = KubeflowV2DagRunnerConfig(default_image=images, use_pipeline_spec_2_1=True)
    job = KubeflowV2DagRunner(settings).run(pipeline, write_out=False)
    defaults = {DATA_PATH: kubeflow.data_path, SPAN_RANGE: ""}
    return specification.complete(job, kubeflow, engine, defaults)


def write_package(job: dict[str, Any], config: PipelineConfig, engine: str, path: str | Path) -> Path:
    """Writes what the engine takes, whole or not at all.

    Args:
      job: of `compile_pipeline`.
      config: the same configuration.
      engine: kubeflow writes YAML, vertex JSON.
      path: file to write.
    """
    path = Path(path)
    if engine == "kubeflow":
        spec = json_format.ParseDict(job["pipelineSpec"], pb.PipelineSpec())
        # The backend's default root is another one; runs find ours here.
        documents = [job["pipelineSpec"] | {"defaultPipelineRoot": config.kubeflow.pipeline_root}]
        platform = specification.kubernetes_platform(spec, config.kubeflow)
        text = yaml.safe_dump_all(documents + ([platform] if platform else []), sort_keys=True)
    else:
        text = json.dumps(job, indent=2, sort_keys=True) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.part")
    staged.write_text(text, encoding="utf-8")
    os.replace(staged, path)
    return path
