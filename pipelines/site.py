"""Where a pipeline runs, and the nodes that depend on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfx import components as tfx_components
from tfx import types
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.orchestration.data_types import RuntimeParameter
from tfx.proto import pusher_pb2
from tfx.types import standard_artifacts

from components.pusher.component import Pusher
from components.trainer.component import Trainer
from pipelines import schema
from seminar_tf.config import PipelineConfig
from seminar_tf.data.dataset import DatasetSpec


def push_dir(config: PipelineConfig) -> Path:
    """Folder of numbered versions that a model server watches."""
    if config.serving.push_dir:
        return Path(config.serving.push_dir).resolve()
    return Path(config.root).resolve() / "serving" / config.serving.model_name


def pushed_to(directory: str) -> pusher_pb2.PushDestination:
    """A Pusher's destination: a folder of numbered versions."""
    return pusher_pb2.PushDestination(
        filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=directory),
    )


def latest_blessed_model() -> BaseNode:
    """TFX's resolver of the last model that the Evaluator blessed; output `model`."""
    return Resolver(
        strategy_class=LatestBlessedModelStrategy,
        model=types.Channel(type=standard_artifacts.Model),
        model_blessing=types.Channel(type=standard_artifacts.ModelBlessing),
    ).with_id("LatestBlessedModel")


class Site:
    """This machine. Sub-classes are other places; each method's node has the outputs that are named here."""

    def __init__(self, config: PipelineConfig) -> None:
        self.config = config

    def input_base(self) -> str | RuntimeParameter:
        """Folder of the canonical dataset, as the components see it."""
        return str(Path(self.config.data.path).resolve())

    def span_range(self) -> RuntimeParameter | None:
        """Parameter that says which span to ingest up to; None takes the newest there is."""
        return None

    def state_dir(self) -> str:
        """Folder of the Trainers' checkpoints."""
        return str(Path(self.config.root).resolve() / "state")

    def ingestion_state_dir(self) -> str:
        """Folder where ingestion keeps checked rows for the next span; "" keeps none."""
        return str(Path(self.config.root).resolve() / "state" / "ingest")

    def schema(self, spec: DatasetSpec) -> tuple[BaseNode, types.Channel]:
        """The schema of raw examples: a node, and its output."""
        file = schema.write_schema(spec, Path(self.config.root).resolve() / "schema" / "schema.pbtxt")
        node = ImportSchemaGen(schema_file=str(file))
        return node, node.outputs["schema"]

    def baseline(self) -> BaseNode:
        """The model that a new one is compared with: output `model`."""
        return latest_blessed_model()

    def trainer(self, stage: str, custom_config: dict[str, Any], **arguments: Any) -> BaseNode:
        """A Trainer of stage psu or seminar."""
        return Trainer(run_fn=f"pipelines.trainers.{stage}.run_fn", custom_config=custom_config, **arguments)

    def evaluator(self, **arguments: Any) -> BaseNode:
        """The Evaluator."""
        return tfx_components.Evaluator(**arguments)

    def pusher(self, **arguments: Any) -> BaseNode:
        """What deploys a model with both blessings."""
        return Pusher(push_destination=pushed_to(str(push_dir(self.config))), **arguments)
