"""How the pipeline runs on a cluster: what `seminar-tf compile` reads (docs/kubeflow.md, docs/vertex.md)."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field

from seminar_tf.config.vertex import VertexConfig
from seminar_tf.config_io import check, positive

# Ids of the components that run in a container, in the pipeline's order.
COMPONENTS = (
    "BehaviorExampleGen",
    "StatisticsGen",
    "DatasetSchema",
    "ExampleValidator",
    "Transform",
    "PSU",
    "SEMINAR",
    "Quantizer",
    "RecallEvaluator",
    "ServedModel",
    "Evaluator",
    "Pusher",
)
# Key of `resources` for every component that has none of its own.
DEFAULT = "default"


@dataclass(frozen=True)
class ComponentResources:
    """What a component's container is given; 0 leaves it to the cluster.

    Attributes:
      cpu: cores.
      memory_gb: GB (10^9 bytes).
      gpu: accelerators. A component that has any runs `gpu_image`.
      gpu_type: the cluster's name of them: a resource such as nvidia.com/gpu on Kubernetes, a type such as
        NVIDIA_TESLA_T4 on Vertex.
    """

    cpu: float = 0.0
    memory_gb: float = 0.0
    gpu: int = 0
    gpu_type: str = ""

    def __post_init__(self) -> None:
        for name in ("cpu", "memory_gb", "gpu"):
            check(getattr(self, name) >= 0, f"resources.{name}", getattr(self, name), "0 or more")
        named = bool(self.gpu_type) == bool(self.gpu)
        check(named, "resources.gpu_type", self.gpu_type, "a name where gpu is above 0, and none where it is 0")


@dataclass(frozen=True)
class Volume:
    """A claim that every container mounts (Kubernetes only).

    Attributes:
      claim: name of the PersistentVolumeClaim, in the namespace that runs the pipeline.
      path: where it is mounted.
    """

    claim: str = ""
    path: str = ""

    def __post_init__(self) -> None:
        check(bool(self.claim), "volumes.claim", self.claim, "the name of a PersistentVolumeClaim")
        check(
            self.path.startswith("/") and self.path != "/", "volumes.path", self.path, "a folder such as /mnt/seminar"
        )


@dataclass(frozen=True)
class Toleration:
    """A taint that GPU components bear, as Kubernetes has it (Kubernetes only).

    Attributes:
      key: the taint's key, such as nvidia.com/gpu.
      operator: Exists, whatever the taint's value, or Equal.
      value: what it must be equal to.
      effect: NoSchedule, PreferNoSchedule or NoExecute.
    """

    key: str = ""
    operator: str = "Exists"
    value: str = ""
    effect: str = "NoSchedule"

    def __post_init__(self) -> None:
        check(bool(self.key), "gpu_tolerations.key", self.key, "the taint's key")
        check(self.operator in ("Exists", "Equal"), "gpu_tolerations.operator", self.operator, "Exists or Equal")
        effects = ("NoSchedule", "PreferNoSchedule", "NoExecute")
        check(self.effect in effects, "gpu_tolerations.effect", self.effect, f"one of {', '.join(effects)}")


@dataclass(frozen=True)
class Retries:
    """What happens to a component that failed.

    Attributes:
      count: further tries; 0 fails the run at once.
      wait_seconds: before the first of them.
      factor: by which the wait grows with each.
      max_wait_seconds: the longest wait.
    """

    count: int = 2
    wait_seconds: int = 60
    factor: float = 2.0
    max_wait_seconds: int = 3600

    def __post_init__(self) -> None:
        check(self.count >= 0, "retries.count", self.count, "0 or more")
        positive("retries.wait_seconds", self.wait_seconds)
        check(self.factor >= 1, "retries.factor", self.factor, "1 or more")
        least = f"at least wait_seconds ({self.wait_seconds})"
        check(self.max_wait_seconds >= self.wait_seconds, "retries.max_wait_seconds", self.max_wait_seconds, least)


@dataclass(frozen=True)
class KubeflowConfig:
    """A run on Kubeflow Pipelines or Vertex AI Pipelines.

    Attributes:
      image: of every component, built from pipelines/docker/Dockerfile.
      gpu_image: of components with a GPU, from pipelines/docker/Dockerfile.gpu; "" takes `image`.
      pipeline_root: where artifacts go: gs://, s3:// or minio:// and a path. A run may name another one.
      data_path: where the containers find what `data.path` holds on the machine that compiles: a folder of a volume,
        or gs://. A run may name another one, as parameter `data_path`.
      push_dir: folder of numbered versions: a folder of a volume, or gs:// on Vertex.
      state_dir: where Trainers keep their checkpoints. A folder of a volume lets a retried Trainer go on where the
        lost pod stopped; the default is the container's own, and a retry starts over.
      cache: take outputs of earlier executions with equal inputs and parameters.
      retries: of every component.
      resources: component id -> what its container gets; `default` is for those not named.
      volumes: claims to mount (Kubernetes only).
      gpu_node_selector: labels of nodes for components with a GPU (Kubernetes only).
      gpu_tolerations: taints that those components bear (Kubernetes only).
      vertex: Google Cloud.
    """

    image: str = ""
    gpu_image: str = ""
    pipeline_root: str = ""
    data_path: str = ""
    push_dir: str = ""
    state_dir: str = "/tmp/seminar-state"
    cache: bool = True
    retries: Retries = field(default_factory=Retries)
    resources: dict[str, ComponentResources] = field(default_factory=dict)
    volumes: tuple[Volume, ...] = ()
    gpu_node_selector: dict[str, str] = field(default_factory=dict)
    gpu_tolerations: tuple[Toleration, ...] = ()
    vertex: VertexConfig = field(default_factory=VertexConfig)

    def __post_init__(self) -> None:
        for name in self.resources:
            known = (DEFAULT, *COMPONENTS)
            close = difflib.get_close_matches(name, known, n=1)
            wanted = f"{close[0]!r}, perhaps" if close else f"one of {', '.join(known)}"
            check(name in known, f"kubeflow.resources.{name}", name, wanted)
        check(self.state_dir.startswith("/"), "kubeflow.state_dir", self.state_dir, "an absolute path in the container")
        paths = [volume.path for volume in self.volumes]
        check(len(set(paths)) == len(paths), "kubeflow.volumes", ", ".join(paths), "each path once")

    def resources_of(self, component: str) -> ComponentResources:
        """What a component's container gets."""
        return self.resources.get(component, self.resources.get(DEFAULT, ComponentResources()))

    def image_of(self, component: str) -> str:
        """The image that a component runs."""
        return self.gpu_image if self.gpu_image and self.resources_of(component).gpu else self.image
