"""The whole configuration of a pipeline."""

from __future__ import annotations

from dataclasses import dataclass, field

from seminar_tf.config.beam import BeamConfig
from seminar_tf.config.continuous import ContinuousConfig, DriftConfig
from seminar_tf.config.data import DataConfig, FeatureConfig
from seminar_tf.config.kubeflow import KubeflowConfig
from seminar_tf.config.model import SEMINAR, ModelConfig
from seminar_tf.config.release import EvaluationConfig, ServingConfig
from seminar_tf.config.retrieval import RetrievalConfig
from seminar_tf.config.training import TrainConfig
from seminar_tf.config_io import check


@dataclass(frozen=True)
class PipelineConfig:
    """The whole road. `name` and `root` say where artifacts go; every random draw derives from `seed`."""

    name: str = "seminar"
    root: str = "runs"
    seed: int = 1
    data: DataConfig = field(default_factory=DataConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    psu: TrainConfig = field(default_factory=TrainConfig)
    seminar: TrainConfig = field(default_factory=TrainConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    retrieval: RetrievalConfig = field(default_factory=RetrievalConfig)
    serving: ServingConfig = field(default_factory=ServingConfig)
    continuous: ContinuousConfig = field(default_factory=ContinuousConfig)
    drift: DriftConfig = field(default_factory=DriftConfig)
    beam: BeamConfig = field(default_factory=BeamConfig)
    kubeflow: KubeflowConfig = field(default_factory=KubeflowConfig)

    def __post_init__(self) -> None:
        valid = bool(self.name) and all(c.isalnum() or c in "-_" for c in self.name)
        check(valid, "name", self.name, "letters, digits, - and _")
        check(self.seed >= 0, "seed", self.seed, "0 or more")
        if self.retrieval.tables == "codes" and self.retrieval.rotation != "weighted":
            divides = self.model.dim % self.retrieval.subvectors == 0
            wanted = f"a divisor of model.dim ({self.model.dim}), or retrieval.rotation weighted"
            check(divides, "retrieval.subvectors", self.retrieval.subvectors, wanted)
        if self.model.ranker != SEMINAR:
            wanted = f"float, as model.ranker is {self.model.ranker}: other tables are for ranker {SEMINAR}"
            check(self.retrieval.tables == "float", "retrieval.tables", self.retrieval.tables, wanted)
