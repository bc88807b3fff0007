"""The jobs that read datasets: the pipeline up to Transform, and copies without some train targets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

import seminar_tf  # noqa: F401  (settles the Keras version before TFX loads TensorFlow)

# isort: split
from pipelines.experiment.layout import MARKER, Transformed, held_out_folder, source_key, write_json
from pipelines.local_runner import LocalRunner
from pipelines.pipeline import create_pipeline
from pipelines.trainers.common import write_staged
from seminar_tf.config import PipelineConfig
from seminar_tf.data.errors import DatasetError
from seminar_tf.data.generator import generate, preset
from seminar_tf.features import names
from seminar_tf.training.records import record_dataset

import tensorflow as tf  # isort: skip


def ingest(config: PipelineConfig, generated: str, folder: Path) -> None:
    """Runs the pipeline up to Transform; what an earlier run made is taken from TFX's cache.

    Args:
      config: of the dataset.
      generated: the generator's preset that writes the tables where they are missing; "" for none.
      folder: for TFX's artifacts, and the marker that says where the results are.

    Raises:
      DatasetError: there are no tables, or malformed ones.
      ComponentError: a component failed.
    """
    data = Path(config.data.path)
    if not data.is_dir() and generated:
        generate(preset(generated), data)
    if not data.is_dir():
        raise DatasetError(
            f"{data} does not exist. Write the canonical tables there first (seminar-tf prepare, docs/data.md), say "
            "where they are (--data NAME=DIR), or give the dataset a `generate` preset."
        )
    # Before it is read: a file that changes meanwhile is read again next time.
    source = source_key(data)
    runner = LocalRunner(until="Transform")
    runner.run(create_pipeline(replace(config, name="ingest", root=str(folder))))
    outputs = runner.results[-1].outputs
    places = {"examples": outputs["transformed_examples"][0].uri, "graph": outputs["transform_graph"][0].uri}
    write_json(folder / MARKER, {"source": source, **places})


def hold_out(data: Transformed, folder: Path, one_in: int) -> None:
    """Copies examples so that no train target is one of some items: they stay in histories, and in pretraining.

    Args:
      data: the examples.
      folder: in which the copy is made.
      one_in: an item in so many is held out.
    """
    held_out = drawn(_catalog(data), one_in)

    def write(staged: Path) -> None:
        _drop_targets(data, set(held_out.tolist()), staged)
        np.save(staged / "held_out.npy", held_out)

    target = held_out_folder(folder, data, one_in)
    if not target.exists():
        write_staged(target, write)


def drawn(items: Iterable[int], one_in: int) -> np.ndarray:
    """About one in so many of some item ids, by their hash: (n,) int64."""
    hashes = ((item, hashlib.blake2b(b"%d" % item, digest_size=8).digest()) for item in items)
    return np.array([item for item, digest in hashes if digest[0] % one_in == 0], np.int64)


def _catalog(data: Transformed) -> list[int]:
    feature = {names.ITEM_ID: tf.io.FixedLenFeature([], tf.int64)}
    records = record_dataset(data.files("catalog")).batch(1024)
    return [
        int(item)
        for batch in records.as_numpy_iterator()
        for item in tf.io.parse_example(batch, feature)[names.ITEM_ID].numpy()
    ]


def _drop_targets(data: Transformed, held_out: set[int], folder: Path) -> None:
    for split in names.SPLITS:
        target, source = folder / f"Split-{split}", data.examples / f"Split-{split}"
        if split != "train":
            if source.exists():
                target.symlink_to(source.resolve())
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
