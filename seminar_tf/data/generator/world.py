"""The fixed truth of a generated dataset: items with latent vectors, popularity, publication, and the words.

Everything here is a flat array over items, some 150 bytes an item; titles, attributes and images are made later, in
blocks (`catalog`). Items are sorted by group (category, then subtopic), so that "a random item of this subtopic, by
popularity" is one binary search in a cumulated weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seminar_tf.data.generator.config import DAY_MS, DAYS, START_MS, GeneratorConfig
from seminar_tf.data.generator.words import Vocabulary, build_vocabulary

# First word of every seed sequence, so that no two kinds of draw share a stream.
WORLD_STREAM, ITEM_STREAM, USER_STREAM = 1, 2, 3

_ZIPF_EXPONENT, _ZIPF_OFFSET = 0.9, 2.0
_DIRECT_ONLY_SHARE = 0.04
_PUBLISHED_BEFORE_SHARE = 0.75
_NO_IMAGE_SHARE, _NO_TEXT_SHARE = 0.15, 0.05
ITEM_NOISE = 0.35


@dataclass(frozen=True)
class World:
    """Items and what they mean. n items, G = categories * subtopics groups, k latent dimensions.

    Attributes:
      config: sizes.
      vocabulary: words by meaning.
      group_vectors: (G, k) float32, latent of each group (its category's plus its own).
      style_vectors: (styles, k) float32.
      group: (n,) int32, ascending.
      style: (n,) int32.
      latent: (n, k) float32, unit length: group + style + the item's own share.
      appeal: (n,) float32, how much better or worse than its kind an item is liked by everybody.
      born_ms: (n,) int64, publication, ms since 1970; before the log's start for most.
      direct_only: (n,) bool: reached from outside only, never shown as a candidate; published in the log's second half.
      has_image, has_text: (n,) bool.
      shown_cumulated: (n + 1,) float64, cumulated popularity weights of items that can be shown.
      direct_cumulated: (n + 1,) float64, the same of direct-only items.
      group_start: (G + 1,) int64, first item of each group.
      ids: item_id of each item; ids carry no information about group or popularity.
    """

    config: GeneratorConfig
    vocabulary: Vocabulary
    group_vectors: np.ndarray
    style_vectors: np.ndarray
    group: np.ndarray
    style: np.ndarray
    latent: np.ndarray
    appeal: np.ndarray
    born_ms: np.ndarray
    direct_only: np.ndarray
    has_image: np.ndarray
    has_text: np.ndarray
    shown_cumulated: np.ndarray
    direct_cumulated: np.ndarray
    group_start: np.ndarray
    ids: pa.Array

    @property
    def category(self) -> np.ndarray:
        """(n,) int32, category of each item."""
        return self.group // self.config.subtopics

    @property
    def category_start(self) -> np.ndarray:
        """(categories + 1,) int64, first item of each category."""
        return self.group_start[:: self.config.subtopics]


def normalised(vectors: np.ndarray) -> np.ndarray:
    """Rows of (.., k) scaled to unit length, float32."""
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def draw_index(cumulated: np.ndarray, first: np.ndarray, last: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Draws items by weight from ranges.

    Args:
      cumulated: (n + 1,) float64, cumulated weights, starting with 0.
      first, last: (R,) int, half-open item ranges; each needs a positive weight.
      uniform: (R,) float64 in [0, 1).

    Returns:
      (R,) int64 items, each in its range.
    """
    low, high = cumulated[first], cumulated[last]
    found = np.searchsorted(cumulated, low + uniform * (high - low), side="right") - 1
    # Rounding may put a draw on the far end of its range.
    return np.minimum(found, last - 1)


def build_world(config: GeneratorConfig) -> World:
    """Draws the world of a configuration; users and spans have no part in it."""
    rng = np.random.default_rng([config.seed, WORLD_STREAM])
    n, groups = config.items, config.categories * config.subtopics
    vocabulary = build_vocabulary(config.categories, config.subtopics, config.styles, min(4_000, max(200, n // 4)), rng)
    category_vectors = np.repeat(_directions(config.categories, config, rng), config.subtopics, axis=0)
    group_vectors = category_vectors + 0.7 * _directions(groups, config, rng)
    style_vectors = 0.8 * _directions(config.styles, config, rng)

    group = _assign_groups(n, groups, rng)
    style = (rng.random(n) * config.styles).astype(np.int32)
    latent = normalised(group_vectors[group] + style_vectors[style] + ITEM_NOISE * _directions(n, config, rng))
    group_start = np.searchsorted(group, np.arange(groups + 1))
    head = np.zeros(n, bool)
    head[group_start[:-1]] = True  # one old, showable item in each group: no range is ever empty

    rank = np.argsort(rng.random(n))
    weight = (rank + _ZIPF_OFFSET) ** -_ZIPF_EXPONENT
    direct_only = (rng.random(n) < _DIRECT_ONLY_SHARE) & ~head
    direct_only[n - 1] |= not direct_only.any() and not head[n - 1]
    born_ms = _publication(n, direct_only, head, rng)
    log_weight = np.log(weight)
    appeal = 0.3 * (log_weight - log_weight.mean()) / log_weight.std() + 0.4 * rng.standard_normal(n)
    return World(
        config=config,
        vocabulary=vocabulary,
        group_vectors=group_vectors,
        style_vectors=style_vectors,
        group=group,
        style=style,
        latent=latent,
        appeal=appeal.astype(np.float32),
        born_ms=born_ms,
        direct_only=direct_only,
        has_image=rng.random(n) >= _NO_IMAGE_SHARE,
        has_text=rng.random(n) >= _NO_TEXT_SHARE,
        shown_cumulated=np.concatenate([[0.0], np.cumsum(np.where(direct_only, 0.0, weight))]),
        direct_cumulated=np.concatenate([[0.0], np.cumsum(np.where(direct_only, weight, 0.0))]),
        group_start=group_start,
        ids=_ids("i", np.argsort(rng.random(n)), n),
    )


def user_ids(first: int, last: int, config: GeneratorConfig) -> pa.Array:
    """user_id of users [first, last)."""
    return _ids("u", np.arange(first, last), config.users)


def _ids(prefix: str, numbers: np.ndarray, count: int) -> pa.Array:
    """Strings such as `i0042`, all of one length."""
    digits = pc.utf8_lpad(pc.cast(pa.array(numbers), pa.string()), width=len(str(count)), padding="0")
    return pc.binary_join_element_wise(pa.scalar(prefix), digits, "")


def _directions(count: int, config: GeneratorConfig, rng: np.random.Generator) -> np.ndarray:
    """(count, k) float32 random vectors of about unit length."""
    return (rng.standard_normal((count, config.latent_dim), np.float32) / config.latent_dim**0.5).astype(np.float32)


def _assign_groups(n: int, groups: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) int32 ascending; two items in every group, the rest by uneven group sizes."""
    share = np.cumsum(0.3 + rng.random(groups))
    drawn = np.searchsorted(share, rng.random(n - 2 * groups) * share[-1], side="right")
    everywhere = np.concatenate([np.arange(groups), np.arange(groups), np.minimum(drawn, groups - 1)])
    return np.sort(everywhere).astype(np.int32)


def _publication(n: int, direct_only: np.ndarray, head: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) int64 ms: most items are older than the log, the rest appear evenly over it."""
    when, place = rng.random(n), rng.random(n)
    before = (when < _PUBLISHED_BEFORE_SHARE) | head
    days = np.where(before, -700 * place, DAYS * place)
    days = np.where(direct_only, DAYS * (0.5 + 0.5 * place), days)
    return START_MS + (days * DAY_MS).astype(np.int64)
