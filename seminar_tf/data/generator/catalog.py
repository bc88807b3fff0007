"""Rows of the `items` table: titles and texts from the shared words, attributes, price, pictures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from seminar_tf.data import schema
from seminar_tf.data.generator.images import encode_png, render
from seminar_tf.data.generator.words import STYLE_SYNONYMS, SUBTOPIC_SYNONYMS
from seminar_tf.data.generator.world import ITEM_STREAM, World

ITEMS_PER_BLOCK = 1024
_FILLERS = ("with", "for", "set", "kit", "classic", "edition", "daily", "pro", "new", "gift")
_NO_LONG_TEXT_SHARE, _NO_ATTRIBUTES_SHARE = 0.3, 0.02
_AUTHORS_PER_GROUP = 3

SCHEMA = pa.schema(
    [(name, schema.ITEMS.type_of(name)) for name in ("item_id", "title", "text", "attributes", "image")]
    + [("numeric_price", pa.float32())]
)


def item_blocks(world: World) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """Yields the catalog in blocks.

    Yields:
      (b,) int64 positions of the block's items in the world, and their rows of the `items` table.
    """
    for block, first in enumerate(range(0, world.config.items, ITEMS_PER_BLOCK)):
        rows = np.arange(first, min(first + ITEMS_PER_BLOCK, world.config.items))
        rng = np.random.default_rng([world.config.seed, ITEM_STREAM, block])
        yield rows, _rows(world, rows, rng)


def _rows(world: World, rows: np.ndarray, rng: np.random.Generator) -> pa.Table:
    config = world.config
    group, style = world.group[rows], world.style[rows]
    category, subtopic = group // config.subtopics, group % config.subtopics
    titles, texts = _texts(world, group, style, rng)
    no_title = ~world.has_text[rows]
    no_text = no_title | (rng.random(len(rows)) < _NO_LONG_TEXT_SHARE)
    pictures = render(category, subtopic, style, config.image_size, rng)
    images = [encode_png(p) if shown else None for p, shown in zip(pictures, world.has_image[rows])]
    # Dear and cheap categories, and dear and cheap items in each.
    price = np.exp(2.0 + 2.0 * ((category * 0.754877) % 1.0) + 0.4 * rng.standard_normal(len(rows)))
    return pa.table(
        {
            "item_id": world.ids.take(pa.array(rows)),
            "title": pa.array(titles, pa.string(), mask=no_title),
            "text": pa.array(texts, pa.string(), mask=no_text),
            "attributes": pa.array(_attributes(world, group, style, rng), pa.list_(pa.string())),
            "image": pa.array(images, pa.binary()),
            "numeric_price": np.round(price, 2).astype(np.float32),
        },
        schema=SCHEMA,
    )


def _texts(
    world: World, group: np.ndarray, style: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Titles ("Rustic teapot Belora 12") and longer texts, (b,) object arrays of str each."""
    vocabulary, n = world.vocabulary, len(group)
    subtopic_words = np.array([w for words in vocabulary.subtopics for w in words], object)
    style_words = np.array(vocabulary.styles, object)

    def one_of(words: np.ndarray, row: np.ndarray, count: int) -> np.ndarray:
        # The first synonym is the commonest, in titles as in queries.
        return words[row, (rng.random(n) ** 3 * count).astype(int)]

    def any_of(words: tuple[str, ...]) -> np.ndarray:
        return np.array(words, object)[(rng.random(n) * len(words)).astype(int)]

    noun, style_word = one_of(subtopic_words, group, SUBTOPIC_SYNONYMS), one_of(style_words, style, STYLE_SYNONYMS)
    category = np.array(vocabulary.categories, object)[group // world.config.subtopics]
    name = any_of(vocabulary.names)
    titles = np.array([f"{s.capitalize()} {w} {m.capitalize()}" for s, w, m in zip(style_word, noun, name)], object)
    columns = (
        any_of(_FILLERS),
        one_of(style_words, style, STYLE_SYNONYMS),
        one_of(subtopic_words, group, SUBTOPIC_SYNONYMS),
        any_of(_FILLERS),
        category,
        name,
    )
    texts = np.array([" ".join(words) + "." for words in zip(*columns)], object)
    return titles, texts


def _attributes(world: World, group: np.ndarray, style: np.ndarray, rng: np.random.Generator) -> list[list[str] | None]:
    """`name=value` strings of each item; a few items have none, one in five lacks its tag."""
    vocabulary, subtopics = world.vocabulary, world.config.subtopics
    missing = rng.random(len(group)) < _NO_ATTRIBUTES_SHARE
    untagged = rng.random(len(group)) < 0.2
    author = group * _AUTHORS_PER_GROUP + (style + (rng.random(len(group)) < 0.2)) % _AUTHORS_PER_GROUP
    rows: list[list[str] | None] = []
    for g, a, none, no_tag in zip(group.tolist(), author.tolist(), missing.tolist(), untagged.tolist()):
        category, subtopic = divmod(g, subtopics)
        known = [f"category={vocabulary.categories[category]}", f"author=a{a}"]
        tag = [] if no_tag else [f"tag={vocabulary.subtopics[category][subtopic][0]}"]
        rows.append(None if none else known + tag)
    return rows
