"""Where the true item stands among its candidates, ties kept apart.

A rank is two numbers: how many candidates score higher, and how many score the same. Metrics are then expectations
over the random order of the tied ones (`evaluation.metrics`), so that a model which scores all alike is worth exactly
what a random order is worth, and not a perfect rank 1 (known fault 7).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


class ScoreError(ValueError):
    """Scores that cannot be ranked; the message names the request."""


@dataclass(frozen=True)
class Ranks:
    """Ranks of the true items of R requests.

    Attributes:
      higher: (R,) int64, candidates that score above the true item.
      ties: (R,) int64, other candidates that score the same as the true item.
    """

    higher: np.ndarray
    ties: np.ndarray


def count_ranks(
    scores: np.ndarray,
    true_index: np.ndarray,
    candidates: np.ndarray | None = None,
    names: Sequence[object] | None = None,
) -> Ranks:
    """Ranks one true item in each row of scores.

    Args:
      scores: (R, N) float, scores of each request's candidates.
      true_index: (R,) int, column of the true item.
      candidates: (R, N) bool, False for columns that are not candidates (padding, items left out); all True when
        None. The true item's own column always counts as a candidate.
      names: R names of the requests for error messages; row numbers when None.

    Returns:
      The ranks, one a request.

    Raises:
      ScoreError: a candidate's score is NaN.
    """
    rows = np.arange(len(scores))
    taken = np.ones(scores.shape, bool) if candidates is None else candidates.astype(bool)
    others = taken.copy()
    others[rows, true_index] = False
    true_score = scores[rows, true_index][:, None]
    _refuse_nan(scores, others, true_score[:, 0], names)
    higher = np.count_nonzero((scores > true_score) & others, axis=1)
    ties = np.count_nonzero((scores == true_score) & others, axis=1)
    return Ranks(higher.astype(np.int64), ties.astype(np.int64))


def _refuse_nan(scores: np.ndarray, others: np.ndarray, true_score: np.ndarray, names: Sequence[object] | None) -> None:
    bad = np.isnan(true_score) | (np.isnan(scores) & others).any(axis=1)
    if bad.any():
        first = int(np.argmax(bad))
        name = first if names is None else names[first]
        raise ScoreError(
            f"request {name}: the model gave NaN for {int((np.isnan(scores[first]) & others[first]).sum())} of its "
            f"candidates{' and for the true item' if np.isnan(true_score[first]) else ''}; {int(bad.sum())} of "
            f"{len(scores)} requests are so. A NaN has no rank: look at the training losses for where it arose."
        )
