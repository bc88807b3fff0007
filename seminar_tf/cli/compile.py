"""`seminar-tf compile`: the pipeline as a package for a cluster."""

from __future__ import annotations

import click
from rich.console import Console

from seminar_tf.cli.console import quiet_native_logs
from seminar_tf.config import PipelineConfig
from seminar_tf.config_io import ConfigError, from_yaml


@click.command("compile")
@click.option("--engine", type=click.Choice(["kubeflow", "vertex"]), required=True, help="What the package is for.")
@click.option("--config", "config_path", required=True, type=click.Path(), help="Pipeline configuration, YAML.")
@click.option("--out", help="File to write; pipeline.yaml for kubeflow, pipeline.json for vertex.")
@click.option("--data", help="Dataset folder on this machine; in place of data.path.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any key, such as kubeflow.image=name:1.")
def command(engine: str, config_path: str, out: str | None, data: str | None, overrides: tuple[str, ...]) -> None:
    """Compile the pipeline for Kubeflow Pipelines or Vertex AI Pipelines.

    Section `kubeflow` of the configuration says where it runs. Nothing is contacted; docs/kubeflow.md and
    docs/vertex.md say how to submit what is written.
    """
    overrides += () if data is None else (f"data.path={data}",)
    config = from_yaml(PipelineConfig, config_path, overrides)
    console = Console()
    quiet_native_logs()
    with console.status("loading TensorFlow and TFX"):
        try:
            from pipelines.kubeflow_runner import compile_pipeline, write_package
        except ModuleNotFoundError as error:
            if error.name is None or not error.name.startswith("kfp"):
                raise
            raise ConfigError(
                "compile needs kfp-pipeline-spec, which is in the locks: run `make setup`, or pip install"
                " 'seminar-tf[kfp]'."
            ) from error
    job = compile_pipeline(config, engine)
    path = write_package(job, config, engine, out or ("pipeline.yaml" if engine == "kubeflow" else "pipeline.json"))
    tasks = job["pipelineSpec"]["root"]["dag"]["tasks"]
    console.print(f"{path}: {len(tasks)} tasks, image {config.kubeflow.image}", highlight=False, soft_wrap=True)
