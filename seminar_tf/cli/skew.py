"""`seminar-tf skew`: training features against serving features."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from seminar_tf.cli.console import quiet_native_logs
from seminar_tf.config import PipelineConfig
from seminar_tf.config_io import from_yaml


@click.command("skew")
@click.option("--config", "config_path", required=True, type=click.Path(), help="Pipeline configuration, YAML.")
@click.option("--data", help="Dataset folder; in place of data.path.")
@click.option("--root", help="Folder for all outputs; in place of root.")
@click.option("--requests", default=100, show_default=True, type=click.IntRange(1), help="About how many are compared.")
@click.option("--seed", default=0, show_default=True, help="Of the sample.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any other key, as the runs had it.")
def command(
    config_path: str, data: str | None, root: str | None, requests: int, seed: int, overrides: tuple[str, ...]
) -> None:
    """Take test requests of the last pushed model down both roads, training's and serving's, and compare.

    Ends with 1 where a feature or a score differs (docs/operations.md).
    """
    named = {"data.path": data, "root": root}
    overrides += tuple(f"{key}={value}" for key, value in named.items() if value is not None)
    config = from_yaml(PipelineConfig, config_path, overrides)
    quiet_native_logs()
    from pipelines.pipeline import metadata_path
    from serving.skew import check_skew

    path = metadata_path(config)
    if not path.exists():
        raise click.ClickException(f"there is no {path}: nothing was ever run with this root.")
    model, transformed, span, oldest_ms = _last_pushed(path)
    if oldest_ms is None:
        if config.data.retention_days:
            raise click.ClickException(
                f"the examples of span {span} do not say which events data.retention_days left out: an older version "
                "of this project made them. Run the span again."
            )
        oldest_ms = 0
    files = {folder.name.removeprefix("Split-"): sorted(map(str, folder.glob("*"))) for folder in transformed}
    found = check_skew(model, files, config.data.path, span, requests, seed, oldest_ms)
    for feature, count in sorted(found.differing.items()):
        click.echo(f"{feature} differs in {count} of {found.requests} requests; {found.examples[feature]}")
    if found.differing:
        sys.exit(1)
    click.echo(f"{found.requests} requests of span {span}: no feature and no score differs")


def _last_pushed(path: Path) -> tuple[Path, list[Path], int, int | None]:
    """The newest pushed model and what it was trained on: the folders of the splits, their span, and the moment from
    which on that has events (None where it is not told)."""
    from ml_metadata import MetadataStore
    from tfx.orchestration import metadata
    from tfx.utils import path_utils

    from components.resolvers.lineage import inputs_of, span_of
    from seminar_tf.data.retention import OLDEST_MS

    store = MetadataStore(metadata.sqlite_metadata_connection_config(str(path)))
    pushed = [a for a in store.get_artifacts_by_type("PushedModel") if "pushed_version" in a.custom_properties]
    if not pushed:
        raise click.ClickException("no model was pushed yet.")
    newest = max(pushed, key=lambda artifact: int(artifact.custom_properties["pushed_version"].string_value))

    def one(artifact: Any, key: str) -> Any:
        found = inputs_of(store, artifact.id).get(key, [])
        if not found:
            raise click.ClickException(f"ML Metadata does not say what artifact {artifact.id} was made of ({key}).")
        return found[0]

    served = one(newest, "model")
    transformed = one(one(served, "model"), "examples")
    examples = one(transformed, "examples")
    span = span_of(examples)
    if span is None:
        raise click.ClickException("ML Metadata does not say which span the model was trained on.")
    folders = sorted(Path(transformed.uri).glob("Split-*"))
    kept = examples.custom_properties
    oldest_ms = int(kept[OLDEST_MS].int_value) if OLDEST_MS in kept else None
    return Path(path_utils.serving_model_path(served.uri)), folders, span, oldest_ms


if __name__ == "__main__":
    command()
