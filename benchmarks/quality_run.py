"""One model of benchmarks/quality.py: the pipeline's own Trainers over one ingestion, and its rank of every user.

Each stage is left on disk under a name of all that it depends on, so that a run that was killed goes on where it was
and rows that share a pretraining share its result.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np

import seminar_tf  # noqa: F401  (settles the Keras version before TFX loads TensorFlow)

# isort: split
from pipelines.fingerprint import code_fingerprint
from pipelines.local_runner import LocalRunner
from pipelines.pipeline import create_pipeline
from pipelines.trainers import psu, seminar
from pipelines.trainers.common import write_staged
from seminar_tf.config import EvaluationConfig, PipelineConfig
from seminar_tf.config_io import to_json
from seminar_tf.data.dataset import describe
from seminar_tf.evaluation.saved_model import SavedModelRanker
from seminar_tf.features import names
from seminar_tf.features.npz import save_npz
from seminar_tf.training.ranking import TargetMetrics, target_metrics
from seminar_tf.training.records import list_files, record_dataset
from seminar_tf.training.requests import load_requests, load_users
from seminar_tf.training.state import state_key

import tensorflow as tf  # isort: skip

# Seed of the sampled candidates: the same for every model, so that they are compared on the same lists.
CANDIDATE_SEED = 1
_CODE = ("seminar_tf", "pipelines/trainers")


@dataclass(frozen=True)
class Transformed:
    """What Trainers read.

    Attributes:
      examples: folder of `Split-<split>` folders.
      graph: the TransformGraph's folder.
    """

    examples: Path
    graph: Path

    def files(self, split: str) -> list[str]:
        """The transformed files of a split."""
        return list_files([str(self.examples / f"Split-{split}" / "*")])


def ingest(config: PipelineConfig) -> Transformed:
    """Runs the pipeline up to Transform; what an earlier run made is taken from TFX's cache."""
    runner = LocalRunner(until="Transform")
    runner.run(create_pipeline(config))
    outputs = runner.results[-1].outputs
    return Transformed(Path(outputs["transformed_examples"][0].uri), Path(outputs["transform_graph"][0].uri))


def without_targets(data: Transformed, held_out: np.ndarray, work: Path) -> Transformed:
    """The same examples, but no train target is one of some items: they stay in histories, and in pretraining.

    Args:
      data: the examples.
      held_out: (n,) item ids.
      work: folder in which the copy is made, under a name of both.
    """
    folder = work / f"without-{state_key(str(data.examples), [str(item) for item in held_out.tolist()])}"
    if not folder.exists():
        write_staged(folder, lambda staged: _drop_targets(data, set(held_out.tolist()), staged))
    return replace(data, examples=folder)


def _drop_targets(data: Transformed, held_out: set[int], folder: Path) -> None:
    for split in names.SPLITS:
        target = folder / f"Split-{split}"
        if split != "train":
            target.symlink_to((data.examples / target.name).resolve())
            continue
        target.mkdir()
        for file in data.files(split):
            options = tf.io.TFRecordOptions(compression_type="GZIP")
            with tf.io.TFRecordWriter(str(target / Path(file).name), options) as out:
                for record in record_dataset([file]).as_numpy_iterator():
                    out.write(_without(record, held_out))


def _without(record: bytes, held_out: set[int]) -> bytes:
    example = tf.train.Example.FromString(record)
    feature = example.features.feature
    kept = [n for n, item in enumerate(feature[names.TARGET_ITEM_ID].int64_list.value) if item not in held_out]
    for name, value in feature.items():
        if name.startswith(("target_", "label_")):
            values = getattr(value, value.WhichOneof("kind") or "int64_list").value
            values[:] = [values[n] for n in kept]
    return example.SerializeToString(deterministic=True)


def pretrained_folder(config: PipelineConfig, data: Transformed, folder: Path) -> Path:
    """Where a PSU's result lies: configurations that pretrain alike share it."""
    # Pretraining reads no target and none of fine-tuning's switches.
    key = state_key("psu", to_json(_pretraining(config)), str(data.graph), code_fingerprint(*_CODE))
    return folder / f"psu-{key}"


def pretrained(config: PipelineConfig, data: Transformed, folder: Path) -> Path:
    """Trains the PSU. Returns its SavedModel's folder."""
    return _trained("psu", config, data, pretrained_folder(config, data, folder), "")


def _pretraining(config: PipelineConfig) -> PipelineConfig:
    model = replace(config.model, top_k=1, short_length=0, serving_history_length=1, hidden_units=(1,))
    return PipelineConfig(seed=config.seed, features=config.features, model=model, psu=config.psu)


def fine_tuned(config: PipelineConfig, data: Transformed, base: Path, folder: Path) -> Path:
    """Trains SEMINAR on a PSU. Returns its SavedModel's folder."""
    key = state_key("seminar", to_json(config), str(data.examples), str(base), code_fingerprint(*_CODE))
    return _trained("seminar", config, data, folder / f"seminar-{key}", str(base))


def _trained(stage: str, config: PipelineConfig, data: Transformed, folder: Path, base: str) -> Path:
    model = folder / "model"
    if not model.exists():
        run = {"psu": psu.run_fn, "seminar": seminar.run_fn}[stage]
        staged = folder / "model.partial"
        custom = {
            "config": to_json(config),
            "dataset": to_json(describe(config.data.path)),
            "state_dir": str(folder / "state"),
            "code": code_fingerprint(*_CODE),
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


def training_report(model: Path) -> dict[str, float]:
    """Seconds and eval metrics of the Trainer that wrote a model."""
    report = json.loads((model.parent / "log" / "training.json").read_text())
    return {"seconds": report["seconds"], **report["eval"]}


def user_ranks(model: Path, data: Transformed, evaluation: EvaluationConfig, split: str) -> TargetMetrics:
    """Ranks every user's target of a split by a SavedModel; kept beside the model.

    Raises:
      ValueError: no target of the split is positive.
    """
    kept = model.parent / f"{split}-{state_key(to_json(evaluation), str(CANDIDATE_SEED))[:12]}.npz"
    if not kept.exists():
        found = _ranked(model, data, evaluation, split)
        save_npz(kept, {"users": found.users, "items": found.items, **found.values})
    with np.load(kept) as arrays:
        values = {name: arrays[name] for name in arrays.files if name not in ("users", "items")}
        return TargetMetrics(arrays["users"], arrays["items"], values)


def _ranked(model: Path, data: Transformed, evaluation: EvaluationConfig, split: str) -> TargetMetrics:
    ranker = SavedModelRanker(model)
    metadata = ranker.metadata
    visible = {s: data.files(s) for s in names.SEGMENT_SPLITS}
    users = load_users(visible, split, metadata.tasks, evaluation.max_requests, CANDIDATE_SEED)
    requests = load_requests(users, metadata.tasks.index(metadata.primary_task), ranker.history_length)
    found = target_metrics(ranker, requests, metadata.catalog, evaluation, CANDIDATE_SEED, split, metadata.item_count)
    if found is None:
        raise ValueError(f"no target of split {split} in {data.examples} is positive: there is nothing to rank.")
    return found
