"""Ranking metrics as exact expectations over ties, their invariants, and their intervals over users.

With h candidates above the true item and t others tied with it, its position is uniform on h+1 .. h+t+1 when ties are
broken at random. A metric f of the position is therefore the mean of f over that range, which cumulative sums of f
give without any loop. NDCG with a single relevant item is 1 / log2(1 + position); MRR is 1 / position.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seminar_tf.evaluation.ranks import Ranks

MRR = "mrr"
Z_95 = 1.959963984540054
_TOLERANCE = 1e-9
_EXACT = 256  # harmonic numbers below this come from a table, above it the asymptotic series is exact to 1e-16


class InvariantError(AssertionError):
    """Metrics that contradict each other (known fault 8): an error in the metric code or its inputs."""


@dataclass(frozen=True)
class Estimate:
    """A mean over requests with its 95% interval over users.

    Attributes:
      mean: mean over requests.
      low, high: ends of the 95% interval; NaN with fewer than two users.
      requests, users: how many there were.
    """

    mean: float
    low: float
    high: float
    requests: int
    users: int


def ndcg_name(k: int) -> str:
    """Name of NDCG@k in every table and report."""
    return f"ndcg_at_{k}"


def hit_name(k: int) -> str:
    """Name of HIT@k in every table and report."""
    return f"hit_at_{k}"


def metric_names(cutoffs: Sequence[int]) -> tuple[str, ...]:
    """Names of all ranking metrics, in the order they are reported."""
    return (*(ndcg_name(k) for k in cutoffs), *(hit_name(k) for k in cutoffs), MRR)


def ndcg(ranks: Ranks, k: int) -> np.ndarray:
    """Expected NDCG@k with one relevant item. Returns (R,) float64 in [0, 1]."""
    gains = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(2, k + 2)))])
    first, last = np.minimum(ranks.higher, k), np.minimum(ranks.higher + ranks.ties + 1, k)
    return (gains[last] - gains[first]) / (ranks.ties + 1)


def hit(ranks: Ranks, k: int) -> np.ndarray:
    """Expected HIT@k: the share of the tie range that lies within the first k. Returns (R,) float64 in [0, 1]."""
    first, last = np.minimum(ranks.higher, k), np.minimum(ranks.higher + ranks.ties + 1, k)
    return (last - first) / (ranks.ties + 1.0)


def mrr(ranks: Ranks) -> np.ndarray:
    """Expected reciprocal position. Returns (R,) float64 in (0, 1]."""
    span = ranks.ties + 1.0
    tied = (_harmonic(ranks.higher + ranks.ties + 1) - _harmonic(ranks.higher)) / span
    # Without a tie the difference of two long sums would only lose digits.
    return np.where(ranks.ties == 0, 1.0 / (ranks.higher + 1.0), tied)


def per_request(ranks: Ranks, cutoffs: Sequence[int]) -> dict[str, np.ndarray]:
    """All ranking metrics of every request.

    Args:
      ranks: of R requests.
      cutoffs: the k of NDCG@k and HIT@k.

    Returns:
      name -> (R,) float64, in the order of `metric_names`.

    Raises:
      InvariantError: the metrics contradict each other.
    """
    values = {ndcg_name(k): ndcg(ranks, k) for k in cutoffs}
    values.update({hit_name(k): hit(ranks, k) for k in cutoffs})
    values[MRR] = mrr(ranks)
    check_invariants(values)
    return values


def check_invariants(values: Mapping[str, np.ndarray], where: str = "") -> None:
    """Asserts what no correct row of metrics can break: all in [0, 1], NDCG@1 = HIT@1 <= MRR, HIT@k <= k MRR,
    NDCG@k <= HIT@k, NDCG and HIT monotone in k.

    Args:
      values: name -> values by request, or means; the cutoffs are read from the names, other metrics passed over. A
        NaN, the mean of nothing, breaks no bound.
      where: what the row is of, for the message.

    Raises:
      InvariantError: naming the two metrics and their values.
    """
    told = f" ({where})" if where else ""
    ends = (name.removeprefix("ndcg_at_") for name in values if name.startswith("ndcg_at_"))
    cutoffs = sorted(int(end) for end in ends if end.isdigit())

    def at_most(low: str, high: str, factor: float = 1.0) -> None:
        if low not in values or high not in values:
            return
        bound = factor * np.asarray(values[high], np.float64)
        gap = np.nan_to_num(np.asarray(values[low]) - bound, nan=-1.0)
        if np.any(gap > _TOLERANCE):
            at = np.unravel_index(int(np.argmax(gap)), gap.shape)
            times = "" if factor == 1 else f"{factor:g} times "
            raise InvariantError(
                f"{low} is {np.asarray(values[low])[at]:.6f}, above {times}{high}, {np.asarray(values[high])[at]:.6f}"
                f"{f' (row {int(at[0])})' if at else ''}{told}: no ranking gives that. The metrics were computed "
                "wrongly."
            )

    for name in metric_names(cutoffs):
        x = np.asarray(values.get(name, 0.0))
        if np.any((x < -_TOLERANCE) | (x > 1 + _TOLERANCE)):
            raise InvariantError(
                f"{name} is between {np.nanmin(x):.6f} and {np.nanmax(x):.6f}{told}, expected 0 to 1. The metrics were "
                "computed wrongly."
            )
    for k in cutoffs:
        at_most(ndcg_name(k), hit_name(k))
        at_most(hit_name(k), MRR, float(k))
    for small, large in itertools.pairwise(cutoffs):
        at_most(ndcg_name(small), ndcg_name(large))
        at_most(hit_name(small), hit_name(large))
    at_most(hit_name(1), ndcg_name(1))


def summarize(values: dict[str, np.ndarray], users: np.ndarray) -> dict[str, Estimate]:
    """Means with 95% intervals over users: requests of one user are no independent draws.

    The standard error is that of a ratio of user totals: sqrt(U / (U-1) sum_u (sum_{r of u} (x_r - mean))^2) / R.

    Args:
      values: name -> (R,) metric by request.
      users: (R,) user of each request.

    Returns:
      name -> estimate.

    Raises:
      InvariantError: the means of ranking metrics contradict each other.
    """
    _, index = np.unique(users, return_inverse=True)
    count = int(index.max()) + 1 if len(index) else 0
    result = {}
    for name, x in values.items():
        mean = float(np.mean(x)) if len(x) else float("nan")
        error = float("nan")
        if count > 1:
            residual = np.bincount(index, weights=np.asarray(x, np.float64) - mean, minlength=count)
            error = float(np.sqrt(count / (count - 1) * np.sum(residual**2)) / len(x))
        result[name] = Estimate(mean, mean - Z_95 * error, mean + Z_95 * error, len(x), count)
    check_invariants({name: np.asarray(estimate.mean) for name, estimate in result.items()}, "means")
    return result


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Probability that a positive scores above a negative, a tie counting one half (Mann-Whitney).

    Args:
      labels: (R,) 0 or 1; above 0.5 is positive.
      scores: (R,) float.

    Returns:
      AUC in [0, 1]; NaN where one of the classes is missing.
    """
    positive = np.asarray(labels) > 0.5
    wins = int(positive.sum())
    if wins in (0, len(positive)):
        return float("nan")
    _, index, counts = np.unique(np.asarray(scores), return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2.0
    return float((middle[index][positive].sum() - wins * (wins + 1) / 2.0) / (wins * (len(positive) - wins)))


def log_loss(labels: np.ndarray, scores: np.ndarray, epsilon: float = 1e-7) -> float:
    """Mean binary cross-entropy in nats of probabilities, kept `epsilon` away from 0 and 1."""
    p = np.clip(np.asarray(scores, np.float64), epsilon, 1.0 - epsilon)
    y = np.asarray(labels, np.float64)
    return float(-np.mean(y * np.log(p) + (1.0 - y) * np.log1p(-p))) if len(p) else float("nan")


def _harmonic(n: np.ndarray) -> np.ndarray:
    """The n-th harmonic number, H(0) = 0."""
    table = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, _EXACT))])
    large = np.maximum(n, _EXACT).astype(np.float64)
    series = np.log(large) + np.euler_gamma + 1 / (2 * large) - 1 / (12 * large**2) + 1 / (120 * large**4)
    return np.where(n < _EXACT, table[np.minimum(n, _EXACT - 1)], series)
