"""Sizes of a generated dataset: presets and their checks."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from seminar_tf.config_io import ConfigError, check, positive

DAY_MS = 86_400_000
# 2024-01-01T00:00:00Z, exclusive. Fixed rather than "now": the same seed gives the same bytes on any day.
END_MS = 1_704_067_200_000
DAYS = 3 * 365
START_MS = END_MS - DAYS * DAY_MS

MIN_USER_EVENTS = 10
MAX_USER_EVENTS = 20_000
# A user's log is cut between requests, so it may overshoot its length by one request's events.
EVENTS_OVERSHOOT = 10
_EVENTS_PER_BLOCK = 50_000


@dataclass(frozen=True)
class GeneratorConfig:
    """What is generated. Two equal configurations give byte-identical tables.

    Attributes:
      users: users, each with MIN_USER_EVENTS to MAX_USER_EVENTS events.
      items: catalog size.
      mean_events: mean events per user; lengths are log-normal with this mean, clipped.
      sigma: of the log-normal lengths.
      categories: item categories.
      subtopics: subtopics of each category.
      styles: item styles, across categories.
      latent_dim: width of the latent vectors of items and interests.
      shown: candidates drawn per request, of which duplicates and unpublished items are dropped.
      logged_requests: newest requests of each user whose impressions are in the `requests` table.
      image_size: height and width of item images in pixels.
      ideal_users: users (the first ones) whose last request the ideal and popularity rankers are measured on.
      seed: of every draw.
      spans: daily increments: span 1 holds all but the last spans - 1 days, then one span a day.
    """

    users: int
    items: int
    mean_events: float
    sigma: float
    categories: int
    subtopics: int
    styles: int
    latent_dim: int = 16
    shown: int = 6
    logged_requests: int = 50
    image_size: int = 32
    ideal_users: int = 2_000
    seed: int = 1
    spans: int = 1

    def __post_init__(self) -> None:
        positive("users", self.users)
        groups = self.categories * self.subtopics
        check(self.items >= 4 * groups, "items", self.items, f"at least {4 * groups}, 4 for each of {groups} subtopics")
        check(
            MIN_USER_EVENTS < self.mean_events < MAX_USER_EVENTS / 4,
            "mean_events",
            self.mean_events,
            f"events / users above {MIN_USER_EVENTS} and below {MAX_USER_EVENTS // 4}: ask for more or fewer users",
        )
        check(self.seed >= 0, "seed", self.seed, "0 or more")
        check(1 <= self.spans <= 365, "spans", self.spans, "1 to 365")
        check(self.shown >= 2, "shown", self.shown, "2 or more")

    @property
    def users_per_block(self) -> int:
        """Users simulated together; depends on the mean length alone, so that memory does not grow with `users`."""
        return max(1, int(_EVENTS_PER_BLOCK / self.mean_events))

    @property
    def first_daily_day(self) -> int:
        """Day number (0 is the first of DAYS) at which span 2 begins; DAYS where there is one span only."""
        return DAYS - (self.spans - 1)


PRESETS = {
    "tiny": GeneratorConfig(
        users=60, items=200, mean_events=120, sigma=0.9, categories=8, subtopics=2, styles=4, logged_requests=30
    ),
    "demo": GeneratorConfig(
        users=600, items=2_000, mean_events=250, sigma=1.0, categories=16, subtopics=4, styles=8, logged_requests=30
    ),
    "large": GeneratorConfig(
        users=200_000,
        items=1_000_000,
        mean_events=500,
        sigma=1.35,
        categories=120,
        subtopics=8,
        styles=16,
        logged_requests=20,
        ideal_users=500,
    ),
}


def preset(
    name: str,
    *,
    users: int | None = None,
    events: int | None = None,
    items: int | None = None,
    seed: int = 1,
    spans: int = 1,
) -> GeneratorConfig:
    """A preset with some of its sizes replaced.

    Args:
      name: a key of PRESETS.
      users: users; the preset's where None.
      events: expected events of the whole dataset; None keeps the preset's mean per user.
      items: catalog size; the preset's where None.
      seed: of every draw.
      spans: daily increments.

    Raises:
      ConfigError: unknown preset, or sizes that do not go together; the message names the key.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset {name!r} is unknown: choose one of {', '.join(PRESETS)}.")
    base = PRESETS[name]
    users = base.users if users is None else users
    positive("users", users)
    return dataclasses.replace(
        base,
        users=users,
        items=base.items if items is None else items,
        mean_events=base.mean_events if events is None else events / users,
        seed=seed,
        spans=spans,
    )
