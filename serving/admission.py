"""How many calls are here: a pool of threads that counts them, so that too many can be refused at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any


class CountingPool(futures.ThreadPoolExecutor):
    """Threads for calls, a count of the calls that run or wait, and how long each has waited.

    gRPC submits every call as it arrives. Its own limit (`maximum_concurrent_rpcs`) answers RESOURCE_EXHAUSTED and
    counts health checks, too; the real server's full queue is UNAVAILABLE, which tells a client to try elsewhere.
    """

    def __init__(self, threads: int, most_waiting: int, name: str) -> None:
        """Makes a pool.

        Args:
          threads: calls that run at once.
          most_waiting: calls beside them that may wait.
          name: prefix of the threads' names.
        """
        super().__init__(threads, thread_name_prefix=name)
        self.threads = threads
        self.most_waiting = most_waiting
        self._count = 0
        self._changed = threading.Condition()
        self._local = threading.local()

    @property
    def count(self) -> int:
        """Calls that run or wait."""
        return self._count

    def full(self) -> bool:
        """Whether one more call has no place."""
        return self._count >= self.threads + self.most_waiting

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> futures.Future[Any]:
        """As ThreadPoolExecutor's, counted until `fn` has returned."""
        with self._changed:
            self._count += 1
        try:
            future = super().submit(self._run, time.perf_counter(), fn, args, kwargs)
        except BaseException:
            self._leave()
            raise
        future.add_done_callback(lambda done: self._leave())
        return future

    def _run(self, arrived: float, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        self._local.arrived = arrived
        return fn(*args, **kwargs)

    def _leave(self) -> None:
        with self._changed:
            self._count -= 1
            if self._count == 0:
                self._changed.notify_all()

    def arrived(self) -> float:
        """`time.perf_counter()` of the moment when the call that this thread runs came in."""
        return getattr(self._local, "arrived", time.perf_counter())

    def wait_until_idle(self, seconds: float) -> bool:
        """Blocks until no call runs or waits, at most so long; whether that came true."""
        with self._changed:
            return self._changed.wait_for(lambda: self._count == 0, seconds)


class OpenCalls:
    """How many calls have not wholly ended: a handler that returned may still have its answer on the way out."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = threading.Condition()

    def enter(self, context: Any) -> None:
        """Counts a call until gRPC says that it is over."""
        with self._changed:
            self._count += 1
        if not context.add_callback(self._leave):
            self._leave()

    def _leave(self) -> None:
        with self._changed:
            self._count -= 1
            if self._count == 0:
                self._changed.notify_all()

    def wait_until_none(self, seconds: float) -> bool:
        """Blocks until every call has ended, at most so long; whether that came true."""
        with self._changed:
            return self._changed.wait_for(lambda: self._count == 0, seconds)
