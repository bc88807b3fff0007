"""The metrics over HTTP, at the real server's path, and its monitoring.config."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from serving import config_files
from serving.config_files import ConfigError
from serving.options import METRICS_PATH

_PLAIN = "text/plain; version=0.0.4; charset=utf-8"


def read_monitoring_config(path: str | Path) -> str | None:
    """Reads monitoring.config.

    Args:
      path: a text proto of MonitoringConfig, as `tensorflow_model_server --monitoring_config_file` takes it.

    Returns:
      The path of the metrics; None where they are not enabled.

    Raises:
      ConfigError: the file cannot be read, or the path does not start with a slash.
    """
    prometheus = config_files.read(path, config_files.MonitoringConfig()).prometheus_config
    if not prometheus.enable:
        return None
    found: str = prometheus.path or METRICS_PATH
    if not found.startswith("/"):
        raise ConfigError(f"{path}: prometheus_config.path is {found!r}, expected a path that starts with a slash.")
    return found


class MetricsEndpoint:
    """A small HTTP server of one page."""

    def __init__(self, registry: CollectorRegistry, host: str, port: int, path: str) -> None:
        """Opens the port; `start` answers.

        Args:
          registry: the metrics.
          host, port: where to listen; port 0 takes a free one.
          path: the page's path; every other is 404.

        Raises:
          OSError: the address cannot be bound.
        """
        self.path = path
        family = _server_class(host)
        self._server: WSGIServer = make_server(
            host, port, _only(path, make_wsgi_app(registry)), family, handler_class=_Quiet
        )
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._started = False

    def start(self) -> None:
        """Answers from now on, in a thread of its own."""
        self._started = True
        self._thread.start()

    def stop(self) -> None:
        """Closes the port."""
        if self._started:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Quiet(WSGIRequestHandler):
    """Without a line on stderr for each scrape."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _server_class(host: str) -> type[WSGIServer]:
    class Server(ThreadingWSGIServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    return Server


def _only(path: str, app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    def page(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != path:
            start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
            return [f"The metrics are at {path}\n".encode()]
        # Whatever the scraper prefers: OpenMetrics has no colons in names, and the real server's names have.
        return app({**environ, "HTTP_ACCEPT": _PLAIN}, start_response)

    return page
