"""Waiting for the signal that ends a server."""

from __future__ import annotations

import signal
import threading
from types import FrameType

# Seconds after which a signal that did not wake the main thread is seen all the same.
_LOOK_S = 0.2


def wait_for_stop() -> None:
    """Blocks until SIGTERM or SIGINT; call it in the main thread. The handlers of before are back when it returns."""
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        # With a time-out: a signal that comes just before the wait begins, or on another thread, does not end it, and
        # Python runs handlers only when this thread is awake.
        while not asked.wait(_LOOK_S):
            pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
