"""A model's metadata survives a save, and a model without it says so."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from seminar_tf.config import EvaluationConfig
from seminar_tf.export.metadata import COUNTS_FILE, FOLDER, JSON_FILE, MetadataError, ModelMetadata
from seminar_tf.features.vocabulary import FeatureSizes


def make(**changes: object) -> ModelMetadata:
    values: dict = {
        "history_length": 20,
        "known_items": 5,
        "sizes": FeatureSizes(items=8, queries=4, tokens=9, attributes=3),
        "tasks": ("like", "click"),
        "evaluation": EvaluationConfig(candidates="sampled", negatives=3, cutoffs=(1, 10)),
        "seed": 7,
        "item_count": np.arange(8),
    }
    return ModelMetadata(**{**values, **changes})


def test_round_trip(tmp_path: Path) -> None:
    saved = make()
    saved.save(tmp_path / "model")
    loaded = ModelMetadata.load(tmp_path / "model")
    for field in dataclasses.fields(ModelMetadata):
        np.testing.assert_array_equal(getattr(loaded, field.name), getattr(saved, field.name))
    assert loaded.primary_task == "click"
    assert loaded.catalog.tolist() == [1, 2, 3, 4, 5]
    assert {p.name for p in (tmp_path / "model" / FOLDER).iterdir()} == {JSON_FILE, COUNTS_FILE}


def test_first_task_is_primary_without_click() -> None:
    assert make(tasks=("like", "share")).primary_task == "like"


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"item_count": np.zeros(3)}, "one row an item id"), ({"known_items": 8}, "known_items"), ({"tasks": ()}, "head")],
)
def test_inconsistent_metadata_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(MetadataError, match=message):
        make(**changes)


@pytest.mark.parametrize("name", [JSON_FILE, COUNTS_FILE])
def test_missing_or_broken_file_is_named(tmp_path: Path, name: str) -> None:
    make().save(tmp_path)
    (tmp_path / FOLDER / name).write_text("{}")
    with pytest.raises(MetadataError, match="unreadable"):
        ModelMetadata.load(tmp_path)
    (tmp_path / FOLDER / name).unlink()
    with pytest.raises(MetadataError, match=f"{name} does not exist"):
        ModelMetadata.load(tmp_path)
