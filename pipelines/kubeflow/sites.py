"""Kubeflow and Vertex as places where the pipeline runs."""

from __future__ import annotations

from typing import Any

from tfx import components as tfx_components
from tfx import types
from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration.data_types import RuntimeParameter

from components.dataset_schema.component import DatasetSchema
from components.evaluator.component import Evaluator
from components.pusher.component import Pusher
from components.served_model.component import ServedModel
from pipelines.kubeflow import vertex
from pipelines.schema import raw_schema
from pipelines.site import Site, latest_blessed_model, pushed_to
from seminar_tf.config import PipelineConfig
from seminar_tf.data.dataset import DatasetSpec

# Parameters of a run.
DATA_PATH = "data_path"
SPAN_RANGE = "span_range"


class ClusterSite(Site):
    """What Kubeflow and Vertex have in common: nothing of the machine that compiles is to be seen."""

    def input_base(self) -> RuntimeParameter:
        """Parameter `data_path`."""
        return RuntimeParameter(name=DATA_PATH, ptype=str, default=self.config.kubeflow.data_path)

    def span_range(self) -> RuntimeParameter:
        """Parameter `span_range`."""
        return RuntimeParameter(name=SPAN_RANGE, ptype=str, default="")

    def state_dir(self) -> str:
        """In the container, or on a volume."""
        return self.config.kubeflow.state_dir

    def ingestion_state_dir(self) -> str:
        """None: each run of a container starts empty."""
        return ""

    def schema(self, spec: DatasetSpec) -> tuple[BaseNode, types.Channel]:
        """Carried in the pipeline."""
        node = DatasetSchema(raw_schema(spec))
        return node, node.outputs["schema_file"]


class KubeflowSite(ClusterSite):
    """Kubeflow Pipelines, which has no resolvers, with volumes for data and pushed models."""

    def baseline(self) -> BaseNode:
        """The version that is served."""
        return ServedModel(self.config.kubeflow.push_dir)

    def evaluator(self, **arguments: Any) -> BaseNode:
        """One that bears the absence of a baseline."""
        return Evaluator(**arguments)

    def pusher(self, **arguments: Any) -> BaseNode:
        """Stages and renames on a volume."""
        return Pusher(push_destination=pushed_to(self.config.kubeflow.push_dir), **arguments)


class VertexSite(ClusterSite):
    """Vertex AI Pipelines; Trainers and the Pusher may be Vertex's own services."""

    def __init__(self, config: PipelineConfig) -> None:
        super().__init__(config)
        self._vertex = config.kubeflow.vertex

    def baseline(self) -> BaseNode:
        """Vertex's metadata knows it."""
        return latest_blessed_model()

    def trainer(self, stage: str, custom_config: dict[str, Any], **arguments: Any) -> BaseNode:
        """In the pipeline's container, or as a custom job."""
        if not self._vertex.training.enabled:
            return super().trainer(stage, custom_config, **arguments)
        return vertex.training_job(self.config, stage, custom_config, **arguments)

    def pusher(self, **arguments: Any) -> BaseNode:
        """To an endpoint, or to a bucket."""
        if self._vertex.prediction.endpoint:
            return vertex.endpoint_pusher(self._vertex, **arguments)
        # TFX's own: in a bucket nothing can be renamed, so a version is there file by file.
        return tfx_components.Pusher(push_destination=pushed_to(self.config.kubeflow.push_dir), **arguments)


def make_site(engine: str, config: PipelineConfig) -> ClusterSite:
    """The place that an engine stands for."""
    return {"kubeflow": KubeflowSite, "vertex": VertexSite}[engine](config)
