"""Writes the real server's ssl.config (--ssl_config_file) from PEM files.

    python -m serving.deploy.ssl_config --key server.key --cert server.crt --ca clients-ca.crt --out ssl.config

The server wants the PEM text itself in a text proto, not paths. The file holds a private key, so it is written for its
owner only and belongs in no repository.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import click
from google.protobuf import text_format

from serving.config_files import SSLConfig

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\r?\n.*?\r?\n-----END \1-----", re.DOTALL)
_KEYS = ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY")
_CERTIFICATES = ("CERTIFICATE",)


class PemError(ValueError):
    """A file that is not the PEM that was asked for."""


def read_pem(path: str | Path, kinds: tuple[str, ...], most: int | None = None) -> str:
    """The text of a PEM file.

    Args:
      path: the file.
      kinds: what its blocks may be, such as `CERTIFICATE`.
      most: most blocks allowed; None for any number (a chain, a bundle of authorities).

    Returns:
      The file's text, with one newline at its end.

    Raises:
      PemError: unreadable, not PEM, or PEM of something else (the message says what was found).
    """
    try:
        text = Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise PemError(f"{path} cannot be read as PEM: {error}. Expected text with -----BEGIN lines.") from error
    found = _BLOCK.findall(text)
    wanted = " or ".join(kinds)
    if not found:
        raise PemError(f"{path} holds no PEM block; expected {wanted}. A DER file: openssl x509 -inform der.")
    if set(found) - set(kinds):
        advice = " gRPC asks for no password: decrypt the key first." if "ENCRYPTED PRIVATE KEY" in found else ""
        raise PemError(f"{path} holds {', '.join(found)}; expected {wanted}.{advice}")
    if most is not None and len(found) > most:
        raise PemError(f"{path} holds {len(found)} blocks; expected {most} ({wanted}).")
    return text.strip() + "\n"


def build(key: str | Path, cert: str | Path, ca: str | Path | None = None, require_client: bool = False) -> Any:
    """An SSLConfig from PEM files.

    Args:
      key: the server's private key, without a password.
      cert: the server's certificate, followed by its chain if there is one.
      ca: authorities that client certificates must come from.
      require_client: refuse clients without such a certificate (mutual TLS).

    Returns:
      A `serving.config_files.SSLConfig`.

    Raises:
      PemError: a file is not what it should be, or `require_client` without `ca`.
    """
    if require_client and ca is None:
        raise PemError("client certificates can only be checked against authorities: give --ca as well.")
    config = SSLConfig()
    config.server_key = read_pem(key, _KEYS, most=1)
    config.server_cert = read_pem(cert, _CERTIFICATES)
    if ca is not None:
        config.custom_ca = read_pem(ca, _CERTIFICATES)
    config.client_verify = require_client
    return config


def write(config: Any, path: str | Path) -> None:
    """Writes an SSLConfig as text, readable by its owner only.

    Raises:
      FileExistsError: the file is there already; keys are not overwritten by accident.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text_format.MessageToString(config))


@click.command()
@click.option("--key", required=True, type=click.Path(), help="PEM of the server's private key, without a password.")
@click.option("--cert", required=True, type=click.Path(), help="PEM of the server's certificate and its chain.")
@click.option("--ca", type=click.Path(), help="PEM of the authorities of client certificates.")
@click.option("--require-client/--no-require-client", default=None, help="Mutual TLS; on where --ca is given.")
@click.option("--out", default="ssl.config", show_default=True, type=click.Path(), help="The file to write.")
def command(key: str, cert: str, ca: str | None, require_client: bool | None, out: str) -> None:
    """Write tensorflow_model_server's ssl.config from PEM files."""
    mutual = ca is not None if require_client is None else require_client
    try:
        write(build(key, cert, ca, mutual), out)
    except PemError as error:
        raise click.ClickException(str(error)) from error
    except FileExistsError as error:
        raise click.ClickException(f"{out} is there already; remove it or give another --out.") from error
    except OSError as error:
        raise click.ClickException(f"{out} cannot be written: {error.strerror}.") from error
    click.echo(f"{out}: {'mutual TLS' if mutual else 'TLS'}; it holds the private key, keep it out of the repository.")


if __name__ == "__main__":
    command()
