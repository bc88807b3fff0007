"""Which split each pair and each target belongs to, and which targets are kept. Everything works on whole columns."""

from __future__ import annotations

import numpy as np

from seminar_tf.config import DataConfig

TRAIN, EVAL, TEST = 0, 1, 2
SPLIT_COUNT = 3
# A user with fewer requests than this has none to spare for eval and test.
_FEWEST_FOR_HOLD_OUT = 3


def starts_of(sorted_values: np.ndarray, count: int) -> np.ndarray:
    """Row offsets of runs: rows [result[v], result[v + 1]) of a sorted column hold value v.

    Args:
      sorted_values: (n,) ascending ints in [0, count).
      count: number of values.

    Returns:
      (count + 1,) int64.
    """
    return np.searchsorted(sorted_values, np.arange(count + 1))


def rank_from_end(group: np.ndarray) -> np.ndarray:
    """How many later rows share a row's group.

    Args:
      group: (n,) ints, equal ones adjacent.

    Returns:
      (n,) int64, 0 for the last row of each group.
    """
    if not len(group):
        return np.zeros(0, np.int64)
    last = np.flatnonzero(np.append(group[1:] != group[:-1], True))
    run = np.repeat(np.arange(len(last)), np.diff(last, prepend=-1))
    return last[run] - np.arange(len(group))


def hold_out_last(
    user: np.ndarray, unit: np.ndarray, cut: np.ndarray, pairs_of: np.ndarray, testable: np.ndarray | None = None
) -> tuple[np.ndarray, ...]:
    """Leave-last-out: a user's last unit is test, the one before it eval, the rest train.

    A unit is what must not be torn apart: the targets of one request. Users with fewer than three units keep all of
    them for training, and so do those whose last unit may not be test.

    Args:
      user: (t,) user of each target, ascending.
      unit: (t,) ascending unit of each target; a unit has one user.
      cut: (t,) position in the user's sequence before which all is older than the target's unit.
      pairs_of: (U,) number of pairs of each user.
      testable: (t,) bool, whether the target may be test; None: all may.

    Returns:
      (t,) split of each target; (U,) position where eval begins; (U,) position where test begins.
    """
    users = len(pairs_of)
    first = np.flatnonzero(np.append(True, unit[1:] != unit[:-1])) if len(unit) else np.zeros(0, np.int64)
    unit_user, unit_cut = user[first], cut[first]
    from_end = rank_from_end(unit_user)
    held_out = np.bincount(unit_user, minlength=users) >= _FEWEST_FOR_HOLD_OUT
    if testable is not None:
        last = unit_user[from_end == 0]
        held_out[last] &= testable[first[from_end == 0]]
    enough = held_out[unit_user]
    unit_split = np.select([enough & (from_end == 0), enough & (from_end == 1)], [TEST, EVAL], TRAIN)
    cuts = []
    for split in (EVAL, TEST):
        begin = pairs_of.astype(np.int64)
        chosen = unit_split == split
        begin[unit_user[chosen]] = unit_cut[chosen]
        cuts.append(begin)
    index = np.cumsum(np.append(True, unit[1:] != unit[:-1])) - 1 if len(unit) else np.zeros(0, np.int64)
    return unit_split[index], cuts[0], cuts[1]


def by_time(timestamp: np.ndarray, config: DataConfig) -> np.ndarray:
    """Split of each moment, (n,) ms since 1970, by `eval_from_ms` and `test_from_ms`."""
    return (timestamp >= config.eval_from_ms).astype(np.int64) + (timestamp >= config.test_from_ms)


def newest_train(user: np.ndarray, split: np.ndarray, most: int) -> np.ndarray:
    """Marks the targets kept when each user may have `most` train targets (0: no limit).

    Args:
      user: (t,) user of each target, ascending; a user's targets are in time order.
      split: (t,) split of each target.
      most: train targets kept per user, the newest ones.

    Returns:
      (t,) bool; eval and test targets are always kept.
    """
    keep = np.ones(len(user), bool)
    train = np.flatnonzero(split == TRAIN)
    if most:
        keep[train] = rank_from_end(user[train]) < most
    return keep
