"""Synthetic ids for the training benchmark: a Zipf catalog and users with full histories, read by the real input."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

import seminar_tf  # noqa: F401  (settles Keras before TensorFlow loads)

# isort: split

from seminar_tf.config import ModelConfig, TrainConfig
from seminar_tf.features import names
from seminar_tf.features.tables import ItemFeatures
from seminar_tf.features.vocabulary import FeatureSizes
from seminar_tf.models.channel_tables import ChannelTables
from seminar_tf.models.seminar import Seminar
from seminar_tf.training.blocks import request_block
from seminar_tf.training.cutters import RequestCutter
from seminar_tf.training.inputs import MemoryEpochs
from seminar_tf.training.loop import compile_model
from seminar_tf.training.negatives import NegativeSampler
from seminar_tf.training.records import Segments

TASK = "click"
_QUERIES, _ATTRIBUTES, _ATTRIBUTES_A_USER = 5_000, 1_000, 4
_SEARCHES = 0.3  # share of pairs that have a query
_EXPONENT = 1.1  # of Zipf's law
_START_MS, _GAP_MS = 1_600_000_000_000, 3_600_000


@dataclass(frozen=True)
class Shape:
    """What is trained.

    Attributes:
      items: V, rows of the item table.
      length: L; every history is full.
      candidates: N, one positive and N - 1 drawn negatives.
      batch_size: B.
      steps: batches in an epoch.
    """

    items: int = 4_000
    length: int = 200
    candidates: int = 2
    batch_size: int = 256
    steps: int = 20

    def config(self) -> ModelConfig:
        """The default ModelConfig, with this L."""
        return replace(ModelConfig(), history_length=self.length)


def zipf(rng: np.random.Generator, count: int, first: int, rows: int) -> np.ndarray:
    """(count,) int32 ids in [first, rows) by Zipf's law; which ids are frequent is random."""
    weights = np.arange(1, rows - first + 1, dtype=np.float64) ** -_EXPONENT
    drawn = np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(count))
    order = rng.permutation(rows - first)
    return (first + order[np.minimum(drawn, rows - first - 1)]).astype(np.int32)


def segments(shape: Shape, seed: int = 1) -> Segments:
    """Train segments whose targets all see L pairs: the newest pairs of every user are the targets."""
    rng = np.random.default_rng(seed)
    requests = shape.batch_size * shape.steps
    targets = min(requests, 64)
    users = -(-requests // targets)
    pairs = shape.length + targets
    count = users * pairs
    item = zipf(rng, count, names.FIRST_ITEM_ID, shape.items)
    typed = zipf(rng, count, names.FIRST_QUERY_ID, _QUERIES)
    query = np.where(rng.random(count) < _SEARCHES, typed, names.EMPTY_QUERY_ID).astype(np.int32)
    gaps = rng.exponential(_GAP_MS, (users, pairs)).astype(np.int64) + 1
    timestamp = (_START_MS + np.cumsum(gaps, axis=1)).reshape(-1)
    places = (np.arange(users)[:, np.newaxis] * pairs + np.arange(shape.length, pairs)).reshape(-1)

    def splits(width: int) -> np.ndarray:
        return np.arange(users + 1, dtype=np.int64) * width

    return Segments(
        user_id=np.array([b"user-%09d" % n for n in range(users)], object),
        start=np.zeros(users, np.int64),
        pair_splits=splits(pairs),
        item=item,
        query=query,
        timestamp=timestamp,
        attribute_splits=splits(_ATTRIBUTES_A_USER),
        attribute=rng.integers(1, _ATTRIBUTES, users * _ATTRIBUTES_A_USER).astype(np.int32),
        target_splits=splits(targets),
        target_position=np.tile(np.arange(shape.length, pairs, dtype=np.int64), users),
        target_item=item[places],
        target_query=query[places],
        target_timestamp=timestamp[places],
        target_request=np.tile(np.arange(targets, dtype=np.int64), users),
        label=np.ones((len(places), 1), np.float32),
    )


def item_features(shape: Shape, made: Segments) -> ItemFeatures:
    """What a ranker needs of a catalog: which items are known, and how often each was seen."""
    known = np.arange(shape.items) >= names.FIRST_ITEM_ID
    return ItemFeatures.counted(known, np.bincount(made.item, minlength=shape.items).astype(np.int64))


def channel_tables(shape: Shape, config: ModelConfig, seed: int = 1) -> ChannelTables:
    """Random E_PSU in which 70% of the items have a text, 70% an image, all of them attributes."""
    rng = np.random.default_rng(seed)
    mask = rng.random((shape.items, len(config.channels))) < 0.7
    mask[:, -1] = True
    mask[0] = False
    item = rng.standard_normal((shape.items, len(config.channels), config.dim), np.float32)
    item *= mask[..., np.newaxis]
    return ChannelTables(config.channels, item, mask, rng.standard_normal((_QUERIES, config.dim), np.float32))


def sizes(shape: Shape) -> FeatureSizes:
    """Rows of the id spaces."""
    return FeatureSizes(items=shape.items, queries=_QUERIES, tokens=1, attributes=_ATTRIBUTES)


def epochs(shape: Shape, made: Segments, features: ItemFeatures) -> MemoryEpochs:
    """The input that a Trainer reads: shuffled requests cut from memory, negatives drawn as they come."""
    train = TrainConfig()
    sampler = NegativeSampler(features.known, features.count, train.popular_negatives, train.popularity_power)
    cutter = RequestCutter(
        shape.length, _ATTRIBUTES_A_USER, (TASK,), width=1, drawn=shape.candidates - 1, sampler=sampler, seed=1
    )
    return MemoryEpochs(request_block(made, grouped=False), cutter, shape.batch_size, seed=1)


def seminar(shape: Shape, features: ItemFeatures) -> Seminar:
    """The ranker, compiled as a Trainer compiles it."""
    config = shape.config()
    model = Seminar(config, sizes(shape), (TASK,), channel_tables(shape, config), features, seed=1)
    compile_model(model, TrainConfig())
    return model
