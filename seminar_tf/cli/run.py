"""`seminar-tf run`: the whole pipeline on this machine."""

from __future__ import annotations

import sys

import click
from rich.console import Console

from seminar_tf.cli.console import quiet_native_logs
from seminar_tf.config import PipelineConfig
from seminar_tf.config_io import from_yaml


@click.command("run")
@click.option("--config", "config_path", required=True, type=click.Path(), help="Pipeline configuration, YAML.")
@click.option("--data", help="Dataset folder; in place of data.path.")
@click.option("--root", help="Folder for all outputs; in place of root.")
@click.option("--seed", type=int, help="In place of seed.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any other key, such as psu.epochs=2.")
@click.option("--no-cache", is_flag=True, help="Run every component, whatever earlier runs left.")
@click.option("--verbose", is_flag=True, help="Print log records too.")
def command(
    config_path: str,
    data: str | None,
    root: str | None,
    seed: int | None,
    overrides: tuple[str, ...],
    no_cache: bool,
    verbose: bool,
) -> None:
    """Run every component, from raw tables to a pushed model.

    A second run takes from TFX's cache whatever has not changed; a run that was killed goes on where it stopped.
    """
    named = {"data.path": data, "root": root, "seed": seed}
    overrides += tuple(f"{key}={value}" for key, value in named.items() if value is not None)
    config = from_yaml(PipelineConfig, config_path, overrides)
    console = Console()
    quiet_native_logs()
    with console.status("loading TensorFlow and TFX"):
        from pipelines.local_runner import ComponentError
        from pipelines.run import print_summary, run_pipeline
    try:
        report = run_pipeline(config, console, enable_cache=not no_cache, verbose=verbose)
    except ComponentError:
        sys.exit(1)
    print_summary(console, report, config)
