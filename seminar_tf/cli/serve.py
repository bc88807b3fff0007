"""`seminar-tf serve`: the embedded server of TF Serving's gRPC API."""

from __future__ import annotations

import logging

import click

from seminar_tf.cli.console import quiet_native_logs


@click.command("serve")
@click.option("--model-dir", required=True, type=click.Path(file_okay=False), help="Folder of numbered versions.")
@click.option("--model-name", default="ranker", show_default=True, help="Name that requests use.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; there is no TLS.")
@click.option("--port", default=8500, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free port.")
@click.option("--poll", "poll_s", default=1.0, show_default=True, help="Seconds between looks for new versions.")
@click.option("--max-candidates", default=20_000, show_default=True, help="N above which a request is refused.")
@click.option("--keep-versions", default=1, show_default=True, type=click.IntRange(1), help="Versions kept loaded.")
@click.option("-v", "--verbose", is_flag=True, help="Log loads, reloads and warm-ups.")
def command(
    model_dir: str,
    model_name: str,
    host: str,
    port: int,
    poll_s: float,
    max_candidates: int,
    keep_versions: int,
    verbose: bool,
) -> None:
    """Serve a pushed model over gRPC until SIGTERM or Ctrl-C; new versions are taken up as they appear."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    quiet_native_logs()
    # Its loader of v1 sessions, which TensorFlow Serving uses as well, announces that it is deprecated.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        from serving.options import ModelSource, ServerOptions
        from serving.server import Server, ServerError
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"the server needs a package that is missing ({error.name}). Install seminar-tf[serving]."
        ) from error
    options = ServerOptions(host=host, port=port, poll_s=poll_s, max_columns={"candidate_item_id": max_candidates})
    server = Server((ModelSource(model_name, model_dir, keep_versions),), options)
    try:
        server.start()
    except ServerError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{model_name} is served on {server.address}")
    if not server.models.ready():
        click.echo(f"no usable version under {model_dir} yet; looking every {poll_s:g} s", err=True)
    server.wait_for_signal()
    server.stop()


if __name__ == "__main__":
    command()
