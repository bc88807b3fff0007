"""One block of users from seed to finished log: a pure function of configuration and block number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seminar_tf.data.generator import behaviour
from seminar_tf.data.generator.interests import Interests, draw_interests
from seminar_tf.data.generator.timeline import build_timeline, user_lengths
from seminar_tf.data.generator.world import USER_STREAM, World

# So rarely passed (once in 2,000 requests of preset demo) that the true probabilities need not know of it.
MAX_CLICKS = 5


@dataclass(frozen=True)
class Block:
    """Users [first_user, first_user + U) and their R logged requests of S slots, by user, then time.

    Attributes:
      first_user: number of the first user.
      interests: the users' true tastes.
      user: (R,) int64, position in the block, ascending.
      number: (R,) int64, requests of the same user before this one.
      from_end: (R,) int64, requests of the same user after this one.
      context: what decided on the requests.
      query: (R,) int64, number of the typed query, -1 where browsing.
      item: (R, S) int64, candidates.
      shown, click, like: (R, S) bool; a slot that is not shown is neither clicked nor liked.
      click_truth, like_truth: (R, S) float64, true probability of the label given what was shown.
      click_ms: (R, S) int64, moment of a click, where there is one.
      direct: (R,) int64, item opened from outside just before the request, -1 for none.
      direct_like: (R,) bool.
      direct_ms: (R,) int64.
      left_out: for each user, items that the last request could not show, because its session had.
    """

    first_user: int
    interests: Interests
    user: np.ndarray
    number: np.ndarray
    from_end: np.ndarray
    context: behaviour.Context
    query: np.ndarray
    item: np.ndarray
    shown: np.ndarray
    click: np.ndarray
    like: np.ndarray
    click_truth: np.ndarray
    like_truth: np.ndarray
    click_ms: np.ndarray
    direct: np.ndarray
    direct_like: np.ndarray
    direct_ms: np.ndarray
    left_out: tuple[np.ndarray, ...]


def simulate(world: World, block: int) -> Block:
    """Simulates block number `block`, users [block * users_per_block, ..)."""
    config = world.config
    first = block * config.users_per_block
    last = min(first + config.users_per_block, config.users)
    rng = np.random.default_rng([config.seed, USER_STREAM, block])
    lengths = user_lengths(first, last, config)
    timeline = build_timeline(lengths, rng)
    interests = draw_interests(world, last - first, rng)
    context = behaviour.draw_context(world, interests, timeline, rng)
    query = behaviour.draw_queries(world, context, rng)
    item, shown, repeating = behaviour.draw_candidates(world, context, timeline.session_start, rng)
    chance = np.where(shown, behaviour.click_probability(world, context, item), 0.0)
    click, truth = draw_clicks(chance, rng)
    like_chance = behaviour.like_probability(world, context, item)
    like = click & (rng.random(item.shape) < like_chance)
    direct = behaviour.draw_direct(world, context, rng)
    direct_like = rng.random(len(direct)) < behaviour.like_probability(world, context, direct[:, None])[:, 0]
    # Slots are read from the top, three seconds each; a direct visit is over before its request begins.
    pause = 2_000 + 3_000 * np.arange(config.shown)
    click_ms = timeline.time_ms[:, None] + pause + (999 * rng.random(item.shape)).astype(np.int64)
    direct_ms = timeline.time_ms - 5_000 - (4_000 * rng.random(len(direct))).astype(np.int64)

    kept = np.flatnonzero(_newest(timeline.user, click.sum(axis=1), direct >= 0, lengths))
    user = timeline.user[kept]
    count = np.bincount(user, minlength=len(lengths))
    number = np.arange(len(kept)) - (np.cumsum(count) - count)[user]
    last_requests = kept[np.cumsum(count) - 1]
    return Block(
        first_user=first,
        interests=interests,
        user=user,
        number=number,
        from_end=count[user] - 1 - number,
        context=context.take(kept),
        query=query[kept],
        item=item[kept],
        shown=shown[kept],
        click=click[kept],
        like=like[kept],
        click_truth=truth[kept],
        like_truth=(truth * like_chance)[kept],
        click_ms=click_ms[kept],
        direct=direct[kept],
        direct_like=direct_like[kept],
        direct_ms=direct_ms[kept],
        left_out=tuple(
            item[r if repeating[r] else timeline.session_start[r] : r].ravel() for r in last_requests.tolist()
        ),
    )


def draw_clicks(chance: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws independent clicks under the condition that each request has at least one.

    The log keeps only requests with a click; drawing under that condition needs no request to be thrown away.

    Args:
      chance: (R, S) float64, probability of a click on each slot before the condition; 0 where nothing is shown.
      rng: draws of this block.

    Returns:
      (R, S) bool clicks, none in rows that are all 0, and (R, S) float64 P(click of this slot | at least one).
    """
    none_from = np.cumprod((1.0 - chance)[:, ::-1], axis=1)[:, ::-1]
    some_from = np.maximum(1.0 - none_from, 1e-300)
    uniform = rng.random(chance.shape)
    click = np.zeros(chance.shape, bool)
    clicked = np.zeros(len(chance), bool)
    for slot in range(chance.shape[1]):
        # While there is no click, slots to come must bring one.
        now = np.where(clicked, chance[:, slot], chance[:, slot] / some_from[:, slot])
        click[:, slot] = uniform[:, slot] < now
        clicked |= click[:, slot]
    click[:, MAX_CLICKS:] &= np.cumsum(click, axis=1)[:, MAX_CLICKS:] <= MAX_CLICKS
    # Rounding can leave the last slot's certainty a hair below 1.
    missed = np.flatnonzero(~clicked & (chance > 0).any(axis=1))
    click[missed, chance[missed].argmax(axis=1)] = True
    return click, np.minimum(chance / some_from[:, :1], 1.0)


def _newest(user: np.ndarray, clicks: np.ndarray, direct: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """(R,) bool: each user's newest requests, as many as give at least the user's length in events."""
    usable = clicks > 0
    events = np.where(usable, clicks + direct, 0)
    total = np.bincount(user, weights=events, minlength=len(lengths)).astype(np.int64)
    up_to = np.cumsum(events)
    before_user = np.cumsum(total) - total
    newer = total[user] - (up_to - before_user[user])
    return usable & (newer < lengths[user])
