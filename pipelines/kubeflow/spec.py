"""The compiled specification (KFP v2, schema 2.1.0), completed: what TFX's compiler has no argument for.

TFX writes components, order, parameters and containers. It leaves out resources, retries, per-component caching and our
container command; these are set here, on the protos, so that a field that does not exist is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from pipelines.kubeflow import vertex
from seminar_tf.config import KubeflowConfig

# Their results depend on folders that no parameter describes. On Vertex, a driver that runs before the cache is asked
# fingerprints the data of the first; Kubeflow runs no such driver.
_NEVER_CACHED = {"kubeflow": ("BehaviorExampleGen", "ServedModel"), "vertex": ()}
_EXECUTOR_ARGUMENT = "--executor_class_path"
COMMAND = ("python", "-m", "pipelines.kubeflow.entrypoint")


def complete(
    job: Mapping[str, Any], config: KubeflowConfig, engine: str, defaults: Mapping[str, str]
) -> dict[str, Any]:
    """Completes what KubeflowV2DagRunner returned.

    Args:
      job: a PipelineJob as JSON.
      config: resources, retries and cache.
      engine: kubeflow or vertex.
      defaults: values of the run's parameters where a run gives none; TFX drops them.

    Returns:
      The same job with every container's command, resources and environment, every task's retries and caching.

    Raises:
      google.protobuf.json_format.ParseError: `job` is no PipelineJob.
    """
    message = json_format.ParseDict(dict(job), pb.PipelineJob())
    spec = json_format.ParseDict(json_format.MessageToDict(message.pipeline_spec), pb.PipelineSpec())
    deployment = deployment_of(spec)
    for name, task in spec.root.dag.tasks.items():
        executor = deployment.executors[spec.components[task.component_ref.name].executor_label]
        if executor.WhichOneof("spec") != "container":
            continue
        _complete_container(executor.container, name, config, engine)
        _complete_task(task, name, config, engine)
    for name, value in defaults.items():
        spec.root.input_definitions.parameters[name].default_value.string_value = value
    spec.deployment_spec.Clear()
    spec.deployment_spec.update(json_format.MessageToDict(deployment))
    completed: dict[str, Any] = json_format.MessageToDict(message)
    # Not by way of the message, whose Struct would make floats of whole numbers.
    completed["pipelineSpec"] = json_format.MessageToDict(spec)
    return completed


def deployment_of(spec: pb.PipelineSpec) -> pb.PipelineDeploymentConfig:
    """The executors of a specification."""
    return json_format.ParseDict(json_format.MessageToDict(spec.deployment_spec), pb.PipelineDeploymentConfig())


def executor_class(container: pb.PipelineDeploymentConfig.PipelineContainerSpec) -> str:
    """Import path of the executor class that a container runs."""
    arguments = list(container.args)
    return str(arguments[arguments.index(_EXECUTOR_ARGUMENT) + 1])


def _complete_container(
    container: pb.PipelineDeploymentConfig.PipelineContainerSpec, name: str, config: KubeflowConfig, engine: str
) -> None:
    if not executor_class(container).startswith(vertex.EXTENSION):
        del container.command[:]
        container.command.extend(COMMAND)
    if engine == "kubeflow":
        # It would be passed over in silence; the entrypoint runs the driver instead.
        container.ClearField("lifecycle")
    variable = container.env.add()
    variable.name, variable.value = "TF_USE_LEGACY_KERAS", "1"
    given = config.resources_of(name)
    if given.cpu:
        container.resources.cpu_limit = container.resources.cpu_request = given.cpu
    if given.memory_gb:
        container.resources.memory_limit = container.resources.memory_request = given.memory_gb
    if given.gpu:
        container.resources.accelerator.type = given.gpu_type
        container.resources.accelerator.count = given.gpu


def _complete_task(task: pb.PipelineTaskSpec, name: str, config: KubeflowConfig, engine: str) -> None:
    retries = config.retries
    if retries.count:
        task.retry_policy.max_retry_count = retries.count
        task.retry_policy.backoff_duration.seconds = retries.wait_seconds
        task.retry_policy.backoff_factor = retries.factor
        task.retry_policy.backoff_max_duration.seconds = retries.max_wait_seconds
    if name in _NEVER_CACHED[engine]:
        task.ClearField("caching_options")


def containers(spec: pb.PipelineSpec) -> Iterator[tuple[str, pb.PipelineDeploymentConfig.PipelineContainerSpec]]:
    """Every task that runs a container, with that container, in the order of names."""
    deployment = deployment_of(spec)
    for name, task in sorted(spec.root.dag.tasks.items()):
        executor = deployment.executors[spec.components[task.component_ref.name].executor_label]
        if executor.WhichOneof("spec") == "container":
            yield name, executor.container


def kubernetes_platform(spec: pb.PipelineSpec, config: KubeflowConfig) -> dict[str, Any]:
    """What only Kubernetes knows: volumes, and nodes for GPUs.

    Args:
      spec: a completed specification.
      config: volumes, gpu_node_selector and gpu_tolerations.

    Returns:
      A PlatformSpec as JSON, empty where there is nothing to say.
    """
    mounts = [{"constant": volume.claim, "mountPath": volume.path} for volume in config.volumes]
    tolerations = [
        {"key": t.key, "operator": t.operator, "effect": t.effect} | ({"value": t.value} if t.value else {})
        for t in config.gpu_tolerations
    ]
    executors: dict[str, dict[str, Any]] = {}
    for name, _ in containers(spec):
        settings: dict[str, Any] = {"pvcMount": mounts} if mounts else {}
        if config.resources_of(name).gpu:
            settings |= {"nodeSelector": {"labels": config.gpu_node_selector}} if config.gpu_node_selector else {}
            settings |= {"tolerations": tolerations} if tolerations else {}
        if settings:
            executors[spec.components[spec.root.dag.tasks[name].component_ref.name].executor_label] = settings
    if not executors:
        return {}
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}
