"""The embedded server: TF Serving's gRPC API in this process, on the loopback interface unless told otherwise.

with Server((ModelSource("ranker", "runs/demo/serving/ranker"),), ServerOptions(port=0)) as server:
    Client(server.address).predict(...)
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from types import TracebackType

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

import seminar_tf  # noqa: F401  (settles Keras 2 before TensorFlow loads)

import tensorflow as tf  # isort: skip

from seminar_tf.memory import keep_freed_memory
from serving import tls
from serving.admission import CountingPool, OpenCalls
from serving.codec import CodecError
from serving.errors import CallError
from serving.handlers import Service, on_pool
from serving.loaded_model import LoadedModel
from serving.metrics import Metrics
from serving.model_manager import ModelManager
from serving.monitoring import MetricsEndpoint
from serving.options import ModelSource, ServerOptions
from serving.servicer import ModelService, PredictionService
from serving.stop_signal import wait_for_stop

_LOG = logging.getLogger(__name__)

# Threads of everything that runs no model: status, metadata, health, refusals, reloads of the configuration.
_CONTROL_THREADS = 4
_SERVICES = ("", PredictionService.NAME, ModelService.NAME)


class ServerError(RuntimeError):
    """The server cannot start; the message says why and what to do."""


class Server:
    """A running server; use it as a context manager, or `start`, `wait_for_signal` and `stop`."""

    def __init__(self, sources: tuple[ModelSource, ...], options: ServerOptions) -> None:
        """Prepares a server; `start` loads the models and opens the port.

        Args:
          sources: the models to serve.
          options: address, limits and threads.
        """
        self.options = options
        self.port = 0
        self.models = ModelManager(sources, self._load, options.allow_labels_of_unavailable_models)
        self.models.on_change = self._report_health
        self._queue = CountingPool(options.threads, options.max_queued, "predict")
        self._control = CountingPool(_CONTROL_THREADS, 0, "control")
        self._open = OpenCalls()
        self._hurry = threading.Event()
        self.metrics = Metrics(lambda: self._queue.count, self.models.loaded)
        self._endpoint: MetricsEndpoint | None = None
        self._health = health.HealthServicer()
        self._report_health()
        self._grpc = grpc.server(
            self._queue,
            options=(
                # Python's default of 4 MiB is less than 64 rows of 10,000 ids.
                ("grpc.max_receive_message_length", options.max_message_bytes),
                ("grpc.max_send_message_length", -1),
                # With port sharing, a second server on the port takes half of the calls instead of failing to start.
                ("grpc.so_reuseport", 0),
            ),
        )
        prediction, model = PredictionService(self.models, options), ModelService(self.models, self.metrics)
        self._grpc.add_generic_rpc_handlers(
            tuple(
                Service(
                    served.NAME, served.methods(), self._queue, self._control, self._open, self.metrics,
                    options.access_log,
                )
                for served in (prediction, model)
            )
        )  # fmt: skip
        # A probe is answered however many calls wait.
        self._health.Check = on_pool(self._health.Check, self._control)  # type: ignore[method-assign]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)

    @property
    def address(self) -> str:
        """host:port that clients connect to."""
        return f"{_bracketed(self.options.host)}:{self.port}"

    @property
    def monitoring_url(self) -> str | None:
        """Where the metrics are, once started; None where they are off."""
        if self._endpoint is None:
            return None
        return f"http://{_bracketed(self.options.monitoring_host)}:{self._endpoint.port}{self._endpoint.path}"

    def start(self) -> None:
        """Opens the ports, loads what is there, takes calls, and begins to poll for new versions.

        Raises:
          ServerError: an address cannot be bound, or the keys are of no use.
        """
        keep_freed_memory()
        self._bind()
        self.models.refresh()
        self._grpc.start()
        self.models.start_polling(self.options.poll_s)
        if self._endpoint is not None:
            self._endpoint.start()
        _LOG.info("listening", extra={"event": "listening", "address": self.address})

    def _bind(self) -> None:
        options = self.options
        wanted = f"{_bracketed(options.host)}:{options.port}"
        try:
            if options.tls is None:
                self.port = self._grpc.add_insecure_port(wanted)
            else:
                self.port = self._grpc.add_secure_port(wanted, tls.credentials(options.tls))
        except (RuntimeError, ValueError) as error:
            keys = "" if options.tls is None else " Do server_key and server_cert belong together?"
            message = f"cannot listen on {wanted}: {error}. Is the port taken? --port 0 picks one.{keys}"
            raise ServerError(message) from error
        if options.tls is None and not tls.is_loopback(options.host):
            _LOG.warning(
                "other machines can reach this server, and nothing is encrypted: who can reach it can read and make "
                "calls. Give it TLS (--ssl-config), or listen on 127.0.0.1 behind a proxy that has it.",
                extra={"event": "no_tls", "address": f"{_bracketed(options.host)}:{self.port}"},
            )
        if options.monitoring_port is not None:
            at = (options.monitoring_host, options.monitoring_port)
            try:
                self._endpoint = MetricsEndpoint(self.metrics.registry, *at, options.monitoring_path)
            except OSError as error:
                raise ServerError(f"cannot serve metrics on {at[0]}:{at[1]}: {error}. Is the port taken?") from error

    def stop(self) -> None:
        """Says NOT_SERVING, goes on for `lame_duck_s`, refuses new calls, lets those in flight finish within
        `drain_s`, and frees the models."""
        # Logged first: whoever hears NOT_SERVING, and all that follows on it, comes after it in the log.
        _LOG.info("draining", extra={"event": "draining"})
        self._health.enter_graceful_shutdown()
        self._hurry.wait(self.options.lame_duck_s)
        end = time.monotonic() + self.options.drain_s
        self._grpc.stop(self.options.drain_s)
        drained = self._queue.wait_until_idle(end - time.monotonic())
        drained = self._control.wait_until_idle(end - time.monotonic()) and drained
        drained = self._open.wait_until_none(end - time.monotonic()) and drained
        if not drained:
            _LOG.warning(
                "calls were cut off: they took longer than %g s to finish", self.options.drain_s,
                extra={"event": "drain_incomplete"},
            )  # fmt: skip
        # What is left are watches of the health service, which never end by themselves.
        self._grpc.stop(None)
        # Without waiting: a call that outlived `drain_s` must not keep the server.
        self._queue.shutdown(wait=False)
        self._control.shutdown(wait=False)
        self.models.close()
        if self._endpoint is not None:
            self._endpoint.stop()
        _LOG.info("stopped", extra={"event": "stopped"})

    def wait_for_signal(self) -> None:
        """Blocks until SIGTERM or SIGINT; call it in the main thread."""
        wait_for_stop()

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _load(self, name: str, version: int, path: Path) -> LoadedModel:
        """Loads and warms up one version; everything that can be wrong with its files becomes a CallError."""
        try:
            loaded = self._load_files(name, version, path)
        except CallError as error:
            self.metrics.loaded(name, error.code.name)
            raise
        self.metrics.loaded(name, "OK")
        return loaded

    def _load_files(self, name: str, version: int, path: Path) -> LoadedModel:
        try:
            loaded = LoadedModel(name, version, path, self.options.inter_op_threads)
        except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise CallError(grpc.StatusCode.INTERNAL, f"{path} does not load: {reason}") from error
        if self.options.warm_up:
            try:
                loaded.warm_up()
            except (CallError, CodecError, tf.errors.OpError, ValueError) as error:
                loaded.close()
                raise CallError(grpc.StatusCode.INTERNAL, f"{path}: warm-up failed: {error}") from error
        return loaded

    def _report_health(self) -> None:
        serving = health_pb2.HealthCheckResponse
        status = serving.SERVING if self.models.ready() else serving.NOT_SERVING
        for service in _SERVICES:
            self._health.set(service, status)


def _bracketed(host: str) -> str:
    """A host as it stands before a colon and a port."""
    return f"[{host}]" if ":" in host else host
