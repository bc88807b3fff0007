"""The executor of DriftCheck."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.drift import comparing, rows
from components.json_file import write_json
from components.resolvers.lineage import span_of
from seminar_tf.config import DriftConfig
from seminar_tf.config_io import from_json

logger = logging.getLogger(__name__)

STATISTICS_FILE, DISTANCES_FILE, ANOMALIES_FILE = "stats.pb", "drift.json", "anomalies.pbtxt"
_ADVICE = (
    "Look at the span's tables. If they are right, run it once with --set drift.action=warn: it is trained on and is "
    "what the next span is held against. If not, mend or remove the span and run again (docs/operations.md)."
)


class DriftError(ValueError):
    """A span too far from the one before; the message names features, distances and thresholds."""


class Executor(base_executor.BaseExecutor):  # type: ignore[misc]
    """Writes the span's statistics and the anomalies; see DriftCheck."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See DriftCheck.

        Raises:
          DriftError: with `drift.action` block, a distance above its threshold.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        config = from_json(DriftConfig, exec_properties["config"])
        span = span_of(artifact_utils.get_single_instance(input_dict["examples"]).mlmd_artifact)
        if span is None:
            raise ValueError("the examples have no span: DriftCheck takes those of BehaviorExampleGen.")
        today = comparing.statistics(rows.derive(rows.read_span(exec_properties["path"], span)))
        artifact = artifact_utils.get_single_instance(output_dict["statistics"])
        anomalies_of = artifact_utils.get_single_instance(output_dict["anomalies"])
        distances: list[comparing.Distance] = []
        against = None
        if input_dict.get("baseline"):
            baseline = artifact_utils.get_single_instance(input_dict["baseline"])
            before = statistics_pb2.DatasetFeatureStatisticsList()
            before.ParseFromString((Path(baseline.uri) / STATISTICS_FILE).read_bytes())
            against = span_of(baseline.mlmd_artifact)
            fewest = min(comparing.events_of(today), comparing.events_of(before))
            if fewest < config.min_events:
                logger.warning(
                    "drift of span %d against span %s: not compared, as one has %d events and drift.min_events is %d.",
                    span, against, fewest, config.min_events,
                )  # fmt: skip
            else:
                distances, found = comparing.compare(today, before, config)
                unmeasured = {*config.categorical, *config.numeric} - {distance.feature for distance in distances}
                if unmeasured:
                    listed = ", ".join(sorted(unmeasured))
                    logger.warning("drift of span %d: not compared, as one span has no values: %s", span, listed)
                _write(Path(anomalies_of.uri) / ANOMALIES_FILE, text_format.MessageToString(found).encode())
        else:
            logger.info("drift of span %d: there is no span before it.", span)
        for distance in distances:
            logger.info("drift of span %d against span %s: %s", span, against, distance)
        alarms = [distance for distance in distances if distance.alarming]
        if alarms:
            message = f"drift of span {span} against span {against}: {'; '.join(map(str, alarms))}. {_ADVICE}"
            if config.action == "block":
                raise DriftError(message)
            logger.warning("%s", message)
        told = [{**dataclasses.asdict(distance), "alarming": distance.alarming} for distance in distances]
        _write(Path(artifact.uri) / STATISTICS_FILE, today.SerializeToString(deterministic=True))
        write_json(Path(artifact.uri) / DISTANCES_FILE, {"span": span, "against": against, "distances": told})
        artifact.set_int_custom_property("span", span)
        artifact.set_int_custom_property("events", comparing.events_of(today))
        artifact.set_int_custom_property("alarms", len(alarms))
        anomalies_of.set_int_custom_property("span", span)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
