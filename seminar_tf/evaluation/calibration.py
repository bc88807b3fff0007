"""Do predicted probabilities come true: predicted against observed rates in bins of equal mass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seminar_tf.evaluation.metrics import Z_95

BINS = 15


@dataclass(frozen=True)
class Reliability:
    """b bins of rows, by predicted probability, lowest first.

    Attributes:
      count: (b,) int64 rows; never 0.
      low, high: (b,) float64, lowest and highest prediction.
      predicted: (b,) float64, mean prediction.
      observed: (b,) float64, share of rows that came true.
    """

    count: np.ndarray
    low: np.ndarray
    high: np.ndarray
    predicted: np.ndarray
    observed: np.ndarray

    @property
    def rows(self) -> int:
        """Rows of all bins."""
        return int(self.count.sum())

    @property
    def expected_error(self) -> float:
        """Expected calibration error: |predicted - observed|, weighted by rows; NaN without rows."""
        return self._mean(np.abs(self.predicted - self.observed))

    @property
    def mean_predicted(self) -> float:
        """Mean prediction of all rows; NaN without rows."""
        return self._mean(self.predicted)

    @property
    def mean_observed(self) -> float:
        """Share of all rows that came true; NaN without rows."""
        return self._mean(self.observed)

    @property
    def ratio(self) -> float:
        """Mean predicted / mean observed: above 1 the model is too sure as a whole; NaN where nothing came true."""
        observed = self.mean_observed
        return self.mean_predicted / observed if observed > 0 else float("nan")

    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Wilson's 95% interval of each bin's true rate, (b,) low and (b,) high."""
        z2 = Z_95**2 / self.count
        middle = (self.observed + z2 / 2) / (1 + z2)
        half = Z_95 / (1 + z2) * np.sqrt(self.observed * (1 - self.observed) / self.count + z2 / (4 * self.count))
        return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)

    def _mean(self, values: np.ndarray) -> float:
        return float(np.sum(values * self.count) / self.rows) if self.rows else float("nan")


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> Reliability:
    """Sorts rows by prediction and cuts them into bins of equal mass.

    Equal predictions always share a bin, so that the order of rows does not matter; a model that says the same of all
    has one bin.

    Args:
      labels: (R,) 0 or 1; above 0.5 came true.
      probabilities: (R,) in [0, 1].
      bins: how many at most.

    Returns:
      The bins that have rows; none where there is no row.

    Raises:
      ValueError: the arrays do not match, or a prediction is no probability.
    """
    y, p = np.asarray(labels) > 0.5, np.asarray(probabilities, np.float64)
    if y.shape != p.shape or p.ndim != 1:
        raise ValueError(f"reliability: expected a label for each prediction, got {y.shape} and {p.shape}.")
    if not np.all((p >= 0) & (p <= 1)):
        raise ValueError("reliability: predictions must be probabilities. Are these logits?")
    order = np.argsort(p, kind="stable")
    p, y = p[order], y[order]
    # A row's bin is that of the first row with its prediction.
    nth = np.searchsorted(p, p, side="left") * bins // max(len(p), 1)
    first = np.flatnonzero(np.diff(nth, prepend=-1))
    last = np.append(first[1:], len(p)) - 1
    count = np.diff(np.append(first, len(p)))

    def mean(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values.astype(np.float64), first) / count if len(first) else np.zeros(0)

    return Reliability(count, p[first], p[last] if len(first) else p[:0], mean(p), mean(y))
