"""Statistics of two spans, held against each other by TFDV, and what there is to say about it."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from seminar_tf.config import DriftConfig

_MEASURES = {
    anomalies_pb2.DriftSkewInfo.Measurement.L_INFTY: "L-infinity distance",
    anomalies_pb2.DriftSkewInfo.Measurement.JENSEN_SHANNON_DIVERGENCE: "Jensen-Shannon divergence",
}
_KINDS = {
    statistics_pb2.FeatureNameStatistics.INT: schema_pb2.INT,
    statistics_pb2.FeatureNameStatistics.FLOAT: schema_pb2.FLOAT,
    statistics_pb2.FeatureNameStatistics.STRING: schema_pb2.BYTES,
}


@dataclass(frozen=True)
class Distance:
    """One feature's distance.

    Attributes:
      feature: a column of `rows.derive`.
      measure: what was measured, in words.
      value: how much. threshold: how much is accepted.
    """

    feature: str
    measure: str
    value: float
    threshold: float

    @property
    def alarming(self) -> bool:
        """Whether it is too much."""
        return self.value > self.threshold

    def __str__(self) -> str:
        more = "above" if self.alarming else "within"
        return f"{self.feature}: {self.measure} {self.value:.4f}, {more} the accepted {self.threshold:g}"


def statistics(batch: pa.RecordBatch) -> statistics_pb2.DatasetFeatureStatisticsList:
    """TFDV's statistics of a batch of lists."""
    return stats_impl.generate_statistics_in_memory(batch, tfdv.StatsOptions())


def events_of(found: statistics_pb2.DatasetFeatureStatisticsList) -> int:
    """Rows that statistics are of."""
    return int(found.datasets[0].num_examples) if found.datasets else 0


def compare(
    today: statistics_pb2.DatasetFeatureStatisticsList,
    before: statistics_pb2.DatasetFeatureStatisticsList,
    config: DriftConfig,
) -> tuple[list[Distance], anomalies_pb2.Anomalies]:
    """Distances of the configured features.

    Returns:
      The distances, the largest share of its threshold first, and TFDV's anomalies.
    """
    anomalies = tfdv.validate_statistics(today, _schema(today, config), previous_statistics=before)
    found = [
        Distance(".".join(info.path.step), _MEASURES[one.type], one.value, one.threshold)
        for info in anomalies.drift_skew_info
        for one in info.drift_measurements
    ]
    return sorted(found, key=lambda distance: -distance.value / distance.threshold), anomalies


def _schema(today: statistics_pb2.DatasetFeatureStatisticsList, config: DriftConfig) -> schema_pb2.Schema:
    """A schema that asks for nothing but the comparisons."""
    schema = schema_pb2.Schema()
    for found in today.datasets[0].features:
        name = found.path.step[0]
        feature = schema.feature.add(name=name, type=_KINDS[found.type])
        if name in config.categorical:
            feature.drift_comparator.infinity_norm.threshold = config.max_l_infinity
        if name in config.numeric:
            feature.drift_comparator.jensen_shannon_divergence.threshold = config.max_jensen_shannon
    return schema
