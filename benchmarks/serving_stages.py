"""The embedded server, writing down where each call's time goes: it is patched from outside, nothing is built into it.

Run: python -m benchmarks.serving_stages ROWS.jsonl <options of seminar-tf serve>
For callers that send one call at a time: what is timed belongs to the one call that runs. A row a Predict call, in
seconds: `server` (all of the server's Python but gRPC's own: parsing, checks, the session, encoding) and `tensorflow`
(the session's part of it).

It also answers `NOTHING`, a call that does nothing: the first four bytes of its request say how many bytes it returns.
What such a call takes is what gRPC takes for messages of these sizes.
"""

from __future__ import annotations

import functools
import json
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import grpc

from seminar_tf.cli.serve import command
from serving import protos
from serving.loaded_model import LoadedModel

NOTHING = "/seminar.Benchmark/Nothing"


def nothing(size: int, reply: int) -> bytes:
    """A request of `NOTHING`: `size` bytes that ask for `reply` bytes."""
    return struct.pack("<I", reply).ljust(size, b"\0")


class Stages(grpc.ServerInterceptor):
    """Times the stages of Predict calls and writes a row a call."""

    def __init__(self, rows: TextIO) -> None:
        self._rows = rows
        self._current: dict[str, float] = {}

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function whose seconds go to the current row."""

        # A handler may carry what gRPC reads of it, such as the pool of threads that it wants.
        @functools.wraps(function)
        def run(*arguments: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                self._current[stage] = self._current.get(stage, 0.0) + time.perf_counter() - start

        return run

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """Replaces Predict's handler and its serializers by timed ones."""
        if details.method == NOTHING:
            return grpc.unary_unary_rpc_method_handler(lambda given, _: bytes(struct.unpack("<I", given[:4])[0]))
        handler = continuation(details)
        if handler is None or details.method != protos.PREDICT:
            return handler
        # A server may leave both to gRPC, or take and give bytes.
        parse = self.timed("server", handler.request_deserializer or _as_it_is)
        serialize = self.timed("server", handler.response_serializer or _as_it_is)

        def first(request: bytes) -> Any:
            self._current = {}
            return parse(request)

        def last(response: Any) -> bytes:
            sent: bytes = serialize(response)
            self._rows.write(json.dumps(self._current) + "\n")
            return sent

        return grpc.unary_unary_rpc_method_handler(
            self.timed("server", handler.unary_unary), request_deserializer=first, response_serializer=last
        )


def _as_it_is(value: bytes) -> bytes:
    return value


def main() -> None:
    """Patches and serves."""
    with Path(sys.argv[1]).open("w", buffering=1, encoding="utf-8") as rows:
        stages = Stages(rows)
        made, run = grpc.server, LoadedModel.run

        def server(*arguments: Any, **options: Any) -> Any:
            # Outermost: what other interceptors do counts as the handler's.
            return made(*arguments, **{**options, "interceptors": [stages, *(options.get("interceptors") or ())]})

        grpc.server = server
        LoadedModel.run = stages.timed("tensorflow", run)
        command(sys.argv[2:])


if __name__ == "__main__":
    main()
