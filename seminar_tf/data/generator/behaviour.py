"""What is shown and what is clicked: requests of a block of users with their true probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seminar_tf.data.generator.config import DAY_MS
from seminar_tf.data.generator.interests import TOPICS, Interests
from seminar_tf.data.generator.timeline import Timeline
from seminar_tf.data.generator.words import STYLE_SYNONYMS, SUBTOPIC_SYNONYMS
from seminar_tf.data.generator.world import World, draw_index

# Where candidates come from: the session's subtopic, its category, the whole catalog; each by popularity.
BROWSE_SOURCES = (0.40, 0.25, 0.35)
SEARCH_SOURCES = (0.75, 0.15, 0.10)
_EXPLORE = 0.12
_INTEREST, _FRESHNESS, _FRESH_DAYS = 4.0, 0.6, 60.0
# Intercept, same subtopic as the session, same style as the session.
_BROWSE = (-3.6, 0.9, 0.9)
_SEARCH = (-3.9, 2.2, 1.8)
_LIKE_INTERCEPT, _LIKE_INTEREST, _LIKE_APPEAL = -2.2, 3.0, 1.0
_DIRECT = 0.04


@dataclass(frozen=True)
class Context:
    """All that decides on what a request shows and gets clicked. R requests, k latent dimensions.

    Attributes:
      time_ms: (R,) int64.
      search: (R,) bool.
      group: (R,) int64, category and subtopic that the session is about.
      style: (R,) int64, style that the session is about.
      interest: (R, k) float32, the user's drifting interest at the moment.
    """

    time_ms: np.ndarray
    search: np.ndarray
    group: np.ndarray
    style: np.ndarray
    interest: np.ndarray

    def take(self, rows: np.ndarray) -> Context:
        """The context of some requests."""
        return Context(self.time_ms[rows], self.search[rows], self.group[rows], self.style[rows], self.interest[rows])


def draw_context(world: World, interests: Interests, timeline: Timeline, rng: np.random.Generator) -> Context:
    """Draws what each session is about: a topic by its weight at that moment, now and then something new."""
    user, start = timeline.user, timeline.session_start
    weights = interests.weights(user, timeline.time_ms)
    rows = len(user)
    below = np.cumsum(weights[start], axis=1)
    topic = np.minimum((rng.random(rows)[start, None] >= below).sum(axis=1), TOPICS - 1)
    explore = (rng.random(rows) < _EXPLORE)[start]
    new_group = world.group[(rng.random(rows) * world.config.items).astype(np.int64)][start]
    new_style = (rng.random(rows) * world.config.styles).astype(np.int64)[start]
    return Context(
        time_ms=timeline.time_ms,
        search=timeline.search,
        group=np.where(explore, new_group, interests.group[user, topic]),
        style=np.where(explore, new_style, interests.style[user, topic]),
        interest=interests.interest(user, weights),
    )


def draw_queries(world: World, context: Context, rng: np.random.Generator) -> np.ndarray:
    """(R,) int64 numbers of the queries typed (Vocabulary.query_strings), -1 where browsing.

    The subtopic's word, alone or after the category's name or a word for the style.
    """
    rows = len(context.group)
    synonym = (rng.random(rows) ** 3 * SUBTOPIC_SYNONYMS).astype(np.int64)
    style_word = 2 + context.style * STYLE_SYNONYMS + (rng.random(rows) ** 3 * STYLE_SYNONYMS).astype(np.int64)
    kind = rng.random(rows)
    modifier = np.where(kind < 0.3, 0, np.where(kind < 0.4, 1, style_word))
    return np.where(context.search, world.vocabulary.query_number(context.group, synonym, modifier), -1)


def draw_candidates(
    world: World, context: Context, session_start: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws what each request shows; a session does not show an item twice while it has others.

    Args:
      world: the items.
      context: of R requests.
      session_start: (R,) int64, first request of each request's session.
      rng: draws of this block.

    Returns:
      (R, S) int64 items; (R, S) bool, False where a draw repeats an earlier one or is not yet published; and (R,)
      bool, requests that had nothing new, so that they show what earlier ones of the session did.
    """
    shape = (len(context.group), world.config.shown)
    first, last = _source_ranges(world, context, rng.random(shape))
    item = draw_index(world.shown_cumulated, first, last, rng.random(shape))
    published = world.born_ms[item] <= context.time_ms[:, None]
    shown = published & _first_of(session_start[:, None] * world.config.items + item)
    repeating = ~shown.any(axis=1)
    rows = np.flatnonzero(repeating)
    shown[rows] = published[rows] & _first_of(rows[:, None] * world.config.items + item[rows])
    return item, shown, repeating


def draw_direct(world: World, context: Context, rng: np.random.Generator) -> np.ndarray:
    """(R,) int64 items opened from outside just before a request, -1 for none.

    They are of the session's category where it has direct-only items, and always published before.
    """
    category = context.group // world.config.subtopics
    first, last = world.category_start[category], world.category_start[category + 1]
    empty = world.direct_cumulated[first] == world.direct_cumulated[last]
    first, last = np.where(empty, 0, first), np.where(empty, world.config.items, last)
    item = draw_index(world.direct_cumulated, first, last, rng.random(len(first)))
    opened = (rng.random(len(first)) < _DIRECT) & (world.born_ms[item] < context.time_ms - DAY_MS)
    return np.where(opened, item, -1)


def click_probability(world: World, context: Context, item: np.ndarray) -> np.ndarray:
    """True probability that a shown item is clicked, before anything is known of its neighbours.

    sigmoid(intercept + 4 interest . item + session match + appeal + freshness).

    Args:
      world: the items.
      context: of R requests.
      item: (R, N) int64, or (1, N) for the same items in every request.

    Returns:
      (R, N) float64.
    """
    return _sigmoid(_affinity(world, context, item) * _INTEREST + _match(world, context, item))


def like_probability(world: World, context: Context, item: np.ndarray) -> np.ndarray:
    """True probability that a clicked item is liked as well; arguments and result as for `click_probability`."""
    return _sigmoid(
        _LIKE_INTERCEPT + _LIKE_INTEREST * _affinity(world, context, item) + _LIKE_APPEAL * world.appeal[item]
    )


def exposure(world: World, context: Context) -> np.ndarray:
    """True probability that each item of the catalog is among the shown ones, (R, n) float64.

    Of a session's first request; later ones leave out what the session has shown.
    """
    weight = np.diff(world.shown_cumulated)
    total, group_start, category_start = world.shown_cumulated, world.group_start, world.category_start
    category = context.group // world.config.subtopics
    of_group = total[group_start[context.group + 1]] - total[group_start[context.group]]
    of_category = total[category_start[category + 1]] - total[category_start[category]]
    source = np.where(context.search[:, None], SEARCH_SOURCES, BROWSE_SOURCES)
    share = (
        (world.group == context.group[:, None]) * (source[:, 0] / of_group)[:, None]
        + (world.category == category[:, None]) * (source[:, 1] / of_category)[:, None]
        + (source[:, 2] / total[-1])[:, None]
    )
    share *= weight * (world.born_ms <= context.time_ms[:, None])
    return -np.expm1(world.config.shown * np.log1p(-share))


def _source_ranges(world: World, context: Context, uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Item ranges (first, last), (R, S) int64 each, that slots are drawn from."""
    source = np.cumsum(np.where(context.search[:, None], SEARCH_SOURCES, BROWSE_SOURCES), axis=1)
    group = context.group[:, None]
    category = group // world.config.subtopics
    from_group, from_category = uniform < source[:, :1], uniform < source[:, 1:2]
    first = np.where(from_category, world.category_start[category], 0)
    last = np.where(from_category, world.category_start[category + 1], world.config.items)
    return (
        np.where(from_group, world.group_start[group], first),
        np.where(from_group, world.group_start[group + 1], last),
    )


def _first_of(keys: np.ndarray) -> np.ndarray:
    """Bool of the same shape: whether a key is the first of its value, in row order."""
    first = np.zeros(keys.size, bool)
    first[np.unique(keys.ravel(), return_index=True)[1]] = True
    return first.reshape(keys.shape)


def _affinity(world: World, context: Context, item: np.ndarray) -> np.ndarray:
    """interest . item latent, (R, N)."""
    if item.shape[0] == 1:
        return context.interest @ world.latent[item[0]].T
    return np.einsum("rk,rnk->rn", context.interest, world.latent[item])


def _match(world: World, context: Context, item: np.ndarray) -> np.ndarray:
    """Everything in the click logit but the interest, (R, N)."""
    base = np.where(context.search[:, None], _SEARCH, _BROWSE)
    age = np.maximum(context.time_ms[:, None] - world.born_ms[item], 0) / (_FRESH_DAYS * DAY_MS)
    return (
        base[:, :1]
        + base[:, 1:2] * (world.group[item] == context.group[:, None])
        + base[:, 2:] * (world.style[item] == context.style[:, None])
        + world.appeal[item]
        + _FRESHNESS * np.exp(-age)
    )


def _sigmoid(logit: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-logit.astype(np.float64)))
