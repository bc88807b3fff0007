"""When users act: log-normal lengths, and requests in bursts (sessions) over months and years.

A session is a run of requests a minute or two apart; sessions lie from half an hour to months apart, with heavy tails.
A campaign is a run of sessions with one habit, mostly searching or mostly browsing: searches come in bursts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from seminar_tf.data.generator.config import (
    DAY_MS,
    END_MS,
    EVENTS_OVERSHOOT,
    MAX_USER_EVENTS,
    MIN_USER_EVENTS,
    START_MS,
    GeneratorConfig,
)

_GOLDEN = 0.6180339887498949
_NEW_SESSION, _NEW_CAMPAIGN, _SEARCH_CAMPAIGN = 0.2, 0.3, 0.3
_SEARCH_IN_CAMPAIGN, _SEARCH_OUTSIDE = 0.75, 0.04
_MIN_IDLE_MS = 1_800_000
# Clicks follow their request within _LAST_CLICK_MS, and the next request comes later than that.
_SHORT_GAP_MS = (40_000, 180_000)
# Requests laid out for a user: enough that their clicks reach the user's length, with few in vain.
_EVENTS_PER_REQUEST = 1.2


@dataclass(frozen=True)
class Timeline:
    """Requests of a block of users, by user, then time. R requests.

    Attributes:
      user: (R,) int64, position of the user in the block, ascending.
      time_ms: (R,) int64, ms since 1970, ascending within a user.
      session_start: (R,) int64, the request that the session of each request starts with.
      search: (R,) bool, whether something was typed.
    """

    user: np.ndarray
    time_ms: np.ndarray
    session_start: np.ndarray
    search: np.ndarray


def user_lengths(first: int, last: int, config: GeneratorConfig) -> np.ndarray:
    """Events wanted of users [first, last), (last - first,) int64.

    Users take evenly spread quantiles (a golden-ratio sequence) of the clipped log-normal, so that the dataset's size
    is close to users * mean_events at any number of users, without knowing the other users.
    """
    start = np.random.default_rng([config.seed, 0]).random()
    quantile = (start + np.arange(first, last) * _GOLDEN) % 1.0
    return _lengths(quantile, _log_median(config.mean_events, config.sigma), config.sigma).astype(np.int64)


def build_timeline(lengths: np.ndarray, rng: np.random.Generator) -> Timeline:
    """Lays out requests.

    Args:
      lengths: (U,) int64, events wanted of each user.
      rng: draws of this block.
    """
    # Every request has at least one event, so `lengths` requests always do; a few more make up for dropped ones.
    likely = lengths / _EVENTS_PER_REQUEST + 2.0 * np.sqrt(lengths)
    count = np.minimum(lengths, np.ceil(likely).astype(np.int64)) + 3
    user = np.repeat(np.arange(len(lengths)), count)
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    new_session = rng.random(len(user)) < _NEW_SESSION
    new_session[first] = True
    index = np.arange(len(user))
    session_start = np.maximum.accumulate(np.where(new_session, index, 0))
    return Timeline(
        user=user,
        time_ms=_times(user, first, count, new_session, rng),
        session_start=session_start,
        search=_searches(new_session, first, rng),
    )


def _times(
    user: np.ndarray, first: np.ndarray, count: np.ndarray, new_session: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(R,) int64 moments; every user's last request is at the user's end."""
    users = len(first)
    # Seven in ten are still active when the log ends; the others left earlier.
    away = -np.log1p(-rng.random(users)) * np.where(rng.random(users) < 0.7, 1.5, 120.0)
    end = END_MS - 60_000 - (np.minimum(away, 500.0) * DAY_MS).astype(np.int64)
    start = end - ((end - START_MS) * (0.35 + 0.65 * np.sqrt(rng.random(users)))).astype(np.int64)
    low, high = _SHORT_GAP_MS
    gap = low + (high - low) * rng.random(len(user))
    gap[new_session] = _MIN_IDLE_MS
    gap[first] = 0.0
    idle = np.where(new_session, np.log1p(-rng.random(len(user))) ** 2, 0.0)  # Weibull(1/2): bursts and long pauses
    idle[first] = 0.0
    rest = (end - start) - np.add.reduceat(gap, first)
    total_idle = np.maximum(np.add.reduceat(idle, first), 1e-9)
    elapsed = np.cumsum((gap + idle * (rest / total_idle)[user]).astype(np.int64))
    elapsed -= np.repeat(elapsed[first], count)
    # Without a second session nothing stretches: such a user acts at the end.
    last = first + count - 1
    return elapsed + (end - elapsed[last])[user]


def _searches(new_session: np.ndarray, first: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(R,) bool: requests with a typed query, in bursts."""
    new_campaign = new_session & (rng.random(len(new_session)) < _NEW_CAMPAIGN)
    new_campaign[first] = True
    campaign = np.cumsum(new_campaign) - 1
    searching = (rng.random(int(new_campaign.sum())) < _SEARCH_CAMPAIGN)[campaign]
    return rng.random(len(new_session)) < np.where(searching, _SEARCH_IN_CAMPAIGN, _SEARCH_OUTSIDE)


def _lengths(quantile: np.ndarray, log_median: float, sigma: float) -> np.ndarray:
    normal = NormalDist()
    deviate = np.array([normal.inv_cdf(min(max(q, 1e-9), 1 - 1e-9)) for q in quantile.tolist()])
    return np.clip(np.exp(log_median + sigma * deviate), MIN_USER_EVENTS, MAX_USER_EVENTS - EVENTS_OVERSHOOT)


@lru_cache(maxsize=16)
def _log_median(mean: float, sigma: float) -> float:
    """Log of the median with which the clipped log-normal has this mean."""
    quantile = (np.arange(4096) + 0.5) / 4096
    low, high = 0.0, float(np.log(MAX_USER_EVENTS))
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _lengths(quantile, middle, sigma).mean() < mean else (low, middle)
    return low
