"""TLS of the embedded server, from the real server's ssl.config; and a warning where there is none and should be."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import grpc

from serving import config_files
from serving.config_files import ConfigError
from serving.options import Tls


def read_ssl_config(path: str | Path) -> Tls:
    """Reads ssl.config, whose fields hold PEM text, not paths.

    Args:
      path: a text proto of SSLConfig, as `tensorflow_model_server --ssl_config_file` takes it.

    Raises:
      ConfigError: the file cannot be read, or a field lacks what TLS needs; the message names both.
    """
    config = config_files.read(path, config_files.SSLConfig())
    for name, kind in (("server_key", "PRIVATE KEY"), ("server_cert", "CERTIFICATE")):
        _check_pem(path, name, getattr(config, name), kind)
    if config.custom_ca or config.client_verify:
        if not config.custom_ca:
            raise ConfigError(f"{path}: client_verify is true, but custom_ca is empty: no client could be verified.")
        _check_pem(path, "custom_ca", config.custom_ca, "CERTIFICATE")
    return Tls(config.server_key, config.server_cert, config.custom_ca, config.client_verify)


def _check_pem(path: str | Path, name: str, text: str, kind: str) -> None:
    # The value is a secret in one of the cases: say what is missing, never what was found.
    if "-----BEGIN " not in text or f"{kind}-----" not in text:
        raise ConfigError(
            f"{path}: {name} holds no PEM text with a {kind}. Put the text itself there, with \\n for its line ends, "
            "not the path of a file."
        )


def credentials(tls: Tls) -> grpc.ServerCredentials:
    """gRPC's form of it."""
    return grpc.ssl_server_credentials(
        [(tls.key.encode("ascii"), tls.certificates.encode("ascii"))],
        root_certificates=tls.client_ca.encode("ascii") or None,
        require_client_auth=tls.verify_clients,
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; a name other than localhost may lead anywhere."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
