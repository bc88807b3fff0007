"""ServedModel, in place of TFX's LatestBlessedModel resolver, which Kubeflow Pipelines cannot run."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.served_model.executor import Executor


class ServedModelSpec(ComponentSpec):
    """Parameter: `directory`. Output: `model`."""

    PARAMETERS = {"directory": ExecutionParameter(type=str)}
    INPUTS: dict[str, ChannelParameter] = {}
    OUTPUTS = {"model": ChannelParameter(type=standard_artifacts.Model)}


class ServedModel(base_component.BaseComponent):
    """The newest version under the Pusher's folder, what the Evaluator compares a new model with.

    Where nothing is served yet, the artifact says so and `components.evaluator` drops the baseline. Its result depends
    on a folder that no parameter describes, so it must never be taken from a cache.
    """

    SPEC_CLASS = ServedModelSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, directory: str) -> None:
        """Args:
        directory: folder of numbered versions.
        """
        super().__init__(spec=ServedModelSpec(directory=directory, model=types.Channel(type=standard_artifacts.Model)))
