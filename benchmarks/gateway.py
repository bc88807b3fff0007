"""What the gateway's stores cost, and what the gateway adds to a Predict that brings its history along.

Stores, for users with 100, 1,000 and 10,000 pairs: milliseconds of an append of one event and of reading the whole
history, all stores taking turns in each round; and appends a second of 8 threads, each for a user of its own. `rows` is
what was not chosen: SQLite with one row a pair, read with one SELECT (its appends know neither cap nor conflicts).

Gateway, with --ranker: milliseconds of Rank through a gateway process of its own, and of Predict straight to the ranker
with the same history in hand (as `RankRequest`, so that the time has the making of its arrays), taking turns. CPU times
beside them do not depend on what else runs: the caller's of either way, and the gateway's (Linux, in steps of 10 ms for
all calls of a size together).

Run: python -m benchmarks.gateway --folder FOLDER [--redis-url URL] [--ranker HOST:PORT] [--parts ...] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from seminar_tf.export.inputs import RankRequest, raw_inputs
from serving.client import Client
from serving.gateway.client import GatewayClient
from serving.gateway.events import Event
from serving.gateway.redis_store import RedisStore
from serving.gateway.sqlite_store import SQLiteStore

SIZES = (100, 1000, 10_000)
_START = 1_700_000_000_000
_THREADS = 8
_PARTS = ("stores", "rates", "gateway")


class Rows:
    """One row a pair, clustered by user and time."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL").fetchall()
        self._db.execute("PRAGMA synchronous = FULL")
        columns = "user TEXT, time INTEGER, id TEXT, item BLOB, query BLOB"
        self._db.execute(f"CREATE TABLE pair ({columns}, PRIMARY KEY (user, time, id)) WITHOUT ROWID")

    def append(self, user_id: str, events: Sequence[Event]) -> None:
        rows = [(user_id, e.timestamp, e.event_id, e.item_id.encode(), e.query.encode()) for e in events]
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR IGNORE INTO pair VALUES (?, ?, ?, ?, ?)", rows)
        self._db.execute("COMMIT")

    def history(self, user_id: str, limit: int) -> Any:
        query = "SELECT item, query, time FROM pair WHERE user = ? ORDER BY time DESC, id DESC LIMIT ?"
        items, queries, times = zip(*reversed(self._db.execute(query, (user_id, limit)).fetchall()))
        return items, queries, np.array(times)

    def close(self) -> None:
        self._db.close()


def make_events(count: int, seed: int, start: int = _START) -> list[Event]:
    """Events with ids as long as a UUID, a query at every third."""
    rng = np.random.default_rng(seed)
    ids = [str(uuid.UUID(bytes=rng.bytes(16))) for _ in range(count)]
    return [
        Event(name, f"item{rng.integers(1_000_000)}", "some words to find" if n % 3 == 0 else "", start + 1000 * n)
        for n, name in enumerate(ids)
    ]


def milliseconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def cpu_seconds(pid: int) -> float:
    """CPU time of another process so far, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def summary(times: list[list[float]]) -> dict[str, float]:
    """The fastest call (what other jobs disturb least), the median of the rounds' medians, the 99th percentile."""
    flat = [value for round_ in times for value in round_]
    found = {"min_ms": min(flat), "p50_ms": median(map(median, times)), "p99_ms": float(np.percentile(flat, 99))}
    return {name: round(value, 3) for name, value in found.items()}


def stores(made: dict[str, Any], rounds: int, calls: int, run: str) -> list[dict[str, Any]]:
    """Append and read times of each store at each size."""
    table = []
    for size in SIZES:
        user = f"{run}-{size}"
        for store in made.values():
            store.append(user, make_events(size, seed=size))
        reads: dict[str, list[list[float]]] = {name: [] for name in made}
        appends: dict[str, list[list[float]]] = {name: [] for name in made}
        for number in range(rounds):
            new = make_events(calls, seed=10**6 + number, start=_START + 10**9 * (1 + number))
            for name, store in made.items():
                store.history(user, size)
                reads[name].append([milliseconds(lambda: store.history(user, size)) for _ in range(calls)])  # noqa: B023
                appends[name].append([milliseconds(lambda: store.append(user, [one])) for one in new])  # noqa: B023
        for name in made:
            row = {"store": name, "pairs": size, "read": summary(reads[name]), "append": summary(appends[name])}
            table.append(row)
            print(f"{name:14} {size:6} pairs   read {row['read']}   append {row['append']}", flush=True)
    return table


def rates(made: dict[str, Any], seconds: float, run: str) -> list[dict[str, Any]]:
    """Appends a second of several threads, each with a user of its own."""
    table = []
    for name, store in made.items():
        if name == "rows":
            continue  # its one connection belongs to one thread

        made_up = make_events(20_000, seed=1)
        end = time.monotonic() + seconds

        def work(thread: int, store: Any = store, events: list[Event] = made_up, end: float = end) -> int:
            for done, event in enumerate(events):
                if time.monotonic() >= end:
                    return done
                store.append(f"{run}-rate-{thread}", [event])
            return len(events)

        with ThreadPoolExecutor(_THREADS) as pool:
            found = sum(pool.map(work, range(_THREADS))) / seconds
        table.append({"store": name, "threads": _THREADS, "appends_per_s": round(found)})
        print(f"{name:14} {_THREADS} threads   {found:.0f} appends/s", flush=True)
    return table


def gateway(folder: Path, ranker: str, rounds: int, calls: int, run: str) -> list[dict[str, Any]]:
    """Rank through a gateway beside Predict with the same history."""
    command = [sys.executable, "-m", "seminar_tf.cli.gateway", "--ranker", ranker, "--port", "0", "--timeout", "60"]
    command += ["--task", "click", "--sqlite-path", str(folder / f"{run}-gateway.db")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    table = []
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        candidates = [f"item{n}" for n in range(200)]
        with GatewayClient(address, 60.0) as asking, Client(ranker, timeout_s=60.0) as direct:
            for size in SIZES:
                events = make_events(size, seed=size)
                asking.append_events(f"u{size}", events)
                pairs = [(event.item_id, event.query, event.timestamp) for event in events]
                request = RankRequest(pairs, candidates, _START + 10**9, "tent", f"u{size}")
                ways: dict[str, Callable[[], Any]] = {
                    "predict": lambda: direct.predict(raw_inputs([request])),  # noqa: B023
                    "rank": lambda: asking.rank(f"u{size}", candidates, "tent", timestamp=_START + 10**9),  # noqa: B023
                }
                times: dict[str, list[list[float]]] = {name: [] for name in ways}
                cpu = dict.fromkeys((*ways, "gateway"), 0.0)
                for _ in range(rounds):
                    for name, call in ways.items():
                        call()
                        before, behind = time.process_time(), cpu_seconds(process.pid)
                        times[name].append([milliseconds(call) for _ in range(calls)])
                        cpu[name] += time.process_time() - before
                        cpu["gateway"] += (cpu_seconds(process.pid) - behind) * (name == "rank")
                row: dict[str, Any] = {"pairs": size, "candidates": 200}
                row |= {name: summary(times[name]) for name in ways}
                row["cpu_ms"] = {name: round(1000 * value / (rounds * calls), 2) for name, value in cpu.items()}
                table.append(row)
                print(f"{size:6} pairs   {row}", flush=True)
    finally:
        process.terminate()
        process.wait(60)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where files of the stores go")
    parser.add_argument("--redis-url", help="a Redis server with appendonly yes, appendfsync always")
    parser.add_argument("--ranker", help="address of a server with a ranker that scores the task click")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=30, help="calls a round")
    parser.add_argument("--seconds", type=float, default=5.0, help="of the appends in threads")
    parser.add_argument("--json", type=Path, help="where the numbers go as well")
    parser.add_argument("--parts", nargs="+", choices=_PARTS, default=_PARTS)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    run = uuid.uuid4().hex[:8]
    made: dict[str, Any] = {
        "rows": Rows(given.folder / f"{run}-rows.db"),
        "sqlite FULL": SQLiteStore(given.folder / f"{run}-full.db"),
        "sqlite NORMAL": SQLiteStore(given.folder / f"{run}-normal.db", synchronous="NORMAL"),
    }
    if given.redis_url:
        made["redis always"] = RedisStore(given.redis_url, prefix=f"bench-{run}")
    result: dict[str, Any] = {}
    if "stores" in given.parts:
        result["stores"] = stores(made, given.rounds, given.calls, run)
    if "rates" in given.parts:
        result["rates"] = rates(made, given.seconds, run)
    for store in made.values():
        store.close()
    if given.ranker and "gateway" in given.parts:
        result["gateway"] = gateway(given.folder, given.ranker, given.rounds, given.calls, run)
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
