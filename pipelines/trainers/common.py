"""What the two Trainers share: their inputs, their state folder, their report."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.trainers import warm
from seminar_tf.config import PipelineConfig, TrainConfig
from seminar_tf.config_io import from_json, to_json
from seminar_tf.data.dataset import DatasetSpec, uses_requests
from seminar_tf.features import names
from seminar_tf.features.tables import ItemFeatures, QueryFeatures
from seminar_tf.features.vocabulary import FeatureSizes, feature_sizes, read_vocabulary
from seminar_tf.memory import keep_freed_memory
from seminar_tf.training.catalog import load_items, load_queries
from seminar_tf.training.loop import TrainingResult, make_deterministic
from seminar_tf.training.records import RecordError, list_files, split_patterns
from seminar_tf.training.state import state_key
from seminar_tf.training.strategy import Task, is_server, make_strategy, read_task, serve

logger = logging.getLogger(__name__)

REPORT = "training.json"


@dataclass(frozen=True)
class TrainerInputs:
    """What TFX gave a Trainer, resolved.

    Attributes:
      stage: psu or seminar.
      config: the pipeline's configuration, as far as this stage depends on it.
      spec: the dataset.
      files: transformed files by split.
      transform_dir: the TransformGraph artifact's folder.
      base_model: the PSU's SavedModel folder; "" for the PSU itself.
      warm_model: folder of the earlier model of this stage that training starts from; "" starts from scratch.
      output_dir: SavedModel to write.
      run_dir: TensorBoard logs and training.json go here.
      state_dir: this run's own state folder, named by all that its result depends on.
    """

    stage: str
    config: PipelineConfig
    spec: DatasetSpec
    files: dict[str, list[str]]
    transform_dir: str
    base_model: str
    warm_model: str
    output_dir: Path
    run_dir: Path
    state_dir: Path

    @property
    def train(self) -> TrainConfig:
        """The stage's section of the configuration; its epochs are those of a warm start where this is one."""
        section = self.config.psu if self.stage == "psu" else self.config.seminar
        if self.warm_model and section.warm_epochs >= 0:
            return replace(section, epochs=section.warm_epochs)
        return section

    @property
    def sizes(self) -> FeatureSizes:
        """Rows of the id spaces."""
        return feature_sizes(self.transform_dir, self.config.features)

    @property
    def uses_requests(self) -> bool:
        """Whether targets are candidates of logged requests, not events."""
        return uses_requests(self.config.data, self.spec)

    def items(self) -> ItemFeatures:
        """Loads the catalog."""
        return load_items(self.files["catalog"], self.sizes, self.config.features, self.spec)

    def queries(self) -> QueryFeatures:
        """Loads the known queries."""
        return load_queries(self.files["queries"], self.sizes, self.config.features)


def trainer_inputs(fn_args: Any, stage: str) -> TrainerInputs:
    """Resolves TFX's arguments.

    Args:
      fn_args: tfx.components.FnArgs; custom_config has `config`, `dataset`, `state_dir` and `code`, and `warm_model`
        where there is an earlier model to start from.
      stage: psu or seminar.

    Raises:
      ValueError: custom_config lacks a key.
      RecordError: a split that training needs has no file.
      WarmStartError: the earlier model is built otherwise, and the configuration says to refuse it.
    """
    custom = dict(fn_args.custom_config or {})
    missing = sorted({"config", "dataset", "state_dir", "code"} - set(custom))
    if missing:
        raise ValueError(f"Trainer {stage}: custom_config lacks {', '.join(missing)}; pipelines/pipeline.py sets it.")
    config = from_json(PipelineConfig, custom["config"])
    spec = from_json(DatasetSpec, custom["dataset"])
    files = {split: _files(fn_args.train_files, split) for split in names.SPLITS}
    for split in ("train", "catalog"):
        if not files[split]:
            raise RecordError(f"no file of split {split} beside {', '.join(fn_args.train_files)}.")
    base_model = str(fn_args.base_model or "")
    described = [f"{file}:{os.path.getsize(file)}" for split in names.SPLITS for file in files[split]]
    warm_model = warm.usable(custom.get("warm_model", ""), stage, config, spec)
    key = state_key(
        stage,
        to_json(config),
        to_json(spec),
        described,
        str(fn_args.transform_graph_path),
        base_model,
        custom["code"],
        warm_model,
    )
    return TrainerInputs(
        stage=stage,
        config=config,
        spec=spec,
        files=files,
        transform_dir=str(fn_args.transform_graph_path),
        base_model=base_model,
        warm_model=warm_model,
        output_dir=Path(fn_args.serving_model_dir),
        run_dir=Path(fn_args.model_run_dir),
        state_dir=Path(custom["state_dir"]) / stage / key,
    )


def start(inputs: TrainerInputs) -> tuple[Task, tf.distribute.Strategy]:
    """Settles determinism and the strategy of this process, before any op runs.

    In a process that only serves a chief (`parameter_server`'s workers and servers) it does not return.

    Raises:
      seminar_tf.training.strategy.ClusterError: the strategy needs another TF_CONFIG.
    """
    name = inputs.train.strategy
    task = read_task(name)
    if is_server(name, task):
        serve(task)
    make_deterministic(inputs.config.seed)
    keep_freed_memory()
    return task, make_strategy(name, task)


@contextmanager
def precision(config: TrainConfig) -> Iterator[None]:
    """Keras' compute type while a model is built, trained and exported."""
    policy = "float32"
    if config.mixed_precision:
        policy = "mixed_float16" if tf.config.list_physical_devices("GPU") else "mixed_bfloat16"
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(before)


def write_staged(target: Path, write: Callable[[Path], None]) -> None:
    """Lets `write` fill a folder beside `target`, then renames it, in the place of
    any old one: the target appears whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = target.with_name(f".{target.name}.part-{os.getpid()}")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir()
    write(staged)
    shutil.rmtree(target, ignore_errors=True)
    os.replace(staged, target)


def write_report(inputs: TrainerInputs, result: TrainingResult, resumed: bool) -> None:
    """Writes training.json: earlier model, epochs, steps, rows, losses, seconds, eval metrics, each epoch's record."""
    report = {"stage": inputs.stage, "warm_start": inputs.warm_model, "resumed": resumed, **asdict(result)}
    inputs.run_dir.mkdir(parents=True, exist_ok=True)
    partial = inputs.run_dir / f".{REPORT}.part"
    partial.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, inputs.run_dir / REPORT)


def item_labels(inputs: TrainerInputs, items: ItemFeatures, ids: np.ndarray) -> list[str]:
    """What people see of items in the projector: the item id and the words of its title and text.

    Args:
      inputs: of the Trainer.
      items: the catalog.
      ids: (n,) ids of known items.
    """
    item_ids = read_vocabulary(inputs.transform_dir, names.ITEM_VOCABULARY)
    tokens = read_vocabulary(inputs.transform_dir, names.TOKEN_VOCABULARY)
    labels = []
    for item in ids.tolist():
        words = [tokens[t - names.FIRST_TOKEN_ID] for t in items.tokens[item] if 0 < t <= len(tokens)]
        labels.append(" ".join([item_ids[item - names.FIRST_ITEM_ID], *words]))
    return labels


def _files(patterns: list[str], split: str) -> list[str]:
    """Files of a split; none where Transform wrote none (a dataset without search has no queries)."""
    try:
        return list_files(split_patterns(patterns, split))
    except RecordError:
        if split in ("train", "catalog"):
            raise
        return []
