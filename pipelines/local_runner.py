"""Runs a TFX pipeline on this machine and says, component by component, what happens.

The stock LocalDagRunner runs to the end in silence; this one launches the same nodes in the same order and calls
an observer before and after each, with what ML Metadata recorded of it.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import launcher, runtime_parameter_utils, tfx_runner
from tfx.proto.orchestration import pipeline_pb2
from tfx.types import Artifact
from tfx.types.artifact_utils import deserialize_artifact

from components import beam_workers

_RUN_ID = "pipeline-run-id"


@dataclass(frozen=True)
class NodeResult:
    """What one component did.

    Attributes:
      name: the component's id.
      seconds: wall time.
      cached: whether TFX took the outputs of an earlier, equal execution.
      inputs: artifacts read, by input key.
      outputs: artifacts written, by output key.
    """

    name: str
    seconds: float
    cached: bool
    inputs: dict[str, list[Artifact]] = field(default_factory=dict)
    outputs: dict[str, list[Artifact]] = field(default_factory=dict)


class ComponentError(RuntimeError):
    """A component failed; `component` is its id and the cause is chained."""

    def __init__(self, component: str, cause: BaseException):
        super().__init__(f"component {component} failed: {type(cause).__name__}: {cause}")
        self.component = component


class LocalRunner(tfx_runner.IrBasedRunner):
    """Launches each node of the pipeline in this process, in topological order."""

    def __init__(
        self,
        on_start: Callable[[str, int, int], None] | None = None,
        on_end: Callable[[NodeResult], None] | None = None,
        until: str = "",
    ):
        """Creates the runner.

        Args:
          on_start: called with (component id, its index from 0, number of components) before it starts.
          on_end: called with the result when it ends well.
          until: id of the last component to run; "" runs all.
        """
        super().__init__()
        self._on_start = on_start or (lambda name, index, total: None)
        self._on_end = on_end or (lambda result: None)
        self._until = until
        self.results: list[NodeResult] = []

    def run_with_ir(self, pipeline: pipeline_pb2.Pipeline, run_options: Any = None, **kwargs: Any) -> None:
        """Runs a compiled pipeline.

        Raises:
          ComponentError: a component failed; those before it are done and a re-run takes them from the cache.
          ValueError: no component has the id of `until`.
        """
        known = [entry.pipeline_node.node_info.id for entry in pipeline.nodes]
        if self._until and self._until not in known:
            raise ValueError(f"until is {self._until!r}, expected one of {', '.join(known)}.")
        del run_options, kwargs
        runtime_parameter_utils.substitute_runtime_parameter(pipeline, {_RUN_ID: datetime.datetime.now().isoformat()})
        deployment = runner_utils.extract_local_deployment_config(pipeline)
        kind = deployment.metadata_connection_config.WhichOneof("connection_config")
        connection = getattr(deployment.metadata_connection_config, kind)
        self.results = []
        # For the Beam jobs of TFX's own components: where ingestion is cached, nobody else has asked for it.
        beam_workers.watch()
        for index, entry in enumerate(pipeline.nodes):
            node = entry.pipeline_node
            name = node.node_info.id
            self._on_start(name, index, len(pipeline.nodes))
            started = time.monotonic()
            node_launcher = launcher.Launcher(
                pipeline_node=node,
                mlmd_connection=metadata.Metadata(connection),
                pipeline_info=pipeline.pipeline_info,
                pipeline_runtime_spec=pipeline.runtime_spec,
                executor_spec=runner_utils.extract_executor_spec(deployment, name),
                custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, name),
            )
            try:
                info = node_launcher.launch()
            # Whatever a component raises must come out with the component's name on it.
            except Exception as error:
                raise ComponentError(name, error) from error
            result = _result(connection, name, time.monotonic() - started, info.execution_id if info else None)
            self.results.append(result)
            self._on_end(result)
            if name == self._until:
                break


def _result(connection: Any, name: str, seconds: float, execution_id: int | None) -> NodeResult:
    """Reads from ML Metadata what an execution read and wrote, cached or not."""
    if execution_id is None:
        return NodeResult(name, seconds, cached=False)
    with metadata.Metadata(connection) as handle:
        store = handle.store
        (execution,) = store.get_executions_by_id([execution_id])
        events = store.get_events_by_execution_ids([execution_id])
        artifacts = {a.id: a for a in store.get_artifacts_by_id([e.artifact_id for e in events])}
        types = {t.id: t for t in store.get_artifact_types()}
    sides: dict[bool, dict[str, list[Artifact]]] = {True: {}, False: {}}
    written = (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.INTERNAL_OUTPUT)
    for event in events:
        key = next((step.key for step in event.path.steps if step.WhichOneof("value") == "key"), "")
        record = artifacts[event.artifact_id]
        artifact = deserialize_artifact(types[record.type_id], record)
        sides[event.type in written].setdefault(key, []).append(artifact)
    cached = execution.last_known_state == metadata_store_pb2.Execution.CACHED
    return NodeResult(name, seconds, cached, inputs=sides[False], outputs=sides[True])
