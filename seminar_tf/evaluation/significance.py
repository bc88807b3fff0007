"""How sure a figure is: intervals over seeds, and paired differences over users (known fault 10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

MIN_SEEDS = 3
ALPHA = 0.05
_CHUNK = 4_000_000  # user draws held at once


@dataclass(frozen=True)
class PairedDifference:
    """The mean of a - b over users.

    Attributes:
      mean: mean difference.
      low, high: ends of its 95% interval, percentiles of the bootstrap.
      p_value: two-sided: how often users drawn again move the mean by as much as it is away from 0.
      users: users compared.
    """

    mean: float
    low: float
    high: float
    p_value: float
    users: int


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """A figure measured with several seeds.

    Args:
      values: one a seed.

    Returns:
      The mean, and half the width of its 95% interval (Student's t, n - 1 degrees of freedom). Fewer than MIN_SEEDS
      values have no interval: it is NaN.

    Raises:
      ValueError: there is no value, or one is not finite.
    """
    x = np.asarray(values, np.float64)
    if not len(x) or not np.isfinite(x).all():
        raise ValueError(f"mean_interval: expected one finite value a seed, got {list(values)}.")
    if len(x) < MIN_SEEDS:
        return float(x.mean()), float("nan")
    return float(x.mean()), float(stats.t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x)))


def user_means(values: np.ndarray, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A metric by user: what is drawn again as a whole, since the requests of one user are no independent draws.

    Args:
      values: (R,) metric by request.
      users: (R,) user of each request.

    Returns:
      The users, (U,) ascending, and the mean over each one's requests, (U,) float64.
    """
    names, index, counts = np.unique(users, return_inverse=True, return_counts=True)
    return names, np.bincount(index, weights=np.asarray(values, np.float64), minlength=len(names)) / counts


def paired_bootstrap(
    a: np.ndarray, b: np.ndarray, samples: int = 10_000, seed: int = 0, weights: np.ndarray | None = None
) -> PairedDifference:
    """Compares two rankers on the same users by drawing users again, with replacement.

    Args:
      a, b: (U,) metric of each user, users in the same order (`user_means`).
      samples: draws of U users.
      seed: of the draws.
      weights: (U,) above 0, where the metric is a weighted mean over users, as GAUC is by impressions; None takes all
        alike.

    Returns:
      The difference a - b.

    Raises:
      ValueError: the arrays do not match, hold a number that is not finite, or hold fewer than two users; a weight is
        not above 0.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 1 or a.shape != b.shape or len(a) < 2:
        raise ValueError(f"paired_bootstrap: expected the same two or more users twice, got {a.shape} and {b.shape}.")
    if not np.isfinite(a - b).all():
        raise ValueError("paired_bootstrap: a user's metric is not finite. Leave users without a metric out of both.")
    if weights is None:
        return bootstrap((a - b)[:, np.newaxis], samples, seed)[0]
    weights = np.asarray(weights, np.float64)
    if weights.shape != a.shape or not (np.isfinite(weights).all() and (weights > 0).all()):
        raise ValueError(f"paired_bootstrap: expected {len(a)} weights above 0, one a user, got shape {weights.shape}.")
    return bootstrap((a - b)[:, np.newaxis], samples, seed, weights)[0]


def is_real(difference: PairedDifference, p_holm: float, alpha: float = ALPHA) -> bool:
    """Whether a difference is more than chance among all that were compared with it.

    Args:
      difference: with the interval of this comparison alone.
      p_holm: its p-value after the correction (`holm`).
      alpha: share of families without any real difference in which one may be called real by chance.

    Returns:
      Whether p_holm is at most alpha and the interval does not hold 0.
    """
    return p_holm <= alpha and not difference.low <= 0 <= difference.high


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's step-down correction: the family-wise error stays at alpha, whatever the tests have in common.

    With the p-values ascending, p_(1) .. p_(m), the corrected one is max over j <= i of min(1, (m - j + 1) p_(j)).

    Args:
      p_values: m p-values.

    Returns:
      (m,) float64 in the same order.

    Raises:
      ValueError: a p-value is not in [0, 1].
    """
    p = np.asarray(p_values, np.float64)
    if not np.all((p >= 0) & (p <= 1)):
        raise ValueError(f"holm: expected p-values in [0, 1], got {p.tolist()}.")
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return corrected


def bootstrap(
    differences: np.ndarray, samples: int, seed: int, weights: np.ndarray | None = None
) -> list[PairedDifference]:
    """Bootstraps of the columns of (U, m) differences, over the same draws of users; weights are (U,)."""
    users, columns = differences.shape
    w = np.ones(users) if weights is None else weights
    rng = np.random.default_rng(seed)
    rows = max(1, _CHUNK // users)
    parts = []
    for done in range(0, samples, rows):
        size = min(rows, samples - done)
        drawn = rng.integers(0, users, (size, users)) + users * np.arange(size)[:, np.newaxis]
        times = np.bincount(drawn.ravel(), minlength=size * users).reshape(size, users)
        parts.append((times @ (w[:, np.newaxis] * differences)) / (times @ w)[:, np.newaxis])
    means = np.concatenate(parts)
    mean = w @ differences / w.sum()
    low, high = np.percentile(means, (2.5, 97.5), axis=0)
    # The tolerance keeps sums taken in another order on the same side. One more of each: p is never 0.
    far = np.abs(means - mean) >= np.abs(mean) * (1 - 1e-9)
    p_value = (far.sum(axis=0) + 1) / (samples + 1)
    return [
        PairedDifference(float(mean[n]), float(low[n]), float(high[n]), float(p_value[n]), users)
        for n in range(columns)
    ]
