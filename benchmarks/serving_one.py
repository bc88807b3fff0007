"""One request at a time: how long it takes, where the time goes, and what asking candidate by candidate would take."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from benchmarks.random_ranker import Sizes, exported
from benchmarks.serving_stages import NOTHING, nothing
from seminar_tf.export import versions
from seminar_tf.features import names
from serving.client import Client
from serving.load.draw import Drawer, Shape
from serving.load.process import ServerProcess
from serving.load.report import percentile

TABLES = ("float", "fused", "codes")
_WARM_UP = 5
_REQUESTS = 16


@dataclass
class _Server:
    """A server for one model, and how many calls it wrote a row of."""

    tables: str
    client: Client
    rows: Path
    requests: list[dict[str, np.ndarray]]
    sent: int = 0


@dataclass
class _Way:
    """A signature of one model while it is measured; seconds. `counted` are places of its calls among the rows."""

    server: _Server
    signature: str
    total: list[float] = field(default_factory=list)
    on_wire: list[float] = field(default_factory=list)
    singles: list[float] = field(default_factory=list)
    empty: list[float] = field(default_factory=list)
    counted: list[int] = field(default_factory=list)

    def call(self, inputs: dict[str, np.ndarray]) -> Any:
        """One call, arrays in and arrays out."""
        self.server.sent += 1
        return self.server.client.predict(inputs, self.signature)


def measure(folder: Path, sizes: Sizes, signatures: list[str], tables: list[str], calls: int, rounds: int) -> dict:
    """Times every table and signature in turns.

    Args:
      folder: for models and rows.
      sizes: of the models, and of the requests.
      signatures: that are called.
      tables: `retrieval.tables` of the models.
      calls: whole requests of each way, all rounds together.
      rounds: turns; each also has N one-candidate calls.

    Returns:
      JSON types: `sizes`, `calls`, `rounds` and `rows`, one a way.
    """
    with ExitStack() as stack:
        servers = [_serve(stack, folder / name, sizes, name) for name in tables]
        ways = [_Way(server, signature) for server in servers for signature in signatures]
        for way in ways:
            _warm_up(way)
        for number in range(rounds):
            for way in ways:
                _whole(way, calls * (number + 1) // rounds - calls * number // rounds)
                way.singles.append(_one_by_one(way, number))
    rows = [_row(way) for way in ways]
    return {"sizes": asdict(sizes), "calls": calls, "rounds": rounds, "rows": rows}


def _serve(stack: ExitStack, folder: Path, sizes: Sizes, tables: str) -> _Server:
    """A server for one model, in a process of its own."""
    saved, base, rows = exported(folder, sizes, tables, seed=1), folder / "versions", folder / "rows.jsonl"
    shutil.rmtree(base, ignore_errors=True)
    versions.publish(saved, base, 1)
    drawer, rng = Drawer(saved), np.random.default_rng(0)
    requests = [drawer.ids(rng, Shape(1, sizes.length, sizes.candidates)) for _ in range(_REQUESTS)]
    server = stack.enter_context(ServerProcess(base, command=("-m", "benchmarks.serving_stages", str(rows))))
    client = stack.enter_context(Client(server.address, timeout_s=120.0, max_attempts=1))
    return _Server(tables, client, rows, requests)


def _warm_up(way: _Way) -> None:
    for number in range(_WARM_UP):
        way.call(way.server.requests[number])
        way.call(_single(way.server.requests[number], 0))


def _single(inputs: dict[str, np.ndarray], place: int) -> dict[str, np.ndarray]:
    candidates = inputs[names.CANDIDATE_ITEM_ID]
    return {**inputs, names.CANDIDATE_ITEM_ID: candidates[:, place : place + 1]}


def _whole(way: _Way, calls: int) -> None:
    """Whole requests, and as many calls that do nothing with as many bytes."""
    channel = grpc.insecure_channel(way.server.client.address, options=(("grpc.max_receive_message_length", -1),))
    empty = channel.unary_unary(NOTHING)
    for number in range(calls):
        inputs = way.server.requests[number % len(way.server.requests)]
        start = time.perf_counter()
        answer = way.call(inputs)
        way.total.append(time.perf_counter() - start)
        way.on_wire.append(answer.latency_s)
        way.counted.append(way.server.sent - 1)
        payload = nothing(answer.request_bytes, answer.response_bytes)
        start = time.perf_counter()
        empty(payload, timeout=60.0)
        way.empty.append(time.perf_counter() - start)
    channel.close()


def _one_by_one(way: _Way, number: int) -> float:
    """Seconds of a request's candidates asked for one after the other."""
    inputs = way.server.requests[number % len(way.server.requests)]
    singles = [_single(inputs, place) for place in range(inputs[names.CANDIDATE_ITEM_ID].shape[1])]
    start = time.perf_counter()
    for single in singles:
        way.call(single)
    return time.perf_counter() - start


def _row(way: _Way) -> dict[str, Any]:
    """A way's numbers, after its server wrote its last row."""
    written = [json.loads(line) for line in way.server.rows.read_text(encoding="utf-8").splitlines()]
    if len(written) != way.server.sent:
        raise RuntimeError(f"{way.server.rows}: the server wrote {len(written)} rows of {way.server.sent} calls.")
    stages = {
        name: 1e3 * np.array([written[place][name] for place in way.counted]) for name in ("server", "tensorflow")
    }
    total, wire = 1e3 * np.array(way.total), 1e3 * np.array(way.on_wire)
    parts = {
        "tensorflow": stages["tensorflow"],
        "server_conversion": stages["server"] - stages["tensorflow"],
        "client_conversion": total - wire,
        "grpc": wire - stages["server"],
    }
    singles = float(np.median(way.singles))
    return {
        "tables": way.server.tables,
        "signature": way.signature,
        "calls": len(total),
        "p50_ms": percentile(total, 50),
        "p99_ms": percentile(total, 99),
        "max_ms": percentile(total, 100),
        "parts_p50_ms": {name: percentile(values, 50) for name, values in parts.items()},
        "shares": {name: float(values.sum() / total.sum()) for name, values in parts.items()},
        "empty_call_p50_ms": percentile(1e3 * np.array(way.empty), 50),
        "one_by_one_s": singles,
        "times_faster": singles * 1e3 / percentile(total, 50),
    }
