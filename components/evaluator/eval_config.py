"""TFMA's configuration of the evaluation: metrics, slices, and the thresholds that bless a model."""

from __future__ import annotations

import json

from google.protobuf.wrappers_pb2 import DoubleValue

# The messages by their own module: TFMA 0.52 has them in its top level only once TFX is imported.
from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.ranking_metrics import RANK_OUTPUT, SCORE_OUTPUT, RankingMetrics
from components.evaluator.slices import SLICE_FEATURES
from seminar_tf.config import PipelineConfig
from seminar_tf.data.dataset import DatasetSpec, uses_requests
from seminar_tf.evaluation.metrics import ndcg_name
from seminar_tf.export.inputs import INDEXED_SIGNATURE

GATE = ndcg_name(10)


def eval_config(config: PipelineConfig, spec: DatasetSpec) -> config_pb2.EvalConfig:
    """Builds the configuration.

    A model is blessed when NDCG@10 is at least `evaluation.min_ndcg_at_10` and, where a blessed model exists, no more
    than `evaluation.max_ndcg_drop` below that model's on the same requests.

    Args:
      config: the run's configuration.
      spec: the dataset; where targets are logged requests, their labels give AUC, log loss and calibration too.

    Returns:
      The configuration for the stock Evaluator.
    """
    specs = [
        config_pb2.MetricsSpec(
            output_names=[RANK_OUTPUT],
            metrics=[
                config_pb2.MetricConfig(
                    class_name=RankingMetrics.__name__,
                    module=RankingMetrics.__module__,
                    config=json.dumps({"cutoffs": sorted(config.evaluation.cutoffs)}),
                )
            ],
        )
    ]
    # A plain threshold would hold for every slice by itself, cold items among them: this one is for all requests.
    specs[0].per_slice_thresholds[GATE].thresholds.add(
        slicing_specs=[config_pb2.SlicingSpec()],
        threshold=_threshold(config.evaluation.min_ndcg_at_10, config.evaluation.max_ndcg_drop),
    )
    if uses_requests(config.data, spec):
        specs.append(
            config_pb2.MetricsSpec(
                output_names=[SCORE_OUTPUT],
                metrics=[
                    config_pb2.MetricConfig(class_name="AUC"),
                    config_pb2.MetricConfig(class_name="BinaryCrossEntropy", config=json.dumps({"name": "log_loss"})),
                    config_pb2.MetricConfig(class_name="MeanLabel"),
                    config_pb2.MetricConfig(class_name="MeanPrediction"),
                ],
            )
        )
    result = config_pb2.EvalConfig(
        model_specs=[config_pb2.ModelSpec(signature_name=INDEXED_SIGNATURE)],
        metrics_specs=specs,
        slicing_specs=[
            config_pb2.SlicingSpec(),
            *(config_pb2.SlicingSpec(feature_keys=[name]) for name in SLICE_FEATURES),
        ],
    )
    result.options.include_default_metrics.value = False
    return result


def _threshold(minimum: float, max_drop: float) -> config_pb2.MetricThreshold:
    return config_pb2.MetricThreshold(
        value_threshold=config_pb2.GenericValueThreshold(lower_bound=DoubleValue(value=minimum)),
        change_threshold=config_pb2.GenericChangeThreshold(
            direction=config_pb2.MetricDirection.HIGHER_IS_BETTER, absolute=DoubleValue(value=-max_drop)
        ),
    )
