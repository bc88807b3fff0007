"""Runs tasks of a compiled specification as Kubeflow does: resolves inputs, makes an ExecutorInput, calls the command.

Buckets are folders under `mounts`; the container's command is called in this process.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from pipelines.kubeflow import entrypoint
from pipelines.kubeflow.spec import containers


class Launcher:
    """One run of a pipeline, task by task."""

    def __init__(self, job: dict[str, Any], root: str, scratch: Path, **parameters: str) -> None:
        """Args:
        job: a PipelineJob as JSON.
        root: pipeline root, such as gs://bucket/root.
        scratch: a folder for executors' outputs.
        **parameters: of the run, in place of defaults.
        """
        self.spec = json_format.ParseDict(job["pipelineSpec"], pb.PipelineSpec())
        self.containers = dict(containers(self.spec))
        self._root = root
        self._scratch = scratch
        definitions = job["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]
        self._parameters = {name: given["defaultValue"] for name, given in definitions.items()} | parameters
        # Of tasks that have run: output key -> RuntimeArtifact as JSON.
        self.outputs: dict[str, dict[str, dict[str, Any]]] = {}

    def run(self, name: str) -> dict[str, dict[str, Any]]:
        """Runs a task and returns its output artifacts."""
        task = self.spec.root.dag.tasks[name]
        component = self.spec.components[task.component_ref.name]
        values = {key: self._value(given) for key, given in task.inputs.parameters.items()}
        inputs = {}
        for key, given in task.inputs.artifacts.items():
            source = given.task_output_artifact
            inputs[key] = {"artifacts": [self.outputs[source.producer_task][source.output_artifact_key]]}
        outputs = {
            key: {
                "artifacts": [
                    {
                        "name": f"{name}/{key}",
                        "uri": f"{self._root}/{name}/{key}",
                        "type": {"instanceSchema": definition.artifact_type.instance_schema},
                    }
                ]
            }
            for key, definition in component.output_definitions.artifacts.items()
        }
        output_file = self._scratch / name / "output_metadata.json"
        invocation = {
            "inputs": {"parameterValues": values, "artifacts": inputs},
            "outputs": {"artifacts": outputs, "outputFile": str(output_file)},
        }
        arguments = [json.dumps(invocation) if word == "{{$}}" else word for word in self.containers[name].args]
        entrypoint.run(arguments)
        written = json.loads(output_file.read_text())
        self.outputs[name] = {
            key: outputs[key]["artifacts"][0] | listed["artifacts"][0]
            for key, listed in written.get("artifacts", {}).items()
        }
        return self.outputs[name]

    def _value(self, given: pb.TaskInputsSpec.InputParameterSpec) -> Any:
        if given.WhichOneof("kind") == "component_input_parameter":
            return self._parameters[given.component_input_parameter]
        return json_format.MessageToDict(given.runtime_value.constant)
