"""TFMA's configuration of the evaluation: metrics, slices, and the thresholds that bless a model."""

from __future__ import annotations

import json
from collections.abc import Sequence

from google.protobuf.wrappers_pb2 import DoubleValue

# The messages by their own module: TFMA 0.52 has them in its top level only once TFX is imported.
from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.impression_metrics import IMPRESSION_OUTPUT, ImpressionMetrics
from components.evaluator.ranking_metrics import RANK_OUTPUT, RankingMetrics
from components.evaluator.slices import SLICE_FEATURES
from seminar_tf.config import EvaluationConfig, PipelineConfig
from seminar_tf.data.dataset import DatasetSpec, uses_requests
from seminar_tf.evaluation.impressions import EXPECTED_ERROR, LOG_LOSS
from seminar_tf.evaluation.metrics import ndcg_name
from seminar_tf.export.inputs import INDEXED_SIGNATURE
from seminar_tf.export.metadata import primary_of

GATE = ndcg_name(10)


def eval_config(config: PipelineConfig, spec: DatasetSpec) -> config_pb2.EvalConfig:
    """Builds the configuration.

    A model is blessed when NDCG@10 is at least `evaluation.min_ndcg_at_10` and, where a blessed model exists, no more
    than `evaluation.max_ndcg_drop` below that model's on the same requests. Where targets are logged requests, the
    primary task's log loss must besides be no more than the share `evaluation.max_log_loss_rise` above that model's on
    the same impressions, and its expected calibration error at most `evaluation.max_expected_error`.

    Args:
      config: the run's configuration.
      spec: the dataset; where targets are logged requests, their labels give AUC, GAUC, log loss and calibration
        of every task too.

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
        specs.append(_impressions(config.evaluation, spec.tasks))
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


def impression_tasks(config: config_pb2.EvalConfig) -> tuple[str, ...]:
    """The tasks whose impressions a configuration measures; none where it has no impression metrics."""
    for spec in config.metrics_specs:
        for metric in spec.metrics:
            if metric.class_name == ImpressionMetrics.__name__:
                return tuple(json.loads(metric.config)["tasks"])
    return ()


def _impressions(evaluation: EvaluationConfig, tasks: Sequence[str]) -> config_pb2.MetricsSpec:
    """The metrics of logged impressions and, for all of them together, the gates on calibration."""
    spec = config_pb2.MetricsSpec(
        output_names=[IMPRESSION_OUTPUT],
        metrics=[
            config_pb2.MetricConfig(
                class_name=ImpressionMetrics.__name__,
                module=ImpressionMetrics.__module__,
                config=json.dumps({"tasks": list(tasks), "primary": primary_of(tasks)}),
            )
        ],
    )
    # Relative: what a model that is twice too sure costs in nats depends on how rare the label is.
    change = config_pb2.GenericChangeThreshold(
        direction=config_pb2.MetricDirection.LOWER_IS_BETTER, relative=DoubleValue(value=evaluation.max_log_loss_rise)
    )
    gates = {LOG_LOSS: config_pb2.MetricThreshold(change_threshold=change)}
    if evaluation.max_expected_error < 1:
        bound = config_pb2.GenericValueThreshold(upper_bound=DoubleValue(value=evaluation.max_expected_error))
        gates[EXPECTED_ERROR] = config_pb2.MetricThreshold(value_threshold=bound)
    for name, threshold in gates.items():
        spec.per_slice_thresholds[name].thresholds.add(slicing_specs=[config_pb2.SlicingSpec()], threshold=threshold)
    return spec


def _threshold(minimum: float, max_drop: float) -> config_pb2.MetricThreshold:
    return config_pb2.MetricThreshold(
        value_threshold=config_pb2.GenericValueThreshold(lower_bound=DoubleValue(value=minimum)),
        change_threshold=config_pb2.GenericChangeThreshold(
            direction=config_pb2.MetricDirection.HIGHER_IS_BETTER, absolute=DoubleValue(value=-max_drop)
        ),
    )
