"""Which store of histories a command works on: options that commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_OPTIONS = (
    click.option("--store", "kind", type=click.Choice(["sqlite", "redis"]), default="sqlite", show_default=True),
    click.option("--sqlite-path", default="histories.db", show_default=True, type=click.Path(dir_okay=False)),
    click.option(
        "--redis-url",
        default="redis://127.0.0.1:6379/0",
        show_default=True,
        envvar="SEMINAR_REDIS_URL",
        show_envvar=True,
        help="redis://, rediss:// (TLS) or unix://.",
    ),
    click.option("--allow-loss", is_flag=True, help="Accept a store that may lose acknowledged events with the power."),
)


def store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the parameters `kind`, `sqlite_path`, `redis_url` and `allow_loss`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def store_address(kind: str, sqlite_path: str, redis_url: str) -> str:
    """What `serving.gateway.stores.open_store` takes."""
    return f"sqlite:{sqlite_path}" if kind == "sqlite" else redis_url


def existing_store(kind: str, sqlite_path: str, redis_url: str) -> str:
    """The same of a store that must be there.

    Raises:
      click.ClickException: there is no such file. Opening it would make it: a slip of the pen must not look like a
        deletion.
    """
    if kind == "sqlite" and not Path(sqlite_path).exists():
        raise click.ClickException(f"there is no store {sqlite_path}. Name it with --sqlite-path.")
    return store_address(kind, sqlite_path, redis_url)
