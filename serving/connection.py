"""What the blocking and the asyncio client have in common: settings, TLS, the channel's options, deadlines."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from serving import calls, protos
from serving.address import check_address
from serving.retry import Attempts, RetryPolicy

_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Retries are this client's own, so that a call is never sent more often than it says.
    ("grpc.enable_retries", 0),
    # A name that stands for several servers (a headless Service) is asked in turns; else gRPC keeps to the first.
    ("grpc.lb_policy_name", "round_robin"),
    # A stranger's proxy settings should not decide how a loopback server is reached.
    ("grpc.enable_http_proxy", 0),
    # A server that restarts is found again soon: by default gRPC waits a second at first and two minutes at most,
    # and all attempts of a call would fail meanwhile without a look at the server.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # A connection that went silent under a long call is noticed. Never without calls: stock servers count pings on
    # an idle connection as abuse and close it.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
)


@dataclass(frozen=True)
class Tls:
    """Certificates of a client, as PEM bytes.

    Attributes:
      root_certificates: who may have signed the server's certificate; None takes gRPC's list of public authorities.
      private_key, certificate_chain: the client's own, for servers that ask for them (mutual TLS); both or neither.
      target_name: the name that the server's certificate must have, if it is not the address's host. For tests.
    """

    root_certificates: bytes | None = None
    # Not in the repr, which ends up in logs.
    private_key: bytes | None = field(default=None, repr=False)
    certificate_chain: bytes | None = None
    target_name: str | None = None

    def __post_init__(self) -> None:
        for name in ("root_certificates", "private_key", "certificate_chain"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, bytes) and b"-----BEGIN" in value):
                raise ValueError(f"{name} must be PEM bytes (-----BEGIN ...). Read files with Tls.from_files.")
        if (self.private_key is None) != (self.certificate_chain is None):
            raise ValueError("private_key and certificate_chain go together: give both, or neither.")

    @classmethod
    def from_files(
        cls,
        root_certificates: str | Path | None = None,
        private_key: str | Path | None = None,
        certificate_chain: str | Path | None = None,
        target_name: str | None = None,
    ) -> Tls:
        """The same from PEM files.

        Raises:
          OSError: a file cannot be read.
          ValueError: a file is no PEM file, or a key comes without its certificate.
        """
        paths = (root_certificates, private_key, certificate_chain)
        root, key, chain = (None if path is None else Path(path).read_bytes() for path in paths)
        return cls(root, key, chain, target_name)


def open_channel(address: str, tls: Tls | None = None, transport: Any = grpc) -> Any:
    """A channel with the settings of this project's clients.

    Args:
      address: host:port.
      tls: certificates; None speaks plain text.
      transport: grpc or grpc.aio.

    Raises:
      ValueError: `address` is none.
    """
    check_address(address)
    if tls is None:
        return transport.insecure_channel(address, options=_OPTIONS)
    credentials = grpc.ssl_channel_credentials(tls.root_certificates, tls.private_key, tls.certificate_chain)
    override = () if tls.target_name is None else (("grpc.ssl_target_name_override", tls.target_name),)
    return transport.secure_channel(address, credentials, options=(*_OPTIONS, *override))


class Connection:
    """Base of both clients: everything but sending and waiting."""

    # grpc or grpc.aio.
    _transport: Any

    def __init__(
        self,
        address: str,
        model_name: str = "ranker",
        timeout_s: float = 10.0,
        max_attempts: int = 3,
        backoff_s: float = 0.05,
        tls: Tls | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """Makes a client; it connects with the first call and keeps that channel.

        Args:
          address: host:port.
          model_name: the model that calls go to.
          timeout_s: default deadline of a call, retries included.
          max_attempts: most calls for one answer; only UNAVAILABLE is tried again.
          backoff_s: longest pause before the second attempt; doubles with each, up to 2 s.
          tls: certificates; None speaks plain text.
          rng: where the pauses' jitter comes from; None takes one of its own.

        Raises:
          ValueError: an argument makes no sense; the message says which.
        """
        self.address = address
        self.model_name = model_name
        self.timeout_s = timeout_s
        self.tls = tls
        self.retry = RetryPolicy(max_attempts, backoff_s)
        self._rng = rng or random.Random()
        self._closed = False
        self._channel = self._open()
        self._predict = self._channel.unary_unary(protos.PREDICT)
        self._status = self._channel.unary_unary(protos.GET_MODEL_STATUS)
        self._metadata = self._channel.unary_unary(protos.GET_MODEL_METADATA)

    def _open(self) -> Any:
        """The one channel."""
        return open_channel(self.address, self.tls, self._transport)

    def _require_open(self) -> None:
        """Raises ValueError on a closed client."""
        if self._closed:
            raise ValueError(f"this client of {self.address} is closed; make a new one.")

    def _begin(self, timeout_s: float | None) -> Attempts:
        """The attempts of a call that begins now.

        Raises:
          ValueError: the client is closed, or `timeout_s` is not finite.
        """
        self._require_open()
        return Attempts(self.retry, self.timeout_s if timeout_s is None else timeout_s, self.address, self._rng)

    def _predict_bytes(
        self,
        inputs: Mapping[str, Any],
        signature: str,
        version: int | None,
        label: str | None,
        output_filter: Sequence[str],
        packed: bool,
    ) -> bytes:
        built = calls.build_request(inputs, self.model_name, signature, version, label, output_filter, packed)
        return built.SerializeToString()

    def _status_bytes(self) -> bytes:
        return calls.build_status_request(self.model_name).SerializeToString()

    def _metadata_bytes(self, version: int | None, label: str | None) -> bytes:
        return calls.build_metadata_request(self.model_name, version, label).SerializeToString()

    def _no_server(self, timeout_s: float) -> calls.ServingError:
        message = f"no server answers at {self.address} (waited {timeout_s:g} s)."
        return calls.ServingError(grpc.StatusCode.UNAVAILABLE, message)

    def _was_closed(self) -> calls.ServingError:
        return calls.ServingError(grpc.StatusCode.CANCELLED, f"the client was closed [{self.address}]")
