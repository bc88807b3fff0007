"""The pipeline for the `tfx` command line, engine `local`.

The command line executes this file as `__main__` and gives it no arguments, so the configuration comes from the
environment:

  SEMINAR_CONFIG=pipelines/configs/demo.yaml tfx pipeline create --engine local --pipeline_path <this file>
  SEMINAR_CONFIG=pipelines/configs/demo.yaml tfx run create --engine local --pipeline_name demo
"""

from __future__ import annotations

import os
from pathlib import Path

from tfx.orchestration.local.local_dag_runner import LocalDagRunner

from pipelines.pipeline import create_pipeline
from seminar_tf.config import PipelineConfig
from seminar_tf.config_io import ConfigError, from_yaml

CONFIG_VARIABLE = "SEMINAR_CONFIG"


def run() -> None:
    """Builds the pipeline that SEMINAR_CONFIG names and runs it with TFX's own local runner.

    Raises:
      ConfigError: SEMINAR_CONFIG is not set, or its file is unusable.
    """
    path = os.environ.get(CONFIG_VARIABLE)
    if not path:
        configs = Path(__file__).parent / "configs"
        raise ConfigError(f"set {CONFIG_VARIABLE} to a pipeline configuration, one of {configs}/*.yaml or your own.")
    LocalDagRunner().run(create_pipeline(from_yaml(PipelineConfig, path)))


if __name__ == "__main__":
    run()
