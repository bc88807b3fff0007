"""What the commands share of talking to a person."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path


def quiet_native_logs() -> None:
    """Keeps TensorFlow's C++ side to errors, unless the user asked for another level; call before it loads.

    Google's client libraries, which Beam imports, also warn at import of each Python version they will leave.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Records of import time come before any log file is open; without a handler the first would set one up on stderr.
    logging.getLogger().addHandler(logging.NullHandler())
    warnings.filterwarnings("ignore", category=FutureWarning, module="google")


@contextlib.contextmanager
def native_stderr_to(log: Path | None = None) -> Iterator[None]:
    """Sends what C++ code writes to file descriptor 2 to a file; Python's own `sys.stderr` stays on the terminal.

    Some of TensorFlow's libraries log through absl, which no environment variable quiets.

    Args:
      log: file to append to; None drops the lines.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    before = sys.stderr
    with open(log or os.devnull, "ab") as file, os.fdopen(terminal, "w", buffering=1, closefd=False) as python_stderr:
        os.dup2(file.fileno(), 2)
        # Only where Python writes to the descriptor itself; a test's or a notebook's own stream is left alone.
        if before is sys.__stderr__:
            sys.stderr = python_stderr
        try:
            yield
        finally:
            sys.stderr = before
            os.dup2(terminal, 2)
            os.close(terminal)
