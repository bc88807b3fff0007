"""`seminar-tf demo`: data, pipeline, and one request answered over gRPC."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console

from seminar_tf.cli.console import quiet_native_logs
from seminar_tf.config import PipelineConfig
from seminar_tf.config_io import from_yaml


@click.command("demo")
@click.option("--config", "config_path", default="pipelines/configs/demo.yaml", show_default=True, type=click.Path())
@click.option("--no-cache", is_flag=True, help="Run every component, whatever earlier runs left.")
def command(config_path: str, no_cache: bool) -> None:
    """Generate data, train, evaluate, push, serve, and rank for a user.

    The generator's preset has the configuration's name: demo.yaml uses preset demo.
    """
    config = from_yaml(PipelineConfig, config_path)
    console = Console()
    quiet_native_logs()
    dataset = Path(config.data.path)
    console.rule("data")
    if dataset.exists():
        console.print(f"{dataset} is there already.")
    else:
        from seminar_tf.cli import generate

        generate.command.main(["--preset", config.name, "--out", str(dataset)], standalone_mode=False)
    console.rule("pipeline")
    with console.status("loading TensorFlow and TFX"):
        from pipelines.local_runner import ComponentError
        from pipelines.run import print_summary, run_pipeline
        from pipelines.site import push_dir
    try:
        report = run_pipeline(config, console, enable_cache=not no_cache)
    except ComponentError:
        sys.exit(1)
    if not report.blessed:
        console.print("[bold red]the model was not blessed, so it was not pushed and there is none to serve[/]")
        print_summary(console, report, config)
        sys.exit(1)
    console.rule("a request over gRPC")
    from seminar_tf.cli import predict

    predict.command.main(
        ["--dataset", str(dataset), "--model-dir", str(push_dir(config)), "--model-name", config.serving.model_name],
        standalone_mode=False,
    )
    console.rule("what the run came to")
    print_summary(console, report, config)
