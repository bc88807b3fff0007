"""A simulated clock and server for load loops: what they should find is known exactly, and takes no time."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator, Sequence

from serving.load.loops import Clock, Reply


class SimulatedClock(Clock):
    """Time passes only where somebody waits, and what falls due meanwhile happens on the way."""

    def __init__(self) -> None:
        self.time = 0.0
        self.oversleeps: dict[float, float] = {}
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self.time

    def at(self, moment: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._due, (moment, next(self._order), action))

    def sleep_until(self, moment: float) -> None:
        """Wakes later where `oversleeps` says so: an operating system promises nothing."""
        until = max(moment, self.time) + self.oversleeps.get(moment, 0.0)
        while self._due and self._due[0][0] <= until:
            self._step()
        self.time = until

    def wait(self, event) -> None:
        while not event.is_set():
            self._step()

    def _step(self) -> None:
        moment, _, action = heapq.heappop(self._due)
        self.time = max(self.time, moment)
        action()


class SimulatedServer:
    """Answers one call after the other; each takes the next of the given times."""

    def __init__(self, clock: SimulatedClock, service: Sequence[float], status: Iterator[str] | None = None) -> None:
        self.clock = clock
        self.free = 0.0
        self.received: list[bytes] = []
        self._service = itertools.cycle(service)
        self._status = status or itertools.repeat("OK")

    def call(self, request: bytes) -> Reply:
        self.received.append(request)
        self.clock.sleep_until(self._end())
        return Reply(next(self._status), version=1)

    def start(self, request: bytes, done: Callable[[Reply], None]) -> None:
        self.received.append(request)
        reply = Reply(next(self._status), version=1)
        self.clock.at(self._end(), lambda: done(reply))

    def _end(self) -> float:
        self.free = max(self.free, self.clock.now()) + next(self._service)
        return self.free
