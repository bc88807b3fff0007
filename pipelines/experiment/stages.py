"""The jobs that train and rank: the pipeline's own Trainers over one ingestion. They run in worker processes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np

import seminar_tf  # noqa: F401  (settles the Keras version before TensorFlow loads)

# isort: split
from pipelines.experiment.floors import floor
from pipelines.experiment.layout import (
    CANDIDATE_SEED,
    MODEL,
    Asked,
    Transformed,
    fine_tuned_folder,
    pretrained_folder,
)
from pipelines.trainers import psu, seminar
from seminar_tf.config import PipelineConfig
from seminar_tf.config_io import to_json
from seminar_tf.data.dataset import describe
from seminar_tf.evaluation.protocol import RankingModel
from seminar_tf.evaluation.requests import Request
from seminar_tf.evaluation.saved_model import SavedModelRanker
from seminar_tf.export.metadata import primary_of
from seminar_tf.features import names
from seminar_tf.features.npz import save_npz
from seminar_tf.training.ranking import target_metrics
from seminar_tf.training.requests import load_requests, load_users


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


def train_row(config: PipelineConfig, data: Transformed, models: Path, asked: Sequence[Asked]) -> None:
    """Trains the ranker of a row and ranks what is asked; what is there already is left alone."""
    model = fine_tuned(config, data, models)
    missing = [one for one in asked if not one.ranks_file(model.parent).exists()]
    if missing:
        ranker = SavedModelRanker(model)
        known = ranker.metadata
        for one in missing:
            requests = split_requests(data, known.tasks, one)
            save_ranks(ranker, requests, known.catalog, known.item_count, one, one.ranks_file(model.parent))


def rank_floor(name: str, config: PipelineConfig, data: Transformed, folder: Path, asked: Sequence[Asked]) -> None:
    """Ranks what is asked with a ranker that needs no training."""
    spec = describe(config.data.path)
    ranker, catalog, counts = floor(name, data, config, spec)
    folder.mkdir(parents=True, exist_ok=True)
    for one in asked:
        save_ranks(ranker, split_requests(data, spec.tasks, one), catalog, counts, one, one.ranks_file(folder))


def split_requests(data: Transformed, tasks: Sequence[str], asked: Asked) -> list[Request]:
    """The requests of a split, the same whichever model ranks.

    Args:
      data: transformed examples.
      tasks: label tasks; the targets' labels are the primary one's.
      asked: which split, how many, how much history.
    """
    visible = {s: data.files(s) for s in names.SEGMENT_SPLITS}
    users = load_users(visible, asked.split, tuple(tasks), asked.evaluation.max_requests, CANDIDATE_SEED)
    return load_requests(users, tasks.index(primary_of(tasks)), asked.history_length)


def save_ranks(
    ranker: RankingModel, requests: list[Request], catalog: np.ndarray, counts: np.ndarray, asked: Asked, path: Path
) -> None:
    """Ranks every positive target and writes the metrics of each.

    Args:
      ranker: any.
      requests: of the split.
      catalog: ids of all real items.
      counts: train pairs by item id, by which popular candidates are drawn.
      asked: what is ranked.
      path: file to write.

    Raises:
      ValueError: no target is positive.
    """
    found = target_metrics(ranker, requests, catalog, asked.evaluation, CANDIDATE_SEED, asked.split, counts)
    if found is None:
        raise ValueError(
            f"no target of split {asked.split} is positive: there is nothing to rank. Are there users with 3 events "
            "or more?"
        )
    save_npz(path, {"users": found.users, "items": found.items, **found.values})
