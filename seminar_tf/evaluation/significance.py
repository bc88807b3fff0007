"""How sure a figure is: intervals over seeds, and paired differences over users (known fault 10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

MIN_SEEDS = 3
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


def paired_bootstrap(a: np.ndarray, b: np.ndarray, samples: int = 10_000, seed: int = 0) -> PairedDifference:
    """Compares two rankers on the same users by drawing users again, with replacement.

    Args:
      a, b: (U,) metric of each user, users in the same order (`user_means`).
      samples: draws of U users.
      seed: of the draws.

    Returns:
      The difference a - b.

    Raises:
      ValueError: the arrays do not match, hold a number that is not finite, or hold fewer than two users.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 1 or a.shape != b.shape or len(a) < 2:
        raise ValueError(f"paired_bootstrap: expected the same two or more users twice, got {a.shape} and {b.shape}.")
    difference = a - b
    if not np.isfinite(difference).all():
        raise ValueError("paired_bootstrap: a user's metric is not finite. Leave users without a metric out of both.")
    users = len(difference)
    rng = np.random.default_rng(seed)
    rows = max(1, _CHUNK // users)
    sizes = [min(rows, samples - done) for done in range(0, samples, rows)]
    means = np.concatenate([difference[rng.integers(0, users, (size, users))].mean(axis=1) for size in sizes])
    mean = float(difference.mean())
    low, high = np.percentile(means, (2.5, 97.5))
    # The tolerance keeps sums taken in another order on the same side. One more of each: p is never 0.
    far = np.abs(means - mean) >= abs(mean) * (1 - 1e-9)
    return PairedDifference(mean, float(low), float(high), float((far.sum() + 1) / (samples + 1)), users)
