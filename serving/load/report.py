"""What a loop found, in numbers: rate, percentiles, errors by status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from serving.load.loops import Sample

OK = "OK"


@dataclass(frozen=True)
class Summary:
    """A loop's calls in numbers. Latencies are of the calls that were answered; NaN where none was.

    Attributes:
      calls: calls made.
      errors: status code -> calls that ended with it; empty where all were answered.
      seconds: from the first intended start to the last end.
      qps: answered calls a second.
      p50_ms, p95_ms, p99_ms, max_ms, mean_ms: latency from the intended start.
      late_p99_ms: by how much the generator itself sent late. Near p99_ms, it measured itself.
    """

    calls: int
    errors: dict[str, int]
    seconds: float
    qps: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    mean_ms: float
    late_p99_ms: float

    @property
    def failed(self) -> int:
        """Calls that were not answered."""
        return sum(self.errors.values())

    def to_json(self) -> dict[str, Any]:
        """JSON types; NaN becomes None."""
        return {name: None if value != value else value for name, value in asdict(self).items()}


def percentile(values: np.ndarray, percent: float) -> float:
    """The smallest value that at least `percent` of the values do not exceed; NaN where there is none."""
    if not len(values):
        return float("nan")
    return float(np.quantile(values, percent / 100, method="inverted_cdf"))


def summarize(samples: Sequence[Sample]) -> Summary:
    """Numbers of a loop's samples."""
    answered = np.array([s.latency for s in samples if s.reply.status == OK]) * 1e3
    late = np.array([s.sent - s.intended for s in samples]) * 1e3
    seconds = max((s.ended for s in samples), default=0.0) - min((s.intended for s in samples), default=0.0)
    return Summary(
        calls=len(samples),
        errors=dict(Counter(s.reply.status for s in samples if s.reply.status != OK)),
        seconds=seconds,
        qps=len(answered) / seconds if seconds > 0 else 0.0,
        p50_ms=percentile(answered, 50),
        p95_ms=percentile(answered, 95),
        p99_ms=percentile(answered, 99),
        max_ms=percentile(answered, 100),
        mean_ms=float(answered.mean()) if len(answered) else float("nan"),
        late_p99_ms=percentile(late, 99),
    )


def middle(rounds: Sequence[Summary]) -> Summary:
    """The median of every number over rounds; calls and errors are added up."""
    errors: Counter[str] = Counter()
    for found in rounds:
        errors.update(found.errors)

    def median(name: str) -> float:
        return float(np.median([getattr(found, name) for found in rounds]))

    return Summary(
        calls=sum(found.calls for found in rounds),
        errors=dict(errors),
        seconds=sum(found.seconds for found in rounds),
        qps=median("qps"),
        p50_ms=median("p50_ms"),
        p95_ms=median("p95_ms"),
        p99_ms=median("p99_ms"),
        max_ms=median("max_ms"),
        mean_ms=median("mean_ms"),
        late_p99_ms=median("late_p99_ms"),
    )
