"""The running gateway: gRPC port, health, metrics port, and an end without a failed call.

with Gateway(store, client, GatewayOptions(port=0)) as gateway:
    GatewayClient(gateway.address).rank(...)
"""

from __future__ import annotations

import logging
import threading
from concurrent import futures
from types import TracebackType

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from serving.client import Client
from serving.gateway import messages
from serving.gateway.events import StoreError
from serving.gateway.metrics import Metrics, MetricsPort
from serving.gateway.options import GatewayOptions
from serving.gateway.service import RankingService
from serving.gateway.store import HistoryStore
from serving.stop_signal import wait_for_stop

_LOG = logging.getLogger(__name__)
_Status = health_pb2.HealthCheckResponse
# Services of the health check: ready to take calls (the store answers), and alive at all.
_READY = ("", messages.SERVICE)
_ALIVE = "live"


class GatewayError(RuntimeError):
    """The gateway cannot start; the message says why and what to do."""


class Gateway:
    """A running gateway; use it as a context manager, or `start`, `wait_for_signal` and `stop`."""

    def __init__(
        self, store: HistoryStore, client: Client, options: GatewayOptions | None = None, label: str | None = None
    ) -> None:
        """Prepares a gateway; `start` opens its ports.

        Args:
          store: where histories are; the caller closes it, after `stop`.
          client: of TensorFlow Serving, or the embedded server; the caller closes it.
          options: ports, limits and deadlines.
          label: version label to rank with, such as `stable`; None for the latest version.
        """
        self.options = options or GatewayOptions()
        self.port = 0
        self.metrics = Metrics()
        self._store = store
        self._metrics_port: MetricsPort | None = None
        self._health = health.HealthServicer()
        self._health.set(_ALIVE, _Status.SERVING)
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._watch_store, name="health", daemon=True)
        pool = futures.ThreadPoolExecutor(self.options.threads, thread_name_prefix="gateway")
        limits = (
            ("grpc.max_receive_message_length", self.options.max_request_bytes),
            ("grpc.max_send_message_length", -1),
            # With port sharing, a second gateway on the same port takes half of the calls instead of failing to start.
            ("grpc.so_reuseport", 0),
        )
        self._grpc = grpc.server(pool, options=limits)
        service = RankingService(store, client, label, self.options, self.metrics)
        self._grpc.add_generic_rpc_handlers((service.handlers(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)

    @property
    def address(self) -> str:
        """host:port that clients connect to."""
        return f"{self._host}:{self.port}"

    @property
    def metrics_address(self) -> str | None:
        """host:port that Prometheus reads; None where there is none."""
        return f"{self._host}:{self._metrics_port.port}" if self._metrics_port else None

    @property
    def _host(self) -> str:
        return f"[{self.options.host}]" if ":" in self.options.host else self.options.host

    def start(self) -> None:
        """Opens the ports.

        Raises:
          GatewayError: an address cannot be bound.
        """
        wanted = f"{self._host}:{self.options.port}"
        try:
            self.port = self._grpc.add_insecure_port(wanted)
        except RuntimeError as error:
            raise GatewayError(f"cannot listen on {wanted}: {error}. Is the port taken? --port 0 picks one.") from error
        if self.options.metrics_port is not None:
            try:
                self._metrics_port = MetricsPort(self.options.host, self.options.metrics_port, self.metrics.registry)
            except OSError as error:
                self._grpc.stop(None)
                wanted = f"{self._host}:{self.options.metrics_port}"
                raise GatewayError(f"cannot show metrics on {wanted}: {error}. Is the port taken?") from error
        self._report_health()
        self._grpc.start()
        self._watch.start()
        _LOG.info("listening on %s", self.address)

    def stop(self) -> None:
        """Says NOT_SERVING, refuses new calls and lets those in flight finish within `drain_s`."""
        self._stopping.set()
        self._health.enter_graceful_shutdown()
        self._grpc.stop(self.options.drain_s).wait()
        self._watch.join()
        if self._metrics_port is not None:
            self._metrics_port.close()
        _LOG.info("stopped")

    def wait_for_signal(self) -> None:
        """Blocks until SIGTERM or SIGINT; call it in the main thread."""
        wait_for_stop()

    def __enter__(self) -> Gateway:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _watch_store(self) -> None:
        while not self._stopping.wait(self.options.health_s):
            self._report_health()

    def _report_health(self) -> None:
        try:
            self._store.check()
            status = _Status.SERVING
        except StoreError as error:
            _LOG.warning("the store of histories: %s", error)
            status = _Status.NOT_SERVING
        for service in _READY:
            self._health.set(service, status)
