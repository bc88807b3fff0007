"""The job that copies a dataset's examples without the train targets of some items (the long tail)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

import seminar_tf  # noqa: F401  (settles the Keras version before TensorFlow loads)

# isort: split
from pipelines.experiment.layout import Transformed, held_out_folder
from pipelines.trainers.common import write_staged
from seminar_tf.features import names
from seminar_tf.training.records import record_dataset

import tensorflow as tf  # isort: skip


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
