"""Files of the examples artifact, each written beside its place and renamed."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

import seminar_tf  # noqa: F401  (settles Keras before TensorFlow loads)

# isort: split
import tensorflow as tf

from components.behavior_example_gen import arrow
from seminar_tf.data.dead_letter import DeadLetterWriter

REJECTED_FOLDER = "rejected"
SUMMARY_FILE = "summary.json"
# The default level takes twice the time for a tenth less bytes.
_GZIP = tf.io.TFRecordOptions("GZIP", compression_level=1)


class WriteShard(beam.DoFn):
    """Writes a partition's examples of one split as a gzip TFRecord file, whose name tells the partition.

    The order of records depends on the data alone: TFX's own writer shuffles, and training would then differ from
    run to run.
    """

    def __init__(self, folder: str, partitions: int) -> None:
        self._folder = folder
        self._partitions = partitions

    def process(self, element: tuple[int, list[bytes]]) -> Iterator[int]:
        """Args:
        element: partition and its examples.

        Yields:
          Number of examples.
        """
        number, examples = element
        final = os.path.join(self._folder, f"data_tfrecord-{number:05d}-of-{self._partitions:05d}.gz")
        # Beside the split's folder: readers take every file in it.
        staged = f"{self._folder}.staged-{number:05d}-{uuid.uuid4().hex}"
        tf.io.gfile.makedirs(self._folder)
        with tf.io.TFRecordWriter(staged, options=_GZIP) as writer:
            for example in examples:
                writer.write(example)
        tf.io.gfile.rename(staged, final, overwrite=True)
        yield len(examples)


class WriteDeadLetters(beam.DoFn):
    """Writes the dead letters of one table as one Parquet file, sorted by file and row."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def process(self, element: tuple[str, Iterable[pa.Table]]) -> Iterator[int]:
        """Args:
        element: canonical table's name and its dead letters.

        Yields:
          Number of rows.
        """
        name, pieces = element
        keys = [("source", "ascending"), ("row_number", "ascending"), ("reason", "ascending")]
        rejected = pa.concat_tables(list(pieces)).sort_by(keys)
        with DeadLetterWriter(self._folder, name) as writer:
            writer.write(rejected)
        yield rejected.num_rows


class SplitByTable(beam.DoFn):
    """Dead letters as (table, rows)."""

    def process(self, piece: bytes) -> Iterator[Any]:
        """Args:
        piece: dead letters as IPC bytes.
        """
        rejected = arrow.from_bytes([piece])
        assert rejected is not None
        for name in rejected["table"].unique().to_pylist():
            yield name, rejected.filter(pc.equal(rejected["table"], name))


def write_json(path: str, value: dict[str, int]) -> None:
    """Writes a small JSON file, staged and renamed."""
    staged = f"{path}.staged-{uuid.uuid4().hex}"
    with tf.io.gfile.GFile(staged, "w") as file:
        file.write(json.dumps(value, indent=2, sort_keys=True) + "\n")
    tf.io.gfile.rename(staged, path, overwrite=True)


def read_json(path: str) -> dict[str, int]:
    """What `write_json` wrote."""
    with tf.io.gfile.GFile(path) as file:
        found: dict[str, int] = json.load(file)
    return found
