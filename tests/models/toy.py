"""A small catalog, batches and models for tests of the models."""

from __future__ import annotations

import dataclasses

import numpy as np

from seminar_tf.config import ModelConfig, TrainConfig
from seminar_tf.features.tables import ItemFeatures, QueryFeatures
from seminar_tf.features.vocabulary import FeatureSizes
from seminar_tf.models.channel_tables import ChannelTables
from seminar_tf.models.psu import PSU
from seminar_tf.models.rankers import make_ranker, reads_categories
from seminar_tf.models.seminar import Seminar
from seminar_tf.models.table_ranker import TableRanker

SIZES = FeatureSizes(items=40, queries=12, tokens=30, attributes=15)
CONFIG = ModelConfig(history_length=12, top_k=4, dim=8, heads=2, short_length=5, hidden_units=(8,))
TRAIN = TrainConfig(negatives=6, next_pair_windows=3, chunk_size=4)
NOW = 1_700_000_000_000


def item_features(seed: int = 0, image: str = "pixels") -> ItemFeatures:
    """Random features: some items without text or image, two OOV rows at the end."""
    rng = np.random.default_rng(seed)
    rows = SIZES.items
    known = np.arange(rows) < rows - 2
    known[0] = False
    images = {
        "pixels": rng.integers(0, 256, (rows, 16, 16, 3)).astype(np.uint8),
        "vector": rng.normal(size=(rows, 5)).astype(np.float32),
        "patches": np.random.default_rng(seed).normal(size=(rows, 6, 7)).astype(np.float32),
    }
    return ItemFeatures(
        tokens=rng.integers(0, SIZES.tokens, (rows, 4)).astype(np.int32),
        attributes=rng.integers(0, SIZES.attributes, (rows, 3)).astype(np.int32),
        numeric=rng.normal(size=(rows, 2)).astype(np.float32),
        image=images[image],
        text_vector=np.zeros((rows, 0), np.float32),
        has_text=known & (rng.random(rows) < 0.8),
        has_image=known & (rng.random(rows) < 0.6),
        has_attributes=known,
        known=known,
        count=rng.integers(1, 50, rows) * known,
    )


def query_features(seed: int = 0) -> QueryFeatures:
    """Random tokens for the vocabulary's queries."""
    rng = np.random.default_rng(seed)
    known = (np.arange(SIZES.queries) > 1) & (np.arange(SIZES.queries) < SIZES.queries - 2)
    tokens = rng.integers(0, SIZES.tokens, (SIZES.queries, 3)).astype(np.int32) * known[:, np.newaxis].astype(np.int32)
    return QueryFeatures(tokens=tokens, known=known, count=known.astype(np.int64))


def batch(seed: int = 0, rows: int = 5, length: int = 9, candidates: int = 3, queries: bool = True) -> dict:
    """A right-padded batch of int32 / int64 arrays with click labels."""
    rng = np.random.default_rng(seed)
    mask = np.arange(length) < rng.integers(2, length + 1, rows)[:, np.newaxis]
    mask[0] = True
    times = NOW - np.sort(rng.integers(1, 10**10, (rows, length)), axis=1)[:, ::-1]
    top = SIZES.queries if queries else 2
    return {
        "history_item_id": (rng.integers(1, SIZES.items, (rows, length)) * mask).astype(np.int32),
        "history_query": (rng.integers(1, top, (rows, length)) * mask).astype(np.int32),
        "history_timestamp": (times * mask).astype(np.int64),
        "candidate_item_id": rng.integers(1, SIZES.items, (rows, candidates)).astype(np.int32),
        "query": rng.integers(1, top, rows).astype(np.int32),
        "request_timestamp": np.full(rows, NOW, np.int64),
        "user_attributes": rng.integers(0, SIZES.attributes, (rows, 2)).astype(np.int32),
        "label_click": rng.integers(0, 2, (rows, candidates)).astype(np.float32),
    }


def pad(example: dict, more: int) -> dict:
    """The same batch with `more` columns of padding behind each history."""
    padded = dict(example)
    for name in ("history_item_id", "history_query", "history_timestamp"):
        padded[name] = np.pad(example[name], ((0, 0), (0, more)))
    return padded


def tables(seed: int = 0, channels: tuple[str, ...] = ("text", "image", "attributes")) -> ChannelTables:
    """Random channel tables without pretrained weights."""
    rng = np.random.default_rng(seed)
    mask = rng.random((SIZES.items, len(channels))) < 0.7
    mask[:, -1] = True
    mask[0] = False
    vectors = rng.normal(size=(SIZES.items, len(channels), CONFIG.dim)).astype(np.float32)
    return ChannelTables(
        channels=channels,
        item=vectors * mask[..., np.newaxis],
        item_mask=mask,
        query=rng.normal(size=(SIZES.queries, CONFIG.dim)).astype(np.float32),
    )


def psu(seed: int = 1, train: TrainConfig = TRAIN, **changes: object) -> PSU:
    """A small PSU; `changes` go in its ModelConfig."""
    return PSU(dataclasses.replace(CONFIG, **changes), train, SIZES, item_features(), query_features(), seed)


def seminar(
    seed: int = 1, train: TrainConfig = TRAIN, start: ChannelTables | None = None, **changes: object
) -> Seminar:
    """A small SEMINAR on random tables (or `start`)."""
    config = dataclasses.replace(CONFIG, **changes)
    return Seminar(config, SIZES, ("click",), start or tables(), item_features(), seed, train)


def categories(seed: int = 0) -> np.ndarray:
    """Up to two of five categories an item: some items have none, none has one twice; [V, 2] int64."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 6, SIZES.items)
    second = np.where(first > 1, rng.integers(0, 6, SIZES.items) % np.maximum(first, 1), 0)
    found = np.stack([first, second], axis=1).astype(np.int64)
    found[0] = 0
    return found


def ranker(
    name: str,
    seed: int = 1,
    train: TrainConfig = TRAIN,
    start: ChannelTables | None = None,
    tasks: tuple[str, ...] = ("click",),
    **changes: object,
) -> TableRanker:
    """A small ranker of any name on random tables (or `start`)."""
    config = dataclasses.replace(CONFIG, ranker=name, **changes)
    known = categories() if reads_categories(config) else None
    return make_ranker(config, SIZES, tasks, start or tables(), item_features(), seed, train, categories=known)
