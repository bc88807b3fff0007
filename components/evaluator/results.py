"""What an Evaluator found, as plain dictionaries for reports."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow_model_analysis as tfma

from components.evaluator.ranking_metrics import STANDARD_ERROR
from seminar_tf.evaluation.metrics import Z_95, check_invariants


def read_metrics(evaluation_uri: str) -> dict[str, Any]:
    """Reads the metrics of a ModelEvaluation artifact.

    Args:
      evaluation_uri: the artifact's folder.

    Returns:
      `overall`: metric -> value over all test requests; `slices`: `feature:value` -> metric -> value; `intervals`:
      metric -> (low, high), the 95% interval over users; `baseline`: metric -> value of the last blessed model on the
      same requests, empty without one; `change`: metric -> the model's value less the baseline's.

    Raises:
      FileNotFoundError: the folder holds no evaluation.
      InvariantError: ranking metrics of a row contradict each other (known fault 8).
    """
    overall: dict[str, dict[str, float]] = {"": {}, tfma.BASELINE_KEY: {}}
    slices: dict[str, dict[str, float]] = {}
    change: dict[str, float] = {}
    found = False
    for record in tfma.load_metrics(evaluation_uri):
        found = True
        key = ",".join(f"{part.column}:{_value(part)}" for part in record.slice_key.single_slice_keys)
        for entry in record.metric_keys_and_values:
            baseline = entry.key.model_name == tfma.BASELINE_KEY
            value = entry.value.double_value.value
            if entry.key.is_diff:
                change.update({} if key else {entry.key.name: value})
            elif not key:
                overall[tfma.BASELINE_KEY if baseline else ""][entry.key.name] = value
            elif not baseline:
                slices.setdefault(key, {})[entry.key.name] = value
    if not found:
        raise FileNotFoundError(f"{evaluation_uri} holds no TFMA metrics: is it the Evaluator's `evaluation` artifact?")
    rows = {"all requests": overall[""], "the baseline": overall[tfma.BASELINE_KEY], **slices}
    for name, values in rows.items():
        check_invariants({metric: np.asarray(value) for metric, value in values.items()}, name)
    errors = {n.removesuffix(STANDARD_ERROR): v for n, v in overall[""].items() if n.endswith(STANDARD_ERROR)}
    intervals = {n: (overall[""][n] - Z_95 * e, overall[""][n] + Z_95 * e) for n, e in errors.items()}
    return {
        "overall": _without_errors(overall[""]),
        "slices": {name: _without_errors(values) for name, values in sorted(slices.items())},
        "intervals": intervals,
        "baseline": _without_errors(overall[tfma.BASELINE_KEY]),
        "change": _without_errors(change),
    }


def _value(part: Any) -> str:
    """Text of a slice key's value, which is bytes, an integer or a float."""
    kind = part.WhichOneof("kind")
    value = getattr(part, kind)
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _without_errors(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in sorted(values.items()) if not name.endswith(STANDARD_ERROR)}
