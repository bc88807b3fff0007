"""Many rankers on the same users: which differences are real, in plain words (known fault 10)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seminar_tf.evaluation.significance import ALPHA, PairedDifference, bootstrap, holm, is_real


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
    found = bootstrap(differences, samples, seed)
    corrected = holm([d.p_value for d in found])
    return [Comparison(a, b, metric, d, float(p), alpha) for (a, b), d, p in zip(pairs, found, corrected)]
