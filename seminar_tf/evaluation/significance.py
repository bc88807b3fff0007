"""How sure a figure is: intervals over seeds, and paired differences over users (known fault 10)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
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
        return _bootstrap((a - b)[:, np.newaxis], samples, seed)[0]
    weights = np.asarray(weights, np.float64)
    if weights.shape != a.shape or not (np.isfinite(weights).all() and (weights > 0).all()):
        raise ValueError(f"paired_bootstrap: expected {len(a)} weights above 0, one a user, got shape {weights.shape}.")
    return _bootstrap((a - b)[:, np.newaxis], samples, seed, weights)[0]


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


@dataclass(frozen=True)
class UserValues:
    """A metric by user.

    Attributes:
      users: (U,) distinct users.
      values: (U,) float64.
    """

    users: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Comparison:
    """Two rankers on the same users, as one of several comparisons.

    Attributes:
      a, b: names.
      metric: what was compared; larger is better.
      difference: of a - b. Its interval and p_value are those of this comparison alone.
      p_holm: its p-value, corrected for all comparisons that were made with it (`holm`).
      alpha: share of families without any real difference in which one may be called real by chance.
    """

    a: str
    b: str
    metric: str
    difference: PairedDifference
    p_holm: float
    alpha: float

    @property
    def real(self) -> bool:
        """See `is_real`."""
        return is_real(self.difference, self.p_holm, self.alpha)

    @property
    def sentence(self) -> str:
        """What was found, in plain words, the better one first."""
        d = self.difference
        tail = f"p_Holm = {self.p_holm:.2g}, {d.users} users"
        if not self.real:
            return (
                f"No real difference in {self.metric} between {self.a} and {self.b}: "
                f"{d.mean:+.4f} [{d.low:.4f}, {d.high:.4f}], {tail}."
            )
        better, worse, mean, low, high = (
            (self.a, self.b, d.mean, d.low, d.high) if d.mean > 0 else (self.b, self.a, -d.mean, -d.high, -d.low)
        )
        return f"{better} beats {worse} in {self.metric} by {mean:.4f} [{low:.4f}, {high:.4f}], {tail}."


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


def seed_average(seeds: Sequence[UserValues]) -> UserValues:
    """Mean over seeds of each user's metric.

    A bootstrap of these means speaks of the rankers as trained with these seeds, met by other users; how much a
    ranker varies with its seed is told by `mean_interval`, beside it.

    Args:
      seeds: one a seed, of the same users in any order.

    Raises:
      ValueError: no seed, a user twice, or seeds of different users.
    """
    if not seeds:
        raise ValueError("seed_average: expected the values of one seed or more, got none.")
    orders = [np.argsort(seed.users, kind="stable") for seed in seeds]
    users = seeds[0].users[orders[0]]
    if len(np.unique(users)) != len(users):
        raise ValueError("seed_average: a user is there twice in one seed. Take means by user first (user_means).")
    for n, (seed, order) in enumerate(zip(seeds, orders)):
        if not np.array_equal(seed.users[order], users):
            raise ValueError(
                f"seed_average: seed number {n} has {len(seed.users)} users that are not the {len(users)} of the "
                "first. Compare rankers on the same requests."
            )
    return UserValues(users, np.mean([np.asarray(s.values, np.float64)[o] for s, o in zip(seeds, orders)], axis=0))


def compare_rankers(
    rankers: Mapping[str, Sequence[UserValues]],
    metric: str,
    against: str | None = None,
    samples: int = 10_000,
    seed: int = 0,
    alpha: float = ALPHA,
) -> list[Comparison]:
    """Paired bootstraps over users between many rankers, corrected for their number.

    Each user's metric is averaged over the ranker's seeds, then users are drawn again, the same draws for every pair.

    Args:
      rankers: name -> its metric by user, one for each seed. All of the same users.
      metric: the metric's name, for the sentences.
      against: the ranker that all others are compared with, as `a`; None compares all pairs.
      samples: draws of U users.
      seed: of the draws.
      alpha: see `Comparison`.

    Returns:
      One comparison for each pair, in the order of the names.

    Raises:
      ValueError: fewer than two rankers, `against` is none of them, the users differ, a value is not finite, or
        `samples` are so few that no p-value could pass the correction.
    """
    names = list(rankers)
    if len(names) < 2:
        raise ValueError(f"compare_rankers: expected two rankers or more, got {names}.")
    if against is not None and against not in rankers:
        raise ValueError(f"compare_rankers: against is {against!r}, expected one of {names}.")
    if against is None:
        pairs = list(itertools.combinations(names, 2))
    else:
        pairs = [(against, name) for name in names if name != against]
    if len(pairs) / (samples + 1) > alpha:
        raise ValueError(
            f"compare_rankers: with {samples} samples the least p-value of {len(pairs)} comparisons is "
            f"{len(pairs) / (samples + 1):.2g} after correction, above alpha {alpha}: ask for more samples."
        )
    means = {name: seed_average(seeds) for name, seeds in rankers.items()}
    for name in names[1:]:
        if not np.array_equal(means[name].users, means[names[0]].users):
            raise ValueError(
                f"compare_rankers: {name} has {len(means[name].users)} users that are not the "
                f"{len(means[names[0]].users)} of {names[0]}. Rank the same requests with both."
            )
    differences = np.stack([means[a].values - means[b].values for a, b in pairs], axis=1)
    if len(differences) < 2 or not np.isfinite(differences).all():
        raise ValueError(
            f"compare_rankers: expected finite values of two users or more, got {len(differences)} users. Leave users "
            "without a metric out of all rankers."
        )
    found = _bootstrap(differences, samples, seed)
    corrected = holm([d.p_value for d in found])
    return [Comparison(a, b, metric, d, float(p), alpha) for (a, b), d, p in zip(pairs, found, corrected)]


def _bootstrap(
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
