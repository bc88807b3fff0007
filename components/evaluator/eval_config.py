"""TFMA's configuration of the evaluation: metrics, slices, and the thresholds that bless a model."""

from __future__ import annotations

import json

import tensorflow_model_analysis as tfma
from google.protobuf.wrappers_pb2 import BoolValue, DoubleValue

from components.evaluator.ranking_metrics import RANK_OUTPUT, SCORE_OUTPUT, RankingMetrics
from components.evaluator.slices import SLICE_FEATURES
from seminar_tf.config import PipelineConfig
from seminar_tf.data.dataset import DatasetSpec
from seminar_tf.evaluation.metrics import ndcg_name
from seminar_tf.evaluation.saved_model import SIGNATURE

GATE = ndcg_name(10)


def eval_config(config: PipelineConfig, spec: DatasetSpec) -> tfma.EvalConfig:
    """Builds the configuration.

    A model is blessed when NDCG@10 is at least `evaluation.min_ndcg_at_10` and, where a blessed model exists, no more
    than `evaluation.max_ndcg_drop` below that model's on the same requests.

    Args:
      config: the run's configuration.
      spec: the dataset; where it has logged requests, their labels give AUC, log loss and calibration too.

    Returns:
      The configuration for the stock Evaluator.
    """
    specs = [
        tfma.MetricsSpec(
            output_names=[RANK_OUTPUT],
            metrics=[
                tfma.MetricConfig(
                    class_name=RankingMetrics.__name__,
                    module=RankingMetrics.__module__,
                    config=json.dumps({"cutoffs": sorted(config.evaluation.cutoffs)}),
                )
            ],
            per_slice_thresholds={GATE: _gate(config.evaluation.min_ndcg_at_10, config.evaluation.max_ndcg_drop)},
        )
    ]
    if spec.has_requests:
        specs.append(
            tfma.MetricsSpec(
                output_names=[SCORE_OUTPUT],
                metrics=[
                    tfma.MetricConfig(class_name="AUC"),
                    tfma.MetricConfig(class_name="BinaryCrossEntropy", config=json.dumps({"name": "log_loss"})),
                    tfma.MetricConfig(class_name="MeanLabel"),
                    tfma.MetricConfig(class_name="MeanPrediction"),
                ],
            )
        )
    return tfma.EvalConfig(
        model_specs=[tfma.ModelSpec(signature_name=SIGNATURE)],
        metrics_specs=specs,
        slicing_specs=[tfma.SlicingSpec(), *(tfma.SlicingSpec(feature_keys=[name]) for name in SLICE_FEATURES)],
        options=tfma.Options(include_default_metrics=BoolValue(value=False)),
    )


def _gate(minimum: float, max_drop: float) -> tfma.PerSliceMetricThresholds:
    threshold = tfma.MetricThreshold(
        value_threshold=tfma.GenericValueThreshold(lower_bound=DoubleValue(value=minimum)),
        change_threshold=tfma.GenericChangeThreshold(
            direction=tfma.MetricDirection.HIGHER_IS_BETTER, absolute=DoubleValue(value=-max_drop)
        ),
    )
    # A plain threshold would hold for every slice by itself, cold items among them.
    overall = tfma.PerSliceMetricThreshold(slicing_specs=[tfma.SlicingSpec()], threshold=threshold)
    return tfma.PerSliceMetricThresholds(thresholds=[overall])
