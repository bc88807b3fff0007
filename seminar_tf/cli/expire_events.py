"""`seminar-tf expire-events`: takes old events out of a gateway's store of histories."""

from __future__ import annotations

import sys

import click

from seminar_tf.cli.store_options import existing_store, store_options
from seminar_tf.data.retention import MOST_DAYS


@click.command("expire-events")
@click.option(
    "--retention-days", type=click.IntRange(1, MOST_DAYS), help="Days whose events are kept, before this moment."
)
@click.option("--before-ms", type=click.IntRange(1), help="In its place: the moment, ms since 1970, that is kept from.")
@store_options
def command(
    retention_days: int | None,
    before_ms: int | None,
    kind: str,
    sqlite_path: str,
    redis_url: str,
    allow_loss: bool,
) -> None:
    """Delete the events of all users that are older than so many days (docs/gateway.md).

    For a daily job. Gateways go on meanwhile; give them the same --retention-days, so that they neither see such events
    before nor take them in again. Ending this command and starting it again is safe.
    """
    if (retention_days is None) == (before_ms is None):
        raise click.UsageError("--retention-days, or --before-ms: one of the two.")
    address = existing_store(kind, sqlite_path, redis_url)
    from serving.gateway.events import InvalidEvent, StoreError
    from serving.gateway.store import StoreOptions
    from serving.gateway.stores import open_store

    options = StoreOptions(retention_days=retention_days or 0)
    try:
        with open_store(address, options, require_durable=not allow_loss) as store:
            if before_ms and before_ms > store.now_ms():
                raise click.ClickException(
                    f"--before-ms {before_ms} lies ahead of the clock ({store.now_ms()}): every event would go. "
                    "Is it in another unit?"
                )
            found = store.expire(before_ms or store.oldest_ms())
    except (InvalidEvent, StoreError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{found.events} events deleted; {found.users} users looked at")
    for user in found.damaged:
        click.echo(f"the history of user {user!r} is damaged and was left; delete-users removes it", err=True)
    if found.damaged:
        sys.exit(1)


if __name__ == "__main__":
    command()
