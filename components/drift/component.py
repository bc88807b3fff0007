"""DriftCheck, between BehaviorExampleGen and Transform."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.drift.artifacts import SpanStatistics
from components.drift.executor import Executor
from seminar_tf.config import DriftConfig
from seminar_tf.config_io import to_json


class DriftCheckSpec(ComponentSpec):  # type: ignore[misc]
    """Parameters: `path`, `config` and `code`. Inputs: `examples`, `baseline`. Outputs: `statistics`, `anomalies`."""

    PARAMETERS = {name: ExecutionParameter(type=str) for name in ("path", "config", "code")}
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "baseline": ChannelParameter(type=SpanStatistics, optional=True),
    }
    OUTPUTS = {
        "statistics": ChannelParameter(type=SpanStatistics),
        "anomalies": ChannelParameter(type=standard_artifacts.ExampleAnomalies),
    }


class DriftCheck(base_component.BaseComponent):  # type: ignore[misc]
    """Holds the newest span's events against those of the last span that passed.

    Categorical features are compared by the L-infinity distance, numeric ones by the Jensen-Shannon divergence (TFDV's
    drift comparators). With `drift.action` block the component fails, with a message that names features, distances
    and thresholds; as a failed execution's outputs are never published, a blocked span is nobody's baseline.
    """

    SPEC_CLASS = DriftCheckSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        baseline: types.BaseChannel | None,
        path: str,
        config: DriftConfig,
        code: str = "",
    ) -> None:
        """Args:
        examples: BehaviorExampleGen's; says which span is the newest.
        baseline: SpanStatistics of the span before, may be empty.
        path: dataset folder.
        config: features, thresholds, and what to do.
        code: fingerprint of the code that this component runs.
        """
        super().__init__(
            spec=DriftCheckSpec(
                examples=examples,
                baseline=baseline,
                path=path,
                config=to_json(config),
                code=code,
                statistics=types.Channel(type=SpanStatistics),
                anomalies=types.Channel(type=standard_artifacts.ExampleAnomalies),
            )
        )
