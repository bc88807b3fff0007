"""`seminar-tf rollback`: back to the version before."""

from __future__ import annotations

import click

from seminar_tf.cli.console import quiet_native_logs
from seminar_tf.config import PipelineConfig
from seminar_tf.config_io import from_yaml


@click.command("rollback")
@click.option("--config", "config_path", required=True, type=click.Path(), help="Pipeline configuration, YAML.")
@click.option("--root", help="Folder for all outputs; in place of root.")
@click.option("--version", type=click.IntRange(1), help="The version to take back; by default the newest.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any other key, as the runs had it.")
def command(config_path: str, root: str | None, version: int | None, overrides: tuple[str, ...]) -> None:
    """Take a pushed version back: servers go to the one before, and no model starts from it (docs/operations.md)."""
    overrides += () if root is None else (f"root={root}",)
    config = from_yaml(PipelineConfig, config_path, overrides)
    quiet_native_logs()
    from ml_metadata import MetadataStore
    from tfx.orchestration import metadata

    from pipelines.operation import OperationError, alone
    from pipelines.pipeline import metadata_path
    from pipelines.rollback import RollbackError, withdraw
    from pipelines.site import push_dir

    path = metadata_path(config)
    if not path.exists():
        raise click.ClickException(f"there is no {path}: nothing was ever run with this root.")
    try:
        with alone(config.root):
            store = MetadataStore(metadata.sqlite_metadata_connection_config(str(path)))
            done = withdraw(push_dir(config), store, version)
    except (OperationError, RollbackError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(
        f"version {done.version} withdrawn, {done.unblessed} blessings taken back; {done.serves} is the newest now"
    )


if __name__ == "__main__":
    command()
