"""`seminar-tf gateway`: the online ranking gateway."""

from __future__ import annotations

import logging

import click

from seminar_tf.cli.address import server_address
from seminar_tf.cli.store_options import store_address, store_options


@click.command("gateway")
@click.option(
    "--ranker",
    callback=server_address,
    default="127.0.0.1:8500",
    show_default=True,
    help="Address of TensorFlow Serving's API.",
)
@click.option("--model-name", default="ranker", show_default=True, help="Model that ranks.")
@click.option("--label", default=None, help="Version label to rank with; by default the latest version.")
@click.option("--task", default="", help="Task that ranks where a request names none; by default the only one.")
@store_options
@click.option("--max-history", default=10_000, show_default=True, help="Newest events of a user that are kept.")
@click.option("--retention-days", default=0, show_default=True, help="Days whose events are seen; 0 sets no limit.")
@click.option("--history-length", default=10_000, show_default=True, help="Newest pairs that the model gets.")
@click.option("--rank-without-store", is_flag=True, help="Rank with no history while the store fails.")
@click.option("--fixed-shapes", is_flag=True, help="Pad all requests alike, for a server that batches them.")
@click.option("--max-candidates", default=20_000, show_default=True, help="N above which a request is refused.")
@click.option("--timeout", "timeout_s", default=2.0, show_default=True, help="Longest time of a ranking, in seconds.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; there is no TLS.")
@click.option("--port", default=8600, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free port.")
@click.option("--metrics-port", default=None, type=click.IntRange(0, 65535), help="Prometheus's port; none by default.")
@click.option("--threads", default=16, show_default=True, help="Calls handled at once.")
@click.option("-v", "--verbose", is_flag=True, help="Log starts and stops.")
def command(
    ranker: str,
    model_name: str,
    label: str | None,
    task: str,
    kind: str,
    sqlite_path: str,
    redis_url: str,
    max_history: int,
    retention_days: int,
    history_length: int,
    allow_loss: bool,
    rank_without_store: bool,
    fixed_shapes: bool,
    max_candidates: int,
    timeout_s: float,
    host: str,
    port: int,
    metrics_port: int | None,
    threads: int,
    verbose: bool,
) -> None:
    """Keep histories and rank with them over gRPC, until SIGTERM or Ctrl-C (docs/gateway.md)."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    try:
        from serving.client import Client
        from serving.gateway.events import StoreError
        from serving.gateway.options import GatewayOptions
        from serving.gateway.server import Gateway, GatewayError
        from serving.gateway.store import StoreOptions
        from serving.gateway.stores import open_store
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"the gateway needs a package that is missing ({error.name}). Install seminar-tf[gateway]."
        ) from error
    try:
        options = GatewayOptions(
            host=host,
            port=port,
            metrics_port=metrics_port,
            threads=threads,
            history_length=min(history_length, max_history),
            default_task=task,
            timeout_s=timeout_s,
            rank_without_store=rank_without_store,
            fixed_shapes=fixed_shapes,
            max_candidates=max_candidates,
        )
        address = store_address(kind, sqlite_path, redis_url)
        store = open_store(
            address,
            StoreOptions(max_history=max_history, retention_days=retention_days),
            require_durable=not allow_loss,
        )
    except (StoreError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    with store, Client(ranker, model_name, timeout_s=timeout_s) as client:
        gateway = Gateway(store, client, options, label)
        try:
            gateway.start()
        except GatewayError as error:
            raise click.ClickException(str(error)) from error
        shown = f", metrics on {gateway.metrics_address}" if gateway.metrics_address else ""
        click.echo(f"ranking with {model_name} at {ranker}{shown}, on {gateway.address}")
        gateway.wait_for_signal()
        gateway.stop()


if __name__ == "__main__":
    command()
