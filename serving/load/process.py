"""The embedded server in a process of its own: it shares neither interpreter lock nor memory with what measures it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

_ADDRESS = re.compile(r"(?: is served|^listening) on ([^\s,]+)")
_STOP_S = 30.0


class ProcessError(RuntimeError):
    """The server did not start, or is gone; the message has the end of its log."""


class ServerProcess:
    """`seminar-tf serve` as a child; use it as a context manager.

    Attributes:
      address: host:port that it listens on.
      pid: of its process.
    """

    def __init__(
        self,
        model_dir: str | Path,
        model_name: str = "ranker",
        arguments: Sequence[str] = (),
        command: Sequence[str] = ("-m", "seminar_tf.cli.serve"),
    ) -> None:
        """Starts the server and waits until it has loaded its model and listens.

        Args:
          model_dir: folder of versions.
          model_name: as requests name it.
          arguments: more options of `seminar-tf serve`.
          command: what Python runs.

        Raises:
          ProcessError: it ended before it listened.
        """
        options = ["--model-dir", str(model_dir), "--model-name", model_name, "--port", "0", *arguments]
        self._child = subprocess.Popen(
            [sys.executable, *command, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self.pid = self._child.pid
        self.address = ""
        self._log: deque[str] = deque(maxlen=40)
        self._known = threading.Event()
        self._reader = threading.Thread(target=self._read, name="server-log", daemon=True)
        self._reader.start()
        self._known.wait()
        if not self.address:
            code = self._child.wait()
            raise ProcessError(f"the server for {model_dir} ended with code {code} before it listened:\n{self.log()}")

    def _read(self) -> None:
        """Takes the child's lines as long as it lives: a full pipe would stop it."""
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self._log.append(line.rstrip("\n"))
            found = _ADDRESS.search(line)
            if found and not self.address:
                self.address = found.group(1)
                self._known.set()
        self._known.set()

    def log(self) -> str:
        """The last lines that the server wrote."""
        return "\n".join(self._log)

    def resident_bytes(self) -> int:
        """Memory of the process that is in RAM now (VmRSS).

        Raises:
          ProcessError: the process is gone.
        """
        try:
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        except FileNotFoundError:
            raise ProcessError(f"the server is gone:\n{self.log()}") from None
        found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
        if found is None:  # a zombie has none
            raise ProcessError(f"the server is gone:\n{self.log()}")
        return int(found.group(1)) * 1024

    def stop(self) -> int:
        """Asks the server to end, as an operator would, and waits; returns its exit code."""
        self._child.send_signal(signal.SIGTERM)
        try:
            return self._child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            return self._child.wait()
        finally:
            self._reader.join()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
