"""Google Cloud's Vertex AI: Pipelines, Training and Prediction (docs/vertex.md)."""

from __future__ import annotations

from dataclasses import dataclass, field

from seminar_tf.config_io import check, positive


def _check_accelerators(section: str, kind: str, count: int) -> None:
    check(count >= 0, f"{section}.accelerator_count", count, "0 or more")
    named = bool(kind) == bool(count)
    check(
        named, f"{section}.accelerator_type", kind, "a type where accelerator_count is above 0, and none where it is 0"
    )


@dataclass(frozen=True)
class VertexTraining:
    """Trainers as Vertex Training custom jobs of their own, instead of in the pipeline's container.

    Attributes:
      enabled: whether they are.
      machine_type: such as n1-standard-16.
      accelerator_type: such as NVIDIA_TESLA_V100; "" for none.
      accelerator_count: of each machine.
      replicas: machines. More than one needs a strategy for several machines in `psu` and `seminar`
        (docs/training.md); Vertex sets TF_CONFIG.
      boot_disk_gb: of each machine.
    """

    enabled: bool = False
    machine_type: str = "n1-standard-8"
    accelerator_type: str = ""
    accelerator_count: int = 0
    replicas: int = 1
    boot_disk_gb: int = 200

    def __post_init__(self) -> None:
        check(bool(self.machine_type), "training.machine_type", self.machine_type, "a machine type")
        _check_accelerators("training", self.accelerator_type, self.accelerator_count)
        positive("training.replicas", self.replicas)
        check(self.boot_disk_gb >= 100, "training.boot_disk_gb", self.boot_disk_gb, "100 or more")


@dataclass(frozen=True)
class VertexPrediction:
    """A blessed model goes to a Vertex endpoint, in place of `kubeflow.push_dir`.

    Attributes:
      endpoint: display name of the endpoint, made if there is none; "" pushes to `kubeflow.push_dir`.
      image: serving container: one of Vertex's prebuilt TensorFlow 2 images, at least as new as the exporting
        TensorFlow.
      machine_type: of replicas.
      accelerator_type: "" for none.
      accelerator_count: of each replica.
      min_replicas, max_replicas: between which Vertex scales.
      traffic_percentage: share of requests that the new model gets.
    """

    endpoint: str = ""
    image: str = ""
    machine_type: str = "n1-standard-4"
    accelerator_type: str = ""
    accelerator_count: int = 0
    min_replicas: int = 1
    max_replicas: int = 1
    traffic_percentage: int = 100

    def __post_init__(self) -> None:
        check(bool(self.image) or not self.endpoint, "prediction.image", self.image, "a serving image for the endpoint")
        _check_accelerators("prediction", self.accelerator_type, self.accelerator_count)
        positive("prediction.min_replicas", self.min_replicas)
        least = f"at least min_replicas ({self.min_replicas})"
        check(self.max_replicas >= self.min_replicas, "prediction.max_replicas", self.max_replicas, least)
        share = 0 <= self.traffic_percentage <= 100
        check(share, "prediction.traffic_percentage", self.traffic_percentage, "0 to 100")


@dataclass(frozen=True)
class VertexConfig:
    """Vertex AI.

    Attributes:
      project: Google Cloud project id.
      region: such as europe-west4.
      service_account: that training jobs and endpoints run as; "" takes Vertex's default. The pipeline's own is given
        when it is submitted.
      network: of training jobs, as projects/<number>/global/networks/<name>; "" for none.
      training: Trainers as custom jobs.
      prediction: where a blessed model is deployed.
    """

    project: str = ""
    region: str = ""
    service_account: str = ""
    network: str = ""
    training: VertexTraining = field(default_factory=VertexTraining)
    prediction: VertexPrediction = field(default_factory=VertexPrediction)

    def __post_init__(self) -> None:
        if self.training.enabled or self.prediction.endpoint:
            for key in ("project", "region"):
                wanted = "a value, as vertex.training or vertex.prediction is used"
                check(bool(getattr(self, key)), f"vertex.{key}", getattr(self, key), wanted)
