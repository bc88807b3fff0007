"""The two loops of a load test: callers that wait for their answer, and arrivals that wait for nobody.

A closed loop sends a caller's next request when its last is answered: its rate is what the server can do. A slow server
is then simply asked less often, so its latencies flatter it. An open loop sends at moments settled beforehand, and
counts a call's latency from the moment it *should* have been sent: a server that stalls for a second owes that second
to every call that came meanwhile, even if the generator itself sent them late.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Reply:
    """How a call ended.

    Attributes:
      status: name of its gRPC status code.
      version: of the model that answered; 0 where the call failed.
      message: the server's, where the call failed.
    """

    status: str
    version: int = 0
    message: str = ""


@dataclass(frozen=True)
class Sample:
    """One call of a loop; times are seconds of the loop's clock.

    Attributes:
      intended: when it should have been sent.
      sent: when it was.
      ended: when its answer was there, or its error.
      reply: how it ended.
    """

    intended: float
    sent: float
    ended: float
    reply: Reply

    @property
    def latency(self) -> float:
        """Seconds from the intended start."""
        return self.ended - self.intended


class Target(Protocol):
    """Where requests go; both ways may be used from many threads at once. Neither raises for a failed call."""

    def call(self, request: bytes) -> Reply:
        """Sends a serialized request and waits."""

    def start(self, request: bytes, done: Callable[[Reply], None]) -> None:
        """Sends a serialized request; `done` is called once, from any thread."""


class Clock:
    """Seconds that only go forward; tests put a simulated one in its place."""

    def now(self) -> float:
        return time.monotonic()

    def sleep_until(self, moment: float) -> None:
        """Returns at once where the moment has passed."""
        time.sleep(max(moment - self.now(), 0.0))

    def wait(self, event: threading.Event) -> None:
        event.wait()


def poisson(rate: float, seconds: float, seed: int) -> np.ndarray:
    """Moments of independent arrivals.

    Args:
      rate: arrivals a second, on average.
      seconds: length of the run.
      seed: the same seed gives the same moments.

    Returns:
      (n,) float64, ascending, in [0, seconds).

    Raises:
      ValueError: a rate or a length that is not above 0.
    """
    if not (rate > 0 and seconds > 0):
        raise ValueError(f"arrivals need a rate and a length above 0, found {rate:g} a second for {seconds:g} s.")
    rng = np.random.default_rng(seed)
    # Given their number, the moments of a Poisson process are spread evenly and independently.
    return np.sort(rng.uniform(0.0, seconds, rng.poisson(rate * seconds)))


def closed_loop(
    target: Target, requests: Sequence[bytes], callers: int, seconds: float, clock: Clock | None = None
) -> list[Sample]:
    """Callers that each send their next request when the last is answered.

    Args:
      target: where to.
      requests: sent in turn, each caller from a place of its own.
      callers: calls in flight.
      seconds: no call begins later; every call that began is waited for.
      clock: None takes the real one.

    Returns:
      The calls, in the order of their ends.
    """
    time_source = clock or Clock()
    start = time_source.now()

    def caller(number: int) -> list[Sample]:
        found = []
        place = number * len(requests) // callers
        while (sent := time_source.now()) < start + seconds:
            reply = target.call(requests[place % len(requests)])
            found.append(Sample(sent, sent, time_source.now(), reply))
            place += 1
        return found

    if callers == 1:
        return caller(0)
    with ThreadPoolExecutor(callers, thread_name_prefix="caller") as pool:
        samples = [sample for found in pool.map(caller, range(callers)) for sample in found]
    return sorted(samples, key=lambda sample: sample.ended)


def open_loop(
    target: Target, requests: Sequence[bytes], moments: np.ndarray, clock: Clock | None = None
) -> list[Sample]:
    """Calls that start at given moments, whatever became of those before.

    Args:
      target: where to. Its calls need deadlines: the loop ends with the last answer.
      requests: sent in turn.
      moments: (n,) ascending seconds from now.
      clock: None takes the real one.

    Returns:
      n samples, in the order of `moments`.
    """
    time_source = clock or Clock()
    samples: dict[int, Sample] = {}
    lock, finished = threading.Lock(), threading.Event()
    start = time_source.now()

    def send(number: int, intended: float) -> None:
        sent = time_source.now()

        def done(reply: Reply) -> None:
            sample = Sample(intended, sent, time_source.now(), reply)
            with lock:
                samples[number] = sample
                if len(samples) == len(moments):
                    finished.set()

        target.start(requests[number % len(requests)], done)

    for number, moment in enumerate(moments):
        intended = start + float(moment)
        time_source.sleep_until(intended)
        send(number, intended)
    if len(moments):
        time_source.wait(finished)
    return [samples[number] for number in range(len(moments))]
