"""`seminar-tf delete-users`: deletes users from a gateway's store of histories."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import click

from seminar_tf.cli.address import server_address
from seminar_tf.cli.store_options import existing_store, store_options


@click.command("delete-users")
@click.argument("users", nargs=-1, metavar="[USER]...")
@click.option(
    "--from", "source", type=click.Path(exists=True), help="A deletions table, or a dataset's folder of them."
)
@click.option("--until-ms", default=None, type=click.IntRange(1), help="Keep the USERs' events after this moment.")
@click.option("--gateway", callback=server_address, default=None, help="Address of a gateway, in place of a store.")
@store_options
def command(
    users: tuple[str, ...],
    source: str | None,
    until_ms: int | None,
    gateway: str | None,
    kind: str,
    sqlite_path: str,
    redis_url: str,
    allow_loss: bool,
) -> None:
    """Delete users' histories: USERs by name, or all of a deletions table, as ingestion takes it.

    Deleted events are not taken in again, however often they are sent; later events of the user are (docs/gateway.md).
    Ending this command and starting it again is safe.
    """
    if bool(users) == bool(source):
        raise click.UsageError("name USERs, or a table with --from: one of the two.")
    if source and until_ms is not None:
        raise click.UsageError("--until-ms goes with USERs; a table has a moment for each user.")
    address = "" if gateway else existing_store(kind, sqlite_path, redis_url)
    from serving.client import ServingError
    from serving.gateway import deletions
    from serving.gateway.client import GatewayClient
    from serving.gateway.events import InvalidEvent, StoreError
    from serving.gateway.stores import open_store

    delete: Callable[[str, int | None], bool]
    with ExitStack() as stack:
        try:
            if gateway:
                client = stack.enter_context(GatewayClient(gateway, timeout_s=30.0))
                delete = lambda user, until: client.delete_user(user, until or 0)  # noqa: E731
            else:
                delete = stack.enter_context(open_store(address, require_durable=not allow_loss)).delete_user
            if source:
                done = deletions.apply(deletions.read(source), delete)
            else:
                done = deletions.Applied(len(set(users)), sum(delete(user, until_ms) for user in sorted(set(users))))
        except ServingError as error:
            raise click.ClickException(f"{error.code.name}: {error.message}") from error
        except (InvalidEvent, StoreError, deletions.DeletionsError) as error:
            raise click.ClickException(str(error)) from error
    click.echo(f"{done.users} users deleted; {done.with_events} of them had events")


if __name__ == "__main__":
    command()
