"""Runs the Transform's function by tft_beam on raw examples in memory."""

from __future__ import annotations

import functools
import pickle
from pathlib import Path
from typing import Any

import apache_beam as beam
import tensorflow_transform.beam as tft_beam
from tfx_bsl.public.tfxio import TFExampleBeamRecord

from pipelines.schema import raw_schema
from pipelines.transform import custom_config, preprocessing_fn
from seminar_tf.config import FeatureConfig
from seminar_tf.data.dataset import DatasetSpec


def transform(
    examples: list[bytes],
    out: Path,
    dataset: DatasetSpec,
    features: FeatureConfig,
    batch_size: int = 0,
    function: Any = None,
) -> list[dict[str, Any]]:
    """Analyzes and transforms examples of all splits together.

    Args:
      examples: raw tf.Examples.
      out: becomes the TransformGraph folder.
      dataset: fixes the schema.
      features: vocabulary settings.
      batch_size: examples of a batch; 0 takes all at once.
      function: instead of the pipeline's whole preprocessing_fn, which takes seconds to trace.

    Returns:
      Transformed examples in input order, lists by feature.
    """
    source = TFExampleBeamRecord(physical_format="inmem", schema=raw_schema(dataset), telemetry_descriptors=["test"])
    function = function or functools.partial(preprocessing_fn, custom_config=custom_config(features))
    with beam.Pipeline(argv=["--runner=FnApiRunner"]) as pipeline, tft_beam.Context(temp_dir=str(out / "tmp")):
        raw = (
            pipeline
            | beam.Create(examples, reshuffle=False)
            | source.BeamSource(batch_size=batch_size or len(examples))
        )
        (made, _), graph = (raw, source.TensorAdapterConfig()) | tft_beam.AnalyzeAndTransformDataset(function)
        _ = graph | tft_beam.WriteTransformFn(str(out))
        _ = made | beam.combiners.ToList() | beam.Map(lambda rows: (out / "rows").write_bytes(pickle.dumps(rows)))
    found: list[dict[str, Any]] = pickle.loads((out / "rows").read_bytes())
    return found
