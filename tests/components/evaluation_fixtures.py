"""A toy dataset of segments and SavedModels whose scores are a table by item: the answers are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import seminar_tf  # noqa: F401  (settles the Keras version before TensorFlow loads)
from seminar_tf.config import EvaluationConfig
from seminar_tf.export.metadata import ModelMetadata
from seminar_tf.features.vocabulary import FeatureSizes

import tensorflow as tf  # isort: skip

ITEMS = 30
OOV = 2
TASKS = ("click", "like")
LIKE_FACTOR = -0.5


@dataclass(frozen=True)
class Toy:
    """Whole sequences of users, cut so that the last target is test and the one before eval.

    Attributes:
      whole: user -> item ids in time order.
      queries: user -> query ids.
      shown: user -> (item, click, like) logged at the test target's moment, NaN where unknown; the first is the target.
    """

    whole: dict[bytes, list[int]]
    queries: dict[bytes, list[int]]
    shown: dict[bytes, list[tuple[int, float, float]]]

    @property
    def counts(self) -> np.ndarray:
        """(rows,) int64 pairs of the train segments."""
        train = [item for items in self.whole.values() for item in items[:-2]]
        return np.bincount(train, minlength=1 + ITEMS + OOV)


def make_toy(seed: int, users: int = 40) -> Toy:
    rng = np.random.default_rng(seed)
    names = [f"user-{n}".encode() for n in range(users)]
    whole = {name: rng.integers(1, ITEMS + 1, int(rng.integers(3, 40))).tolist() for name in names}
    queries = {name: rng.integers(1, 4, len(items)).tolist() for name, items in whole.items()}
    shown = {}
    for name in names:
        others = rng.integers(1, ITEMS + 1, int(rng.integers(1, 5))).tolist()
        likes = rng.choice([0.0, 1.0, float("nan")], len(others) + 1).tolist()
        shown[name] = [(whole[name][-1], 1.0, likes[0]), *((item, 0.0, like) for item, like in zip(others, likes[1:]))]
        # Nothing is known of one candidate, and only the like of another.
        shown[name] += [(1, float("nan"), float("nan")), (2, float("nan"), float(rng.integers(0, 2)))]
    return Toy(whole, queries, shown)


def write_examples(toy: Toy, root: Path) -> None:
    """Writes transformed examples to root/Split-{train,eval,test}."""
    for split in ("train", "eval", "test"):
        folder = root / f"Split-{split}"
        folder.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(folder / "examples-00000-of-00001.gz"), "GZIP") as writer:
            for user, items in toy.whole.items():
                n = len(items)
                start, end = {"train": (0, n - 2), "eval": (n - 2, n - 1), "test": (n - 1, n)}[split]
                writer.write(_segment(toy, user, split, start, end))


def _segment(toy: Toy, user: bytes, split: str, start: int, end: int) -> bytes:
    positions = list(range(start, end))
    items, queries = toy.whole[user], toy.queries[user]
    shown = [(p, items[p], 1.0, float("nan")) for p in positions]
    if split == "test":
        shown = [(start, *candidate) for candidate in toy.shown[user]]
    ints = {
        "span": [1],
        "segment_start": [start],
        "history_item_id": items[start:end],
        "history_query": queries[start:end],
        "history_timestamp": [1000 * p for p in positions],
        "user_attributes": [1, 2][: len(items) % 3],
        "target_position": [p for p, *_ in shown],
        "target_timestamp": [1000 * p for p, *_ in shown],
        "target_item_id": [item for _, item, *_ in shown],
        "target_request": [p for p, *_ in shown],
        "target_query": [queries[p] for p, *_ in shown],
    }
    feature = {name: tf.train.Feature(int64_list=tf.train.Int64List(value=v)) for name, v in ints.items()}
    for name, text in (("user_id", user), ("split", split.encode())):
        feature[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[text]))
    for n, name in enumerate(TASKS, 2):
        labels = tf.train.FloatList(value=[candidate[n] for candidate in shown])
        feature[f"label_{name}"] = tf.train.Feature(float_list=labels)
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


class TableModule(tf.Module):
    """score_click of a candidate is the sigmoid of its table entry, NaN if the history reaches the request.

    score_like is the sigmoid of the entry times LIKE_FACTOR.
    """

    def __init__(self, table: np.ndarray, folder: Path, vocabulary: list[str]) -> None:
        super().__init__()
        self.table = tf.Variable(table, dtype=tf.float32, trainable=False)
        folder.mkdir(parents=True, exist_ok=True)
        self.assets = []
        for name, terms in (("items", vocabulary), ("queries", ["red", "blue"]), ("attributes", ["a=1", "a=2"])):
            (folder / name).write_text("".join(f"{term}\n" for term in terms))
            self.assets.append(tf.saved_model.Asset(str(folder / name)))

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None), tf.int32, "history_item_id"),
            tf.TensorSpec((None, None), tf.int32, "history_query"),
            tf.TensorSpec((None, None), tf.int64, "history_timestamp"),
            tf.TensorSpec((None, None), tf.int32, "candidate_item_id"),
            tf.TensorSpec((None,), tf.int32, "query"),
            tf.TensorSpec((None,), tf.int64, "request_timestamp"),
            tf.TensorSpec((None, None), tf.int32, "user_attributes"),
        ]
    )
    def rank_indexed(self, items, queries, times, candidates, query, timestamp, attributes):  # type: ignore[no-untyped-def]
        # Leakage would show: nothing at or after the request may be in the history.
        late = tf.reduce_any(tf.logical_and(items > 0, times >= timestamp[:, None]))
        unused = tf.cast(tf.reduce_sum(queries) + tf.reduce_sum(query) + tf.reduce_sum(attributes), tf.float32)
        scores = tf.sigmoid(tf.gather(self.table, candidates)) + 0.0 * unused
        likes = tf.sigmoid(LIKE_FACTOR * tf.gather(self.table, candidates))
        return {"score_click": tf.where(late, float("nan"), scores), "score_like": likes}


def export(
    root: Path,
    table: np.ndarray,
    counts: np.ndarray,
    evaluation: EvaluationConfig,
    vocabulary: list[str] | None = None,
    seed: int = 1,
    tasks: tuple[str, ...] = TASKS,
) -> Path:
    """Writes a Model artifact's folder whose SavedModel scores by `table`."""
    terms = vocabulary or [f"item-{n}" for n in range(1, ITEMS + 1)]
    target = root / "Format-Serving"
    module = TableModule(table, root / "vocabulary", terms)
    tf.saved_model.save(module, str(target), signatures={"rank_indexed": module.rank_indexed})
    rows = 1 + len(terms) + OOV
    ModelMetadata(
        history_length=5,
        known_items=len(terms),
        sizes=FeatureSizes(items=rows, queries=6, tokens=5, attributes=7),
        tasks=tasks,
        evaluation=evaluation,
        seed=seed,
        item_count=counts[:rows],
    ).save(target)
    return root
