"""Configuration: frozen dataclasses, one a stage of the road, read from YAML by `seminar_tf.config_io`.

Symbols (L, K, d, H, N) are those of the paper (arXiv 2407.10714) and of docs/model.md.
"""

from seminar_tf.config.beam import BEAM_ENVIRONMENTS, BEAM_RUNNERS, BeamConfig
from seminar_tf.config.continuous import ContinuousConfig, DriftConfig
from seminar_tf.config.data import DataConfig, FeatureConfig
from seminar_tf.config.kubeflow import ComponentResources, KubeflowConfig, Retries, Toleration, Volume
from seminar_tf.config.model import RANKERS, SEMINAR, ModelConfig
from seminar_tf.config.pipeline import PipelineConfig
from seminar_tf.config.release import EvaluationConfig, ServingConfig
from seminar_tf.config.retrieval import RetrievalConfig
from seminar_tf.config.rivals import RivalsConfig
from seminar_tf.config.training import STRATEGIES, TrainConfig
from seminar_tf.config.vertex import VertexConfig, VertexPrediction, VertexTraining

__all__ = [
    "BEAM_ENVIRONMENTS",
    "BEAM_RUNNERS",
    "RANKERS",
    "SEMINAR",
    "STRATEGIES",
    "ContinuousConfig",
    "BeamConfig",
    "ComponentResources",
    "DataConfig",
    "DriftConfig",
    "EvaluationConfig",
    "FeatureConfig",
    "KubeflowConfig",
    "ModelConfig",
    "PipelineConfig",
    "RetrievalConfig",
    "Retries",
    "RivalsConfig",
    "ServingConfig",
    "Toleration",
    "TrainConfig",
    "VertexConfig",
    "VertexPrediction",
    "VertexTraining",
    "Volume",
]
