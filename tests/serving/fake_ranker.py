"""A small ranker with the call of the real one, and an exported folder of it: servers are tested without training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks import random_ranker
from seminar_tf.config import FeatureConfig, ModelConfig, PipelineConfig, ServingConfig, TrainConfig
from seminar_tf.export import inputs
from seminar_tf.export.signatures import export_ranker
from seminar_tf.features import names
from seminar_tf.features.vocabulary import FeatureSizes, feature_sizes
from seminar_tf.models.seminar import Seminar
from seminar_tf.models.table_ranker import TableRanker

import tensorflow as tf  # isort: skip

ITEMS = [f"item{n}" for n in range(40)]
QUERIES = [f"query {n}" for n in range(12)]
ATTRIBUTES = ["age=young", "age=old"]
TASKS = ("click", "like")
NOW = 1_700_000_000_000
CONFIG = PipelineConfig(
    name="fake",
    features=FeatureConfig(item_oov_buckets=3, query_oov_buckets=2, attribute_oov_buckets=2),
    model=ModelConfig(history_length=8, serving_history_length=16, top_k=4, dim=8, heads=2),
    serving=ServingConfig(warmup_candidates=(1, 5)),
)


class FakeRanker(tf.keras.Model):
    """Attends from each candidate to the masked history: enough that every input and every pair matters."""

    def __init__(self, sizes: FeatureSizes, tasks: tuple[str, ...], seed: int) -> None:
        super().__init__()
        start = tf.keras.initializers.RandomNormal(0.0, 0.5, seed=seed)
        self.items = tf.keras.layers.Embedding(sizes.items, 8, embeddings_initializer=start)
        self.queries = tf.keras.layers.Embedding(sizes.queries, 8, embeddings_initializer=start)
        self.attributes = tf.keras.layers.Embedding(sizes.attributes, 8, embeddings_initializer=start)
        self.heads = {task: tf.keras.layers.Dense(1, kernel_initializer=start) for task in tasks}

    def call(self, batch, training=False):
        ids = batch[names.HISTORY_ITEM_ID]
        keys = self.items(ids) + self.queries(batch[names.HISTORY_QUERY])
        days = tf.cast(batch[names.REQUEST_TIMESTAMP][:, None] - batch[names.HISTORY_TIMESTAMP], tf.float32) / 8.64e7
        target = self.items(batch[names.CANDIDATE_ITEM_ID]) + self.queries(batch[names.QUERY])[:, None, :]
        logits = tf.einsum("bnd,bld->bnl", target, keys) - 0.1 * tf.math.log1p(tf.maximum(days, 0.0))[:, None, :]
        mask = tf.cast(ids > 0, tf.float32)[:, None, :]
        weights = tf.exp(tf.minimum(logits, 20.0)) * mask
        summary = tf.einsum("bnl,bld->bnd", weights, keys) / (tf.reduce_sum(weights, -1, keepdims=True) + 1e-6)
        attributes = batch[names.USER_ATTRIBUTES]
        user = tf.reduce_sum(self.attributes(attributes) * tf.cast(attributes > 0, tf.float32)[:, :, None], axis=1)
        features = tf.concat([summary, target, summary * target + user[:, None, :]], axis=-1)
        return {task: tf.squeeze(head(features), -1) for task, head in self.heads.items()}


def write_vocabularies(folder: Path) -> Path:
    """A folder like a TransformGraph artifact's, with vocabularies only."""
    entries = {
        names.ITEM_VOCABULARY: ITEMS,
        names.QUERY_VOCABULARY: QUERIES,
        names.TOKEN_VOCABULARY: ["query", "item"],
        names.ATTRIBUTE_VOCABULARY: ATTRIBUTES,
    }
    return random_ranker.write_vocabularies(folder, entries)


def export(folder: Path, transform_dir: Path, seed: int, kind: str = "fake") -> tf.keras.Model:
    """Exports a ranker with random weights; the same seed gives the same scores."""
    sizes = feature_sizes(transform_dir, CONFIG.features)
    model = FakeRanker(sizes, TASKS, seed) if kind == "fake" else seminar(sizes, seed)
    model(batch(np.random.default_rng(0), rows=2, length=3, width=2))
    counts = np.zeros(sizes.items, np.int64)
    export_ranker(model, transform_dir, CONFIG, TASKS, folder, item_count=counts)
    return model


def seminar(
    sizes: FeatureSizes,
    seed: int,
    config: PipelineConfig = CONFIG,
    tasks: tuple[str, ...] = TASKS,
    train: TrainConfig | None = None,
) -> Seminar:
    """The real ranker with random tables and weights."""
    return random_ranker.random_seminar(sizes, seed, config, tasks, train)


def rival(sizes: FeatureSizes, seed: int, config: PipelineConfig, tasks: tuple[str, ...] = TASKS) -> TableRanker:
    """The ranker that the configuration names, with random tables and weights."""
    return random_ranker.random_model(sizes, seed, config, tasks)


def batch(rng: np.random.Generator, rows: int, length: int, width: int) -> dict[str, np.ndarray]:
    """Inputs of `rank_indexed`: full histories of known items and queries."""
    gaps = rng.integers(1, 86_400_000, (rows, length))
    return {
        names.HISTORY_ITEM_ID: rng.integers(1, len(ITEMS) + 1, (rows, length)).astype(np.int32),
        names.HISTORY_QUERY: rng.integers(1, len(QUERIES) + 2, (rows, length)).astype(np.int32),
        names.HISTORY_TIMESTAMP: (NOW - np.cumsum(gaps, axis=1)[:, ::-1]).astype(np.int64),
        names.CANDIDATE_ITEM_ID: rng.integers(1, len(ITEMS) + 1, (rows, width)).astype(np.int32),
        names.QUERY: rng.integers(1, len(QUERIES) + 2, rows).astype(np.int32),
        names.REQUEST_TIMESTAMP: np.full(rows, NOW, np.int64),
        names.USER_ATTRIBUTES: rng.integers(1, len(ATTRIBUTES) + 1, (rows, 1)).astype(np.int32),
    }


def to_raw(ids: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs of `serving_default` that mean the same as `ids`, which are of the vocabularies or padding."""
    item = np.array([b"", *(name.encode() for name in ITEMS)], np.object_)
    query = np.array([b"", b"", *(text.encode() for text in QUERIES)], np.object_)
    attribute = np.array([b"", *(text.encode() for text in ATTRIBUTES)], np.object_)
    tables = {
        names.HISTORY_ITEM_ID: item,
        names.CANDIDATE_ITEM_ID: item,
        names.HISTORY_QUERY: query,
        names.QUERY: query,
        names.USER_ATTRIBUTES: attribute,
    }
    raw = {name: tables[name][values] if name in tables else values for name, values in ids.items()}
    raw[names.USER_ID] = np.array([b"u"] * len(ids[names.QUERY]), np.object_)
    return {name: raw[name] for name in inputs.RAW}
