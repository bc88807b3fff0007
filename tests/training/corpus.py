"""A small transformed dataset: random sequences as plain Python lists, and the TFRecord files that hold them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from seminar_tf.features import names

ITEMS = 40
QUERIES = 9


@dataclass
class Target:
    """One target of a user, by position in the whole sequence."""

    position: int
    item: int
    query: int
    timestamp: int
    request: int
    labels: dict[str, float]


@dataclass
class User:
    """A whole sequence, and where its segments end."""

    user_id: bytes
    pairs: list[tuple[int, int, int]]  # item, query, ms
    attributes: list[int]
    ends: dict[str, int]  # split -> end of its segment
    targets: dict[str, list[Target]] = field(default_factory=dict)


def make_users(seed: int, count: int = 12, longest: int = 30, grouped: bool = False) -> list[User]:
    """Random users: the last pair is the test target, the one before the eval target."""
    rng = np.random.default_rng(seed)
    users = []
    for number in range(count):
        length = int(rng.integers(4, longest))
        times = np.sort(rng.integers(1, 10**12, length))
        pairs = [(int(rng.integers(1, ITEMS + 1)), int(rng.integers(1, QUERIES)), int(t)) for t in times]
        user = User(
            user_id=f"user-{rng.integers(10**9)}-{number}".encode(),
            pairs=pairs,
            attributes=[int(a) for a in rng.integers(1, 5, rng.integers(0, 4))],
            ends={"train": length - 2, "eval": length - 1, "test": length},
        )
        ranges = {"train": range(1, length - 2), "eval": [length - 2], "test": [length - 1]}
        for split, positions in ranges.items():
            user.targets[split] = [
                t for n, position in enumerate(positions) for t in _targets(rng, pairs, position, n, grouped)
            ]
        users.append(user)
    return users


def _targets(rng: np.random.Generator, pairs: list[tuple[int, int, int]], at: int, n: int, grouped: bool) -> Any:
    item, query, timestamp = pairs[at]
    if not grouped:
        return [Target(at, item, query, timestamp, n, {"click": 1.0, "like": float(rng.integers(0, 2))})]
    shown = rng.permutation(ITEMS)[: rng.integers(1, 6)] + 1
    likes = [float(rng.integers(0, 2)) if rng.random() < 0.8 else float("nan") for _ in shown]
    return [
        Target(at, int(i), query, timestamp, n, {"click": float(i == shown[0]), "like": like})
        for i, like in zip(shown, likes)
    ]


def write_segments(folder: Path, users: list[User], shards: int = 2) -> dict[str, list[str]]:
    """Writes `Split-<split>/part-<n>.gz` for train, eval and test. Returns split -> files."""
    files: dict[str, list[str]] = {}
    for split, before in (("train", None), ("eval", "train"), ("test", "eval")):
        target = folder / f"Split-{split}"
        target.mkdir(parents=True)
        files[split] = []
        for shard in range(shards):
            path = str(target / f"part-{shard}.gz")
            rows = [segment_example(user, split, before) for user in users[shard::shards]]
            write_records(path, rows)
            files[split].append(path)
    return files


def segment_example(user: User, split: str, before: str | None) -> dict[str, Any]:
    """The features of one segment."""
    start = user.ends[before] if before else 0
    pairs = user.pairs[start : user.ends[split]]
    targets = user.targets[split]
    features: dict[str, Any] = {
        names.USER_ID: [user.user_id],
        names.SPAN: [1],
        names.SEGMENT_START: [start],
        names.HISTORY_ITEM_ID: [p[0] for p in pairs],
        names.HISTORY_QUERY: [p[1] for p in pairs],
        names.HISTORY_TIMESTAMP: [p[2] for p in pairs],
        names.USER_ATTRIBUTES: user.attributes,
        names.TARGET_POSITION: [t.position for t in targets],
        names.TARGET_ITEM_ID: [t.item for t in targets],
        names.TARGET_QUERY: [t.query for t in targets],
        names.TARGET_TIMESTAMP: [t.timestamp for t in targets],
        names.TARGET_REQUEST: [t.request for t in targets],
    }
    for task in ("click", "like"):
        features[names.label(task)] = [t.labels[task] for t in targets]
    return features


def write_records(path: str, rows: list[dict[str, Any]]) -> None:
    """Writes examples: bytes, int and float lists by the type of their first value; empty lists are left out."""
    with tf.io.TFRecordWriter(path, options="GZIP") as writer:
        for row in rows:
            features = {name: _feature(values) for name, values in row.items() if len(values)}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def _feature(values: list[Any]) -> tf.train.Feature:
    if isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
