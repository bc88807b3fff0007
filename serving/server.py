"""The embedded server: TF Serving's gRPC API in this process, on the loopback interface unless told otherwise.

with Server((ModelSource("ranker", "runs/demo/serving/ranker"),), ServerOptions(port=0)) as server:
    Client(server.address).predict(...)
"""

from __future__ import annotations

import logging
import signal
import threading
from concurrent import futures
from pathlib import Path
from types import FrameType, TracebackType

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

import seminar_tf  # noqa: F401  (settles Keras 2 before TensorFlow loads)

import tensorflow as tf  # isort: skip
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from seminar_tf.memory import keep_freed_memory
from serving.codec import CodecError
from serving.errors import CallError
from serving.loaded_model import LoadedModel
from serving.model_manager import ModelManager
from serving.options import ModelSource, ServerOptions
from serving.servicer import ModelServicer, PredictionServicer

_LOG = logging.getLogger(__name__)

_CHANNEL_OPTIONS = (
    # Python's default of 4 MiB is less than 64 rows of 10,000 ids.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # With port sharing, a second server on the same port takes half of the calls instead of failing to start.
    ("grpc.so_reuseport", 0),
)
_SERVICES = ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")


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
        self.models = ModelManager(sources, self._load)
        self.models.on_change = self._report_health
        self._health = health.HealthServicer()
        self._report_health()
        pool = futures.ThreadPoolExecutor(options.threads, thread_name_prefix="predict")
        self._grpc = grpc.server(pool, options=_CHANNEL_OPTIONS)
        prediction = PredictionServicer(self.models, options.max_columns)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(prediction, self._grpc)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelServicer(self.models), self._grpc)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)

    @property
    def address(self) -> str:
        """host:port that clients connect to."""
        host = f"[{self.options.host}]" if ":" in self.options.host else self.options.host
        return f"{host}:{self.port}"

    def start(self) -> None:
        """Loads what is there, opens the port, and begins to poll for new versions.

        Raises:
          ServerError: the address cannot be bound.
        """
        keep_freed_memory()
        host = f"[{self.options.host}]" if ":" in self.options.host else self.options.host
        wanted = f"{host}:{self.options.port}"
        try:
            self.port = self._grpc.add_insecure_port(wanted)
        except RuntimeError as error:
            raise ServerError(f"cannot listen on {wanted}: {error}. Is the port taken? --port 0 picks one.") from error
        self.models.refresh()
        self._grpc.start()
        self.models.start_polling(self.options.poll_s)
        _LOG.info("listening on %s", self.address)

    def stop(self) -> None:
        """Refuses new calls, lets those in flight finish within `drain_s`, and frees the models."""
        self._health.enter_graceful_shutdown()
        self._grpc.stop(self.options.drain_s).wait()
        self.models.close()
        _LOG.info("stopped")

    def wait_for_signal(self) -> None:
        """Blocks until SIGTERM or SIGINT; call it in the main thread."""
        asked = threading.Event()

        def ask(number: int, frame: FrameType | None) -> None:
            asked.set()

        before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            asked.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

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
        serving = (
            health_pb2.HealthCheckResponse.SERVING
            if self.models.ready()
            else (health_pb2.HealthCheckResponse.NOT_SERVING)
        )
        for service in _SERVICES:
            self._health.set(service, serving)
