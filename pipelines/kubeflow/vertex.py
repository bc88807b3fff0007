"""Vertex Training and Prediction, through TFX's Google Cloud extension.

Its executors hand `gs://` addresses on to Google's services, so these components keep TFX's own entrypoint, which
translates nothing; the training job's processes translate for themselves (`vertex_training`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seminar_tf.config import PipelineConfig, VertexConfig, VertexTraining

if TYPE_CHECKING:
    from tfx.dsl.components.base.base_node import BaseNode

# Keys of custom_config, as tfx.extensions.google_cloud_ai_platform has them (a test compares them). That package
# imports Google's whole client, seconds that a Kubeflow compilation has no use for.
ENABLE_KEY = "ai_platform_enable_vertex"
REGION_KEY = "ai_platform_vertex_region"
TRAINING_KEY = "ai_platform_training_args"
SERVING_KEY = "ai_platform_serving_args"
SERVING_IMAGE_KEY = "ai_platform_vertex_container_image_uri"
EXTENSION = "tfx.extensions.google_cloud_ai_platform."


def custom_job(config: PipelineConfig, stage: str) -> dict[str, Any]:
    """The CustomJob of a Trainer.

    Args:
      config: `kubeflow.vertex`, and the image of the stage's component.
      stage: psu or seminar.

    Returns:
      A CustomJob as Vertex's API has it, less the container's command, which TFX fills in. With several replicas the
      first pool is the chief and the second the workers.
    """
    vertex = config.kubeflow.vertex
    training = vertex.training
    kubeflow = config.kubeflow
    pool = {
        "machine_spec": _machine(training),
        "container_spec": {
            "image_uri": (training.accelerator_count and kubeflow.gpu_image) or kubeflow.image,
            "env": [{"name": "TF_USE_LEGACY_KERAS", "value": "1"}],
        },
        "disk_spec": {"boot_disk_type": "pd-ssd", "boot_disk_size_gb": training.boot_disk_gb},
    }
    pools = [{**pool, "replica_count": 1}]
    if training.replicas > 1:
        pools.append({**pool, "replica_count": training.replicas - 1})
    job: dict[str, Any] = {"worker_pool_specs": pools}
    if vertex.service_account:
        job["service_account"] = vertex.service_account
    if vertex.network:
        job["network"] = vertex.network
    return {
        "display_name": f"{config.name}-{stage}",
        "job_spec": job,
        # TFX reads the project from here and sends the rest.
        "project": vertex.project,
    }


def serving_arguments(vertex: VertexConfig) -> dict[str, Any]:
    """What TFX's Pusher gives to `aiplatform.Model.deploy`, with project and endpoint beside."""
    prediction = vertex.prediction
    arguments: dict[str, Any] = {
        "project": vertex.project,
        "endpoint_name": prediction.endpoint,
        "machine_type": prediction.machine_type,
        "min_replica_count": prediction.min_replicas,
        "max_replica_count": prediction.max_replicas,
        "traffic_percentage": prediction.traffic_percentage,
    }
    if prediction.accelerator_count:
        arguments["accelerator_type"] = prediction.accelerator_type
        arguments["accelerator_count"] = prediction.accelerator_count
    if vertex.service_account:
        arguments["service_account"] = vertex.service_account
    return arguments


def training_job(config: PipelineConfig, stage: str, custom_config: dict[str, Any], **arguments: Any) -> BaseNode:
    """A Trainer that starts a Vertex Training job and waits for it."""
    from tfx.extensions.google_cloud_ai_platform.trainer.component import Trainer
    from tfx.proto import trainer_pb2

    # TFX's own, which knows no model to start from; `check_config` refuses warm starts.
    arguments.pop("warm_model", None)
    vertex = config.kubeflow.vertex
    job = {ENABLE_KEY: True, REGION_KEY: vertex.region, TRAINING_KEY: custom_job(config, stage)}
    return Trainer(
        run_fn=f"pipelines.kubeflow.vertex_training.{stage}_run_fn",
        custom_config=custom_config | job,
        train_args=trainer_pb2.TrainArgs(splits=["train"]),
        eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
        **arguments,
    )


def endpoint_pusher(vertex: VertexConfig, **arguments: Any) -> BaseNode:
    """A Pusher that uploads the model to Vertex and deploys it at an endpoint."""
    from tfx.extensions.google_cloud_ai_platform.pusher.component import Pusher

    custom_config = {
        ENABLE_KEY: True,
        REGION_KEY: vertex.region,
        SERVING_IMAGE_KEY: vertex.prediction.image,
        SERVING_KEY: serving_arguments(vertex),
    }
    return Pusher(custom_config=custom_config, **arguments)


def _machine(of: VertexTraining) -> dict[str, Any]:
    machine: dict[str, Any] = {"machine_type": of.machine_type}
    if of.accelerator_count:
        machine |= {"accelerator_type": of.accelerator_type, "accelerator_count": of.accelerator_count}
    return machine
