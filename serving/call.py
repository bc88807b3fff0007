"""One call on its way through the server: is its client still there, what it asked for, where its time went."""

from __future__ import annotations

import time

import grpc

from serving.errors import CallError

STAGES = ("wait", "decode", "run", "encode")


class Call:
    """What handlers note about a call. Only names that the server itself knows are kept: a client could make up any.

    Attributes:
      method: name of the called method, such as `Predict`.
      model, version, signature: which model answers; "" and None until they are found.
      request_bytes, response_bytes: sizes on the wire, without gRPC's framing.
      seconds: stage -> seconds spent in it.
    """

    def __init__(self, method: str, context: grpc.ServicerContext, arrived: float, request_bytes: int) -> None:
        """Begins a call.

        Args:
          method: its name.
          context: gRPC's.
          arrived: `time.perf_counter()` when it came in.
          request_bytes: size of the request.
        """
        self.method = method
        self.model = ""
        self.version: int | None = None
        self.signature = ""
        self.request_bytes = request_bytes
        self.response_bytes = 0
        self.seconds: dict[str, float] = {}
        self._context = context
        self._arrived = self._last = arrived
        self.mark("wait")

    def mark(self, stage: str) -> None:
        """Ends a stage now."""
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now

    def total(self) -> float:
        """Seconds since the call came in."""
        return time.perf_counter() - self._arrived

    def check_wanted(self) -> None:
        """Stops work that nobody waits for.

        Raises:
          CallError: DEADLINE_EXCEEDED or CANCELLED.
        """
        remaining = self._context.time_remaining()
        if remaining is not None and remaining <= 0:
            raise CallError(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the model was run.")
        if not self._context.is_active():
            raise CallError(grpc.StatusCode.CANCELLED, "the client went away before the model was run.")
