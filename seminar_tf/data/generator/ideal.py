"""What could be reached: the ranker that knows the truth, and the one that knows popularity alone.

Targets are those of leave-last-out: the items clicked in a user's last request. The ideal ranker orders the whole
catalog by the true probability that an item is shown and clicked in that request,
P(shown) * P(click | shown), knowing the user's interests, what the session is about and has shown, and the query. That
is the Bayes ranker for one target but for how the items of one request compete, so no model should do better except by
luck.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from seminar_tf.data.generator import behaviour
from seminar_tf.data.generator.behaviour import Context
from seminar_tf.data.generator.simulate import Block
from seminar_tf.data.generator.world import World

CUTOFFS = (5, 10, 50)
_BINS = 10_000
_SCORES_AT_ONCE = 2_000_000
DEFINITION = (
    "Targets: the items clicked in the last request of each of the first `users` users (leave-last-out test), ranked "
    "among the whole catalog; a metric is the mean over targets, ties at their expected value under random order. "
    "ideal: by true P(shown) * P(click | shown). click_only: by true P(click | shown). popularity: by events before "
    "each user's last two requests. logged: labels of the requests table against the true probability of the label "
    "given what was shown; base_log_loss is that of the mean label."
)


class Ideal:
    """Collects, block by block, what the measures need: a few numbers a user, and counts a catalog item.

    Attributes:
      world: the items.
    """

    def __init__(self, world: World):
        """Args: world: the items."""
        self.world = world
        self._counts = np.zeros(world.config.items, np.int64)
        self._contexts: list[Context] = []
        self._targets: list[np.ndarray] = []
        self._left_out: list[tuple[np.ndarray, ...]] = []
        self._labels = {task: _Calibration() for task in ("click", "like")}

    def add(self, block: Block) -> None:
        """Takes in one block; the sum over blocks does not depend on their order, but the targets' order does."""
        train = block.from_end >= 2
        for items in (block.item[train][block.click[train]], block.direct[train & (block.direct >= 0)]):
            self._counts += np.bincount(items, minlength=len(self._counts))
        logged = block.shown & (block.from_end < self.world.config.logged_requests)[:, None]
        self._labels["click"].add(block.click_truth[logged], block.click[logged])
        self._labels["like"].add(block.like_truth[logged], block.like[logged])
        last = np.flatnonzero((block.from_end == 0) & (block.first_user + block.user < self.world.config.ideal_users))
        if len(last):
            self._contexts.append(block.context.take(last))
            self._targets.append(np.where(block.click[last], block.item[last], -1))
            self._left_out.append(block.left_out[: len(last)])

    def report(self) -> dict[str, Any]:
        """Metrics of all that was added, ready for JSON.

        Returns:
          `ideal`, `click_only` and `popularity`, each a dict of metrics over all targets, and the same under
          `search` and `browse` over the targets of such requests; `logged` with `auc`, `log_loss`, `base_log_loss`
          and `rows` a task; `users`, `targets`, `definition`.
        """
        rank = {"ideal": [], "click_only": [], "popularity": []}  # type: dict[str, list[np.ndarray]]
        search = []
        for context, targets, left_out in zip(self._contexts, self._targets, self._left_out):
            step = max(1, _SCORES_AT_ONCE // self.world.config.items)
            for start in range(0, len(targets), step):
                rows = np.arange(start, min(start + step, len(targets)))
                part, wanted = context.take(rows), targets[rows]
                for name, scores in self._scores(part, left_out[start : start + step]).items():
                    rank[name].append(_ranks(scores, wanted))
                search.append(np.repeat(part.search, (wanted >= 0).sum(axis=1)))
        of_search = np.concatenate(search)
        ranks = {name: np.concatenate(parts) for name, parts in rank.items()}
        return {
            "definition": DEFINITION,
            "users": sum(len(t) for t in self._targets),
            "targets": len(of_search),
            **{name: metrics(r) for name, r in ranks.items()},
            "search": {name: metrics(r[of_search]) for name, r in ranks.items()},
            "browse": {name: metrics(r[~of_search]) for name, r in ranks.items()},
            "logged": {task: labels.report() for task, labels in self._labels.items()},
        }

    def _scores(self, context: Context, left_out: tuple[np.ndarray, ...]) -> dict[str, np.ndarray]:
        """Scores of the whole catalog for R requests, (R, n) each."""
        exposure = behaviour.exposure(self.world, context)
        for row, items in enumerate(left_out):
            exposure[row, items] = 0.0
        click = behaviour.click_probability(self.world, context, np.arange(self.world.config.items)[None, :])
        return {
            "ideal": exposure * click,
            "click_only": click,
            "popularity": np.broadcast_to(self._counts, click.shape),
        }


def metrics(ranks: np.ndarray) -> dict[str, float]:
    """Expected metrics of targets whose rank is known up to ties.

    Args:
      ranks: (T, 2) int64: candidates scored higher, and candidates scored equal, the target included.

    Returns:
      ndcg_at_k and hit_at_k for CUTOFFS, and mrr; means over targets of the mean over the tied ranks. Empty without
      targets.
    """
    if not len(ranks):
        return {}
    higher, equal = ranks[:, 0], ranks[:, 1]
    position = np.arange(1, int((higher + equal).max()) + 1)
    found: dict[str, float] = {}
    gains = {"mrr": 1.0 / position}
    for cutoff in CUTOFFS:
        gains[f"ndcg_at_{cutoff}"] = np.where(position <= cutoff, 1.0 / np.log2(position + 1), 0.0)
        gains[f"hit_at_{cutoff}"] = (position <= cutoff).astype(np.float64)
    for name, gain in gains.items():
        total = np.concatenate([[0.0], np.cumsum(gain)])
        found[name] = round(float(((total[higher + equal] - total[higher]) / equal).mean()), 6)
    return dict(sorted(found.items()))


def _ranks(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(T, 2) of `metrics` for (R, n) scores and (R, S) target items, -1 for none; in row order."""
    row, slot = np.nonzero(targets >= 0)
    own = scores[row, targets[row, slot]][:, None]
    return np.array(
        [[(scores[r] > s).sum(), (scores[r] == s).sum()] for r, s in zip(row.tolist(), own)], np.int64
    ).reshape(-1, 2)


class _Calibration:
    """AUC and log loss of probabilities, in fixed memory: AUC from counts in fine bins, ties at a half."""

    def __init__(self) -> None:
        self._counts = np.zeros((2, _BINS), np.int64)
        self._loss = 0.0

    def add(self, probability: np.ndarray, label: np.ndarray) -> None:
        """Args: probability: (T,) float64; label: (T,) bool."""
        spot = np.minimum((probability * _BINS).astype(np.int64), _BINS - 1)
        for value in (0, 1):
            self._counts[value] += np.bincount(spot[label == bool(value)], minlength=_BINS)
        right = np.where(label, probability, 1.0 - probability)
        self._loss -= float(np.log(np.maximum(right, 1e-12)).sum())

    def report(self) -> dict[str, float]:
        """Measures of all rows added."""
        negative, positive = self._counts
        rows, positives = int(self._counts.sum()), int(positive.sum())
        below = np.cumsum(negative) - negative
        pairs = positives * (rows - positives)
        rate = min(max(positives / rows, 1e-12), 1 - 1e-12)
        return {
            "rows": rows,
            "auc": round(float((positive * (below + 0.5 * negative)).sum() / pairs), 6) if pairs else 0.5,
            "log_loss": round(self._loss / rows, 6),
            "base_log_loss": round(float(-rate * np.log(rate) - (1 - rate) * np.log(1 - rate)), 6),
        }
