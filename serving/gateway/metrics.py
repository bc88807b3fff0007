"""What the gateway counts and times, for Prometheus."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.0, 5.0)
_COUNTS = (0, 1, 10, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)


class Metrics:
    """The metrics of one gateway, in a registry of its own.

    Attributes:
      registry: what the HTTP port shows.
      calls: calls by method and status code.
      call_seconds: seconds of a call, by method.
      store_seconds: seconds in the store, by operation (append, history, delete_user), failed ones too.
      predict_seconds: seconds in Predict, with making its inputs and sorting its scores.
      history_pairs, candidates: sizes of Rank calls.
      without_history: rankings without a history because the store failed.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.calls = Counter("seminar_gateway_calls", "Calls.", ("method", "code"), registry=self.registry)
        self.call_seconds = self._seconds("call", "Seconds of a call.", ("method",))
        self.store_seconds = self._seconds("store", "Seconds in the store.", ("operation",))
        self.predict_seconds = self._seconds("predict", "Seconds in Predict.")
        self.history_pairs = self._sizes("history_pairs", "Pairs sent to the model.")
        self.candidates = self._sizes("candidates", "Distinct candidates of a Rank call.")
        self.without_history = Counter(
            "seminar_gateway_without_history", "Rankings while the store failed.", registry=self.registry
        )

    def _seconds(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Histogram:
        return Histogram(f"seminar_gateway_{name}_seconds", text, labels, buckets=_SECONDS, registry=self.registry)

    def _sizes(self, name: str, text: str) -> Histogram:
        return Histogram(f"seminar_gateway_{name}", text, buckets=_COUNTS, registry=self.registry)


@contextlib.contextmanager
def timed(histogram: Histogram) -> Iterator[None]:
    """Observes the seconds of a block, also of one that raises."""
    start = time.perf_counter()
    try:
        yield
    finally:
        histogram.observe(time.perf_counter() - start)


class MetricsPort:
    """The HTTP port that Prometheus reads (any path)."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        """Opens it.

        Raises:
          OSError: the address cannot be bound.
        """
        self._server: WSGIServer
        self._thread: threading.Thread
        self._server, self._thread = start_http_server(port, host, registry)
        self.port: int = self._server.server_port

    def close(self) -> None:
        """Closes it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
