"""`seminar-tf`: one sub-command a file, imported only when it is called, so that `--help` answers at once."""

from __future__ import annotations

import importlib
import sys

import click
from rich.console import Console

from seminar_tf import __version__
from seminar_tf.config_io import ConfigError
from seminar_tf.data.errors import DatasetError

# Sub-command: (module under seminar_tf.cli with a click command named `command`, one line of help).
_COMMANDS = {
    "generate": ("generate", "Write a synthetic dataset of any size, with what the ideal ranker would reach."),
    "prepare": ("prepare", "Turn a published dataset into the canonical tables."),
    "run": ("run", "Run the whole pipeline from a config, with progress."),
    "operate": ("operate", "Run every span that has come since the last one: the daily run."),
    "rollback": ("rollback", "Take a pushed version back and serve the one before."),
    "skew": ("skew", "Compare what a model is trained on with what it is served."),
    "compile": ("compile", "Compile the pipeline for Kubeflow Pipelines or Vertex AI."),
    "experiment": ("experiment", "Compare rankers over datasets and seeds, and write a report."),
    "predict": ("predict", "Rank items for a real user over gRPC and print the titles."),
    "serve": ("serve", "Serve a pushed model over gRPC, with TensorFlow Serving's API."),
    "gateway": ("gateway", "Keep histories and rank with them over gRPC."),
    "delete-users": ("delete_users", "Delete users from a gateway's store of histories."),
    "expire-events": ("expire_events", "Delete old events from a gateway's store of histories."),
    "bench": ("bench", "Measure a server under load: rate, latencies, errors."),
    "demo": ("demo", "Generate data, run the pipeline, answer a request: the tour."),
}


class _LazyGroup(click.Group):
    """Imports a sub-command's module on first use: TensorFlow alone takes seconds."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        loaded: click.Command = importlib.import_module(f"seminar_tf.cli.{_COMMANDS[name][0]}").command
        return loaded

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # click's own version would import every sub-command for its help line.
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.command(cls=_LazyGroup, no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="seminar-tf")
def cli() -> None:
    """SEMINAR on TensorFlow: data, training, evaluation and serving."""


def main() -> None:
    """Entry point: errors that a person can mend are printed as one message, without a traceback."""
    try:
        cli()
    except (ConfigError, DatasetError) as error:
        # Markup would swallow a path with [brackets] in it.
        Console(stderr=True).print("error:", str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
