"""What a SavedModel tells its evaluator and its server about itself, in files of its `assets.extra` folder.

TFX hands the Evaluator nothing but the model's path. So the facts that requests are built from (how long a history
is, which ids are real items, how often each was trained on) travel inside the model, and are those of *that* model:
a baseline trained last month is evaluated with last month's popularity counts.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from seminar_tf import config_io
from seminar_tf.config import EvaluationConfig, ModelConfig, RetrievalConfig
from seminar_tf.features import names
from seminar_tf.features.vocabulary import FeatureSizes

FOLDER = "assets.extra"
JSON_FILE = "seminar.json"
COUNTS_FILE = "item_counts.npy"
PRIMARY_TASK = "click"


def primary_of(tasks: Sequence[str]) -> str:
    """The task whose scores rank items: `click` where there is one, else the first."""
    return PRIMARY_TASK if PRIMARY_TASK in tasks else tasks[0]


class MetadataError(ValueError):
    """A SavedModel without usable metadata; the message names the file."""


@dataclass(frozen=True)
class _Stored:
    """The scalars of `ModelMetadata`, as they stand in the JSON file."""

    history_length: int
    known_items: int
    sizes: FeatureSizes
    tasks: tuple[str, ...]
    evaluation: EvaluationConfig
    seed: int
    # What models exported before these were kept lack: they can still be compared with, not restored.
    model: ModelConfig = field(default_factory=ModelConfig)
    channels: tuple[str, ...] = ()
    retrieval: RetrievalConfig = field(default_factory=RetrievalConfig)
    categories: int = 0


@dataclass(frozen=True)
class ModelMetadata:
    """Facts about an exported ranker.

    Attributes:
      history_length: L, newest pairs of the history that a request of evaluation carries.
      known_items: items with an id of their own, which are 1..known_items; the ids above are OOV buckets.
      sizes: rows of the id spaces.
      tasks: label tasks, in the order of the model's heads; each has an output `score_<task>`.
      evaluation: how the model is to be evaluated.
      seed: the run's seed, from which sampled candidates are drawn.
      item_count: (sizes.items,) int64, times each item is a pair of the train segments.
      model: the model's configuration.
      channels: item channels of the model's float tables, in order; empty for rankers without any.
      retrieval: how the model searches histories.
      categories: columns of the item categories that the model holds; 0 where it holds none.
    """

    history_length: int
    known_items: int
    sizes: FeatureSizes
    tasks: tuple[str, ...]
    evaluation: EvaluationConfig
    seed: int
    item_count: np.ndarray
    model: ModelConfig = field(default_factory=ModelConfig)
    channels: tuple[str, ...] = ()
    retrieval: RetrievalConfig = field(default_factory=RetrievalConfig)
    categories: int = 0

    def __post_init__(self) -> None:
        if self.item_count.shape != (self.sizes.items,):
            raise MetadataError(
                f"item_count has shape {self.item_count.shape}, expected ({self.sizes.items},): one row an item id."
            )
        if not 0 < self.known_items < self.sizes.items:
            raise MetadataError(
                f"known_items is {self.known_items}, expected 1 to {self.sizes.items - 1}: ids 1..known_items are the "
                "vocabulary, 0 is padding."
            )
        if not self.tasks:
            raise MetadataError("tasks is empty: the model needs at least one head.")

    @property
    def primary_task(self) -> str:
        """The task whose scores rank items, and whose labels say which targets are positive."""
        return primary_of(self.tasks)

    @property
    def catalog(self) -> np.ndarray:
        """(known_items,) int32, the ids of all real items, ascending."""
        return np.arange(names.FIRST_ITEM_ID, names.FIRST_ITEM_ID + self.known_items, dtype=np.int32)

    def save(self, saved_model: str | Path) -> None:
        """Writes both files into `<saved_model>/assets.extra`, the JSON last, so that it vouches for the counts."""
        folder = Path(saved_model) / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        counts = folder / (COUNTS_FILE + ".part")
        with counts.open("wb") as file:
            np.save(file, self.item_count.astype(np.int64))
        os.replace(counts, folder / COUNTS_FILE)
        scalars = {f.name: getattr(self, f.name) for f in dataclasses.fields(_Stored)}
        text = folder / (JSON_FILE + ".part")
        text.write_text(config_io.to_json(_Stored(**scalars)), encoding="utf-8")
        os.replace(text, folder / JSON_FILE)

    @classmethod
    def load(cls, saved_model: str | Path) -> ModelMetadata:
        """Reads what `save` wrote.

        Raises:
          MetadataError: a file is missing or does not hold what it should.
        """
        folder = Path(saved_model) / FOLDER
        try:
            stored = config_io.from_json(_Stored, (folder / JSON_FILE).read_text(encoding="utf-8"))
            counts = np.load(folder / COUNTS_FILE, allow_pickle=False)
        except FileNotFoundError as error:
            raise MetadataError(
                f"{error.filename} does not exist: {saved_model} was not exported by seminar_tf.export."
            ) from None
        except (ValueError, TypeError) as error:
            raise MetadataError(f"{folder}: unreadable metadata ({error}). Export the model again.") from error
        return cls(item_count=counts, **{f.name: getattr(stored, f.name) for f in dataclasses.fields(_Stored)})
