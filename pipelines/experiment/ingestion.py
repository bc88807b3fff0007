"""The job that reads a dataset: the pipeline up to Transform."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import seminar_tf  # noqa: F401  (settles the Keras version before TFX loads TensorFlow)

# isort: split
from components.json_file import write_json
from pipelines.experiment.layout import MARKER, Transformed, find_ingested, ingestion_folder, source_key
from pipelines.local_runner import LocalRunner
from pipelines.pipeline import create_pipeline
from seminar_tf.config import PipelineConfig
from seminar_tf.data.errors import DatasetError
from seminar_tf.data.generator import generate, preset


def ingested(config: PipelineConfig, root: Path) -> Transformed:
    """Ingests a dataset in this process, unless that is done.

    Args:
      config: of the dataset; `data.path` is absolute.
      root: folder of all results.
    """
    folder, data = ingestion_folder(root.resolve(), config), Path(config.data.path)
    if find_ingested(folder, data) is None:
        ingest(config, "", folder)
    found = find_ingested(folder, data)
    if found is None:
        raise DatasetError(f"{data} changed while it was read. Run again.")
    return found


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
