"""`seminar-tf experiment`: datasets x rankers x seeds, with a report."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console

from seminar_tf.cli.console import quiet_native_logs
from seminar_tf.config.experiment import ExperimentConfig
from seminar_tf.config_io import ConfigError, from_yaml


@click.command("experiment")
@click.option("--config", "config_path", required=True, type=click.Path(path_type=Path), help="Experiment, YAML.")
@click.option("--data", "data", multiple=True, metavar="NAME=DIR", help="Tables of a dataset; may be repeated.")
@click.option("--only", multiple=True, metavar="NAME", help="Only this dataset; may be repeated.")
@click.option("--root", help="Folder for all outputs; in place of root.")
@click.option("--jobs", type=click.IntRange(0), help="Processes at once, a core each; in place of jobs.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any other key, such as seeds=[1].")
def command(
    config_path: Path,
    data: tuple[str, ...],
    only: tuple[str, ...],
    root: str | None,
    jobs: int | None,
    overrides: tuple[str, ...],
) -> None:
    """Train, rank and compare every row, and write a report.

    What an earlier run finished is taken from it; one that was killed goes on. A row that fails is reported and stops
    no other; the exit status is 1 then.
    """
    named = {"root": root, "jobs": jobs}
    overrides += tuple(f"{key}={value}" for key, value in named.items() if value is not None)
    config = from_yaml(ExperimentConfig, config_path, overrides)
    config = config.only(only) if only else config
    tables = {}
    for text in data:
        name, equals, folder = text.partition("=")
        if not equals or not folder:
            raise ConfigError(f"--data {text!r}: expected NAME=DIR, such as ml-1m=runs/ml-1m/data.")
        tables[name] = folder
    console = Console()
    quiet_native_logs()
    from pipelines.experiment.plan import Plan
    from pipelines.experiment.run import print_summary, run_experiment

    finished = run_experiment(Plan(config, config_path.parent, tables), console)
    print_summary(console, finished)
    if finished.failed:
        sys.exit(1)
