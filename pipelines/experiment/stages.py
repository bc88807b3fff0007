"""The jobs that train rows: the pipeline's own Trainers over one ingestion. They run in worker processes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import seminar_tf  # noqa: F401  (settles the Keras version before TensorFlow loads)

# isort: split
from pipelines.experiment.answering import answer
from pipelines.experiment.floors import floor
from pipelines.experiment.layout import MODEL, Question, Transformed, fine_tuned_folder, pretrained_folder
from pipelines.trainers import psu, seminar
from seminar_tf.config import PipelineConfig
from seminar_tf.config_io import to_json
from seminar_tf.data.dataset import describe
from seminar_tf.evaluation.saved_model import SavedModelRanker


def pretrained(config: PipelineConfig, data: Transformed, models: Path) -> Path:
    """Trains the PSU of a row, unless that is done.

    Args:
      config: of the row.
      data: what it trains on.
      models: folder of all results.

    Returns:
      Its SavedModel's folder.
    """
    return _trained("psu", config, data, pretrained_folder(config, data, models), "")


def fine_tuned(config: PipelineConfig, data: Transformed, models: Path) -> Path:
    """Trains the ranker of a row on its PSU, which is trained already. Returns its SavedModel's folder."""
    base = pretrained_folder(config, data, models) / MODEL
    return _trained("seminar", config, data, fine_tuned_folder(config, data, models), str(base))


def _trained(stage: str, config: PipelineConfig, data: Transformed, folder: Path, base: str) -> Path:
    model = folder / MODEL
    if model.exists():
        return model
    run = {"psu": psu.run_fn, "seminar": seminar.run_fn}[stage]
    staged = folder / "model.partial"
    custom = {
        "config": to_json(config),
        "dataset": to_json(describe(config.data.path)),
        "state_dir": str(folder / "state"),
        # The folder's name has the code's fingerprint: a state in it is of the same code.
        "code": folder.name,
    }
    run(
        SimpleNamespace(
            train_files=[str(data.examples / "Split-train" / "*")],
            transform_graph_path=str(data.graph),
            base_model=base,
            serving_model_dir=str(staged),
            model_run_dir=str(folder / "log"),
            custom_config=custom,
        )
    )
    os.replace(staged, model)
    return model


def train_row(config: PipelineConfig, data: Transformed, models: Path, asked: Sequence[Question]) -> None:
    """Trains the ranker of a row and answers what is asked; what is there already is left alone."""
    model = fine_tuned(config, data, models)
    missing = [one for one in asked if not one.file(model.parent).exists()]
    if missing:
        ranker = SavedModelRanker(model)
        known = ranker.metadata
        for one in missing:
            answer(one, ranker, data, known.tasks, known.catalog, known.item_count, one.file(model.parent))


def rank_floor(name: str, config: PipelineConfig, data: Transformed, folder: Path, asked: Sequence[Question]) -> None:
    """Answers what is asked with a ranker that needs no training."""
    spec = describe(config.data.path)
    ranker, catalog, counts = floor(name, data, config, spec)
    folder.mkdir(parents=True, exist_ok=True)
    for one in asked:
        answer(one, ranker, data, spec.tasks, catalog, counts, one.file(folder))
