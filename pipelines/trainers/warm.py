"""A Trainer that starts from an earlier model of its stage: which one fits, and how its weights get in.

The PSU's artifact holds what that needs in the folder `warm_start`: every weight, the configuration, and the
vocabularies. A ranker's SavedModel has all of it already.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import tensorflow as tf

from seminar_tf.config import ModelConfig, PipelineConfig
from seminar_tf.config_io import from_json, to_json
from seminar_tf.data.dataset import DatasetSpec
from seminar_tf.export.metadata import ModelMetadata
from seminar_tf.export.ranker_module import served_variables
from seminar_tf.export.restored import restore_ranker
from seminar_tf.features import names
from seminar_tf.features.npz import save_npz
from seminar_tf.features.vocabulary import FeatureSizes, vocabulary_path
from seminar_tf.models.id_rows import SPACES, IdSpace, read_spaces
from seminar_tf.models.psu import PSU
from seminar_tf.models.table_ranker import TableRanker
from seminar_tf.models.warm_start import (
    WarmStartError,
    copy_weights,
    differences,
    psu_tables,
    spaces_between,
    start_from,
    start_ranker,
)
from seminar_tf.training.strategy import Task, is_replicated

logger = logging.getLogger(__name__)

FOLDER = "warm_start"
_FACTS, _WEIGHTS, _VOCABULARIES = "psu.json", "weights.npz", "vocabularies"
_ADVICE = "Set continuous.warm_start to off for one run, or continuous.other_architecture to cold."
M = TypeVar("M", bound=tf.keras.Model)


@dataclass(frozen=True)
class PsuFacts:
    """What a PSU was built from, as it stands in its artifact.

    Attributes:
      model: its configuration.
      sizes: rows of its id spaces.
      channels: item channels that its data filled.
      numeric: numeric item columns, in order.
    """

    model: ModelConfig
    sizes: FeatureSizes
    channels: tuple[str, ...]
    numeric: tuple[str, ...]


def usable(folder: str, stage: str, config: PipelineConfig, spec: DatasetSpec) -> str:
    """The earlier model, if training can go on from it.

    Args:
      folder: of the earlier model; "" where there is none.
      stage: psu or seminar.
      config: today's configuration.
      spec: today's dataset.

    Returns:
      `folder`, or "" for a start from scratch.

    Raises:
      WarmStartError: it is built otherwise, and `continuous.other_architecture` is refuse.
    """
    if not folder:
        return ""
    try:
        wrong = _psu_differences(folder, config, spec) if stage == "psu" else _ranker_differences(folder, config, spec)
    except (OSError, ValueError) as error:
        # Missing, of before such files were written, or with keys that are no more.
        wrong = [str(error)]
    if not wrong:
        logger.info("warm start of %s from %s", stage, folder)
        return folder
    message = f"warm start of {stage} from {folder}: {'; '.join(wrong)}."
    if config.continuous.other_architecture == "refuse":
        raise WarmStartError(f"{message} {_ADVICE}")
    logger.warning("%s Training from scratch, with all epochs.", message)
    return ""


def start(model: M, build: Callable[[], M], fill: Callable[[M], None], passage: str) -> None:
    """Gives a model, under whatever strategy, its first weights.

    Args:
      model: not compiled yet.
      build: makes the same model, without a strategy.
      fill: sets the weights of a model without a strategy.
      passage: see `passage`.
    """
    if not is_replicated(model.distribute_strategy):
        fill(model)
        return
    plain = build()
    fill(plain)
    copy_weights(plain, model, passage)


def passage(state_dir: Path, task: Task) -> str:
    """Prefix of the checkpoint that weights pass through, of each process its own; it goes with the state."""
    folder = state_dir / f".warm-{task.role}-{task.index}"
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder / "weights")


def write_psu(folder: Path, model: PSU, numeric: tuple[str, ...], transform_dir: str) -> None:
    """Writes what a later PSU can start from into a PSU's artifact.

    Args:
      folder: of the artifact.
      model: trained, in plain variables.
      numeric: numeric item columns, in order.
      transform_dir: the TransformGraph artifact's folder.
    """
    vocabularies = folder / FOLDER / _VOCABULARIES
    vocabularies.mkdir(parents=True)
    for name, _ in SPACES.values():
        shutil.copyfile(vocabulary_path(transform_dir, name), vocabularies / name)
    weights = {str(n): variable.numpy() for n, variable in enumerate(served_variables(model))}
    save_npz(folder / FOLDER / _WEIGHTS, weights)
    # Keras wraps a model's tuples.
    facts = PsuFacts(model.config, model.sizes, tuple(model.channels), numeric)
    (folder / FOLDER / _FACTS).write_text(to_json(facts), encoding="utf-8")


def fill_psu(model: PSU, folder: str, transform_dir: str) -> None:
    """Sets a PSU's weights to those of an earlier one; see `seminar_tf.models.warm_start`.

    Raises:
      WarmStartError: the weights have other shapes.
    """
    earlier = Path(folder) / FOLDER
    facts = _facts(folder)
    if facts.channels != tuple(model.channels):
        # What the data can fill is known only now.
        was, now = ", ".join(facts.channels), ", ".join(model.channels)
        raise WarmStartError(f"{folder}: item channels were {was} and are {now}. {_ADVICE}")
    rows = spaces_between(read_spaces(earlier / _VOCABULARIES, facts.sizes), _today(transform_dir, model.sizes))
    with np.load(earlier / _WEIGHTS) as arrays:
        values = [arrays[str(n)] for n in range(len(arrays.files))]
    _advised(folder, lambda: start_from(served_variables(model), values, psu_tables(model), rows))


def fill_ranker(model: TableRanker, folder: str, transform_dir: str) -> None:
    """Sets a ranker's weights to those of an earlier one; see `seminar_tf.models.warm_start`.

    Raises:
      WarmStartError: the weights have other shapes, or the item channels are others.
    """
    earlier = restore_ranker(folder)
    rows = spaces_between(read_spaces(Path(folder) / "assets", earlier.sizes), _today(transform_dir, model.sizes))
    _advised(folder, lambda: start_ranker(model, served_variables(model), earlier, served_variables(earlier), rows))


def _advised(folder: str, fill: Callable[[], None]) -> None:
    try:
        fill()
    except WarmStartError as error:
        raise WarmStartError(f"warm start from {folder}: {error} {_ADVICE}") from error


def _today(transform_dir: str, sizes: FeatureSizes) -> dict[str, IdSpace]:
    return read_spaces(vocabulary_path(transform_dir, names.ITEM_VOCABULARY).parent, sizes)


def _facts(folder: str) -> PsuFacts:
    return from_json(PsuFacts, (Path(folder) / FOLDER / _FACTS).read_text(encoding="utf-8"))


def _psu_differences(folder: str, config: PipelineConfig, spec: DatasetSpec) -> list[str]:
    facts = _facts(folder)
    return differences(facts.model, config.model) + _other("numeric item columns", facts.numeric, spec.numeric)


def _ranker_differences(folder: str, config: PipelineConfig, spec: DatasetSpec) -> list[str]:
    metadata = ModelMetadata.load(folder)
    found = differences(metadata.model, config.model) + _other("label tasks", metadata.tasks, spec.tasks)
    if metadata.retrieval.train_codes != config.retrieval.train_codes:
        found.append(f"retrieval.train_codes was {metadata.retrieval.train_codes}")
    return found


def _other(what: str, was: tuple[str, ...], now: tuple[str, ...]) -> list[str]:
    return [f"{what} were {', '.join(was) or 'none'} and are {', '.join(now) or 'none'}"] if was != now else []
