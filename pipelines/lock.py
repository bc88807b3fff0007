"""A file that one process at a time may hold: the lock goes with the process, however that ends."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path


class HeldError(RuntimeError):
    """Another process holds the lock."""


@contextlib.contextmanager
def hold(path: Path) -> Iterator[None]:
    """Holds a lock file, which is made where it is missing. On Windows there is no such lock: nobody is kept out.

    Raises:
      HeldError: another process of this machine holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HeldError(f"another process holds {path}.") from None
        yield
