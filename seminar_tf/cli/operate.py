"""`seminar-tf operate`: the daily run."""

from __future__ import annotations

import datetime
import sys

import click
from rich.console import Console

from seminar_tf.cli.console import quiet_native_logs
from seminar_tf.config import PipelineConfig
from seminar_tf.config_io import from_yaml


@click.command("operate")
@click.option("--config", "config_path", required=True, type=click.Path(), help="Pipeline configuration, YAML.")
@click.option("--data", help="Dataset folder; in place of data.path.")
@click.option("--root", help="Folder for all outputs; in place of root.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any other key, such as drift.action=warn."
)
@click.option("--since", type=int, help="First span to run, where none was run yet; by default the newest alone.")
@click.option("--again", is_flag=True, help="Run the last span that was run once more: its tables were mended.")
@click.option("--verbose", is_flag=True, help="Print log records too.")
def command(
    config_path: str,
    data: str | None,
    root: str | None,
    overrides: tuple[str, ...],
    since: int | None,
    again: bool,
    verbose: bool,
) -> None:
    """Run every span that has come since the last one, oldest first (docs/operations.md).

    Started again it does nothing, or goes on where it was killed. It ends at the first span that fails.
    """
    named = {"data.path": data, "root": root}
    overrides += tuple(f"{key}={value}" for key, value in named.items() if value is not None)
    config = from_yaml(PipelineConfig, config_path, overrides)
    console = Console()
    quiet_native_logs()
    with console.status("loading TensorFlow and TFX"):
        from pipelines.local_runner import ComponentError
        from pipelines.operation import OperationError, SpanRecord, operate
        from pipelines.run import print_summary, run_pipeline
        from seminar_tf.data.dataset import find_spans

    def run(span: int) -> SpanRecord:
        report = run_pipeline(config, console, verbose=verbose, span=span)
        print_summary(console, report, config)
        moment = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        return SpanRecord(span, moment, report.blessed, report.pushed or "", report.metrics["ndcg_at_10"])

    def tell(line: str) -> None:
        console.print(line, style="bold", markup=False, highlight=False, soft_wrap=True)

    try:
        operate(config.root, find_spans(config.data.path), run, tell, since, again)
    except OperationError as error:
        raise click.ClickException(str(error)) from error
    except ComponentError:
        sys.exit(1)


if __name__ == "__main__":
    command()
