"""When a call is made again: on UNAVAILABLE only, after growing pauses, within one deadline."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from serving.calls import Reply, ServingError


@dataclass(frozen=True)
class RetryPolicy:
    """How often a call is made, and the pauses between.

    UNAVAILABLE alone is tried again: the server did not take the call. Everything else would fail again (a wrong
    request), or may be what overload looks like (a passed deadline), which more calls would make worse.

    Attributes:
      max_attempts: most calls for one answer.
      backoff_s: longest pause before the second attempt; it doubles with each.
      max_backoff_s: what the pause grows to.
      jitter: share of a pause that is left to chance, 0 to 1: clients that failed together must not return together.
    """

    max_attempts: int = 3
    backoff_s: float = 0.05
    max_backoff_s: float = 2.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts is {self.max_attempts}, expected 1 or more.")
        if not (0.0 <= self.backoff_s < math.inf and 0.0 <= self.max_backoff_s < math.inf):
            raise ValueError(f"backoff_s {self.backoff_s} and max_backoff_s {self.max_backoff_s} must be 0 or more.")
        if not 0.0 <= self.jitter <= 1.0:
            raise ValueError(f"jitter is {self.jitter}, expected 0 to 1.")

    def pause_s(self, attempt: int, rng: random.Random) -> float:
        """Seconds to wait after the `attempt`-th call failed, counted from 1."""
        # Above 2^60 the cap has long been reached, and the power would overflow a float in the end.
        longest = min(self.backoff_s * 2.0 ** min(attempt - 1, 60), self.max_backoff_s)
        return longest * (1.0 - self.jitter * rng.random())


class Attempts:
    """The attempts of one call: a client asks it how long each may take, and whether another one follows.

    It does no I/O and does not wait, so that the blocking and the asyncio client share it.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        timeout_s: float,
        address: str,
        rng: random.Random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Starts the clock.

        Args:
          policy: how often, and the pauses.
          timeout_s: seconds from now for all attempts; 0 or less has passed already.
          address: whom the call goes to, for messages.
          rng: where jitter comes from.
          clock: seconds that only grow.

        Raises:
          ValueError: `timeout_s` is not finite. A call without a deadline could wait for ever.
        """
        if not math.isfinite(timeout_s):
            raise ValueError(f"timeout_s is {timeout_s}, expected a number of seconds.")
        self.made = 0
        self._policy = policy
        self._address = address
        self._rng = rng
        self._clock = clock
        self._start = clock()
        self._deadline = self._start + timeout_s

    def begin(self) -> float:
        """Counts an attempt. Returns the seconds that it may take, more than 0.

        Raises:
          ServingError: DEADLINE_EXCEEDED; there is no time left, and nothing is sent. gRPC would send the call.
        """
        left = self._deadline - self._clock()
        if left <= 0:
            message = f"the deadline passed before attempt {self.made + 1} was sent [{self._address}]"
            raise ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, message)
        self.made += 1
        return left

    def succeed(self, raw: bytes) -> Reply:
        """The answer of the attempt begun last."""
        return Reply(raw, self.made, self._clock() - self._start)

    def pause_after(self, error: grpc.RpcError) -> float:
        """Seconds to wait before the next attempt, after one failed.

        Raises:
          ServingError: there is none: the status is not UNAVAILABLE, or attempts or time are used up.
        """
        code = error.code()
        pause = self._policy.pause_s(self.made, self._rng)
        again = code == grpc.StatusCode.UNAVAILABLE and self.made < self._policy.max_attempts
        if again and self._clock() + pause < self._deadline:
            return pause
        calls = "" if self.made == 1 else f", {self.made} attempts"
        raise ServingError(code, f"{error.details() or 'no message'} [{self._address}{calls}]") from error
