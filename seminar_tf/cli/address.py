"""Options that take the address of a server."""

from __future__ import annotations

import click


def server_address(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Callback of such an option: refuses what is no address, before anything large is loaded."""
    from serving.address import check_address

    if value is None:
        return None
    try:
        return check_address(value)
    except ValueError as error:
        raise click.BadParameter(str(error).replace(" (for TLS give tls=)", "")) from error
