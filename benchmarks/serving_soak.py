"""Minutes of load at a share of capacity, with a new version at fixed times: failures, memory, latency by window."""

from __future__ import annotations

import itertools
import shutil
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seminar_tf.export import versions
from serving.load.compare import LoadError
from serving.load.draw import Drawer, Shape, serialized
from serving.load.loops import Sample, Target, closed_loop, open_loop, poisson
from serving.load.process import ServerProcess
from serving.load.report import OK, percentile, summarize
from serving.load.target import GrpcTarget

WINDOW_S = 10.0
# Memory is flat when its level between swaps grows by less than this, from the third level on.
FLAT_MIB_A_SWAP = 2.0
_SETTLING_SWAPS = 2
_MIB = 1 << 20
_PATIENCE_S = 300.0


@dataclass(frozen=True)
class Soak:
    """How a soak runs.

    Attributes:
      seconds: of the load.
      swap_s: seconds between new versions.
      settle_swaps: versions that come one after the other, under load, before anything is measured. A session's threads
        take the C library's arenas as they come, and it is some swaps until each has held what a session needs.
      share: of the capacity measured before.
      capacity_s: seconds of the closed loop that measures it; a warm-up as long comes before.
      callers: calls in flight in that loop.
      shape: of the requests.
      signature: that is called.
      memory_s: seconds between looks at the server's memory.
      timeout_s: deadline of each call.
      seed: of requests and arrivals.
    """

    seconds: float = 600.0
    swap_s: float = 60.0
    settle_swaps: int = 6
    share: float = 0.7
    capacity_s: float = 20.0
    callers: int = 4
    shape: Shape = field(default_factory=Shape)
    signature: str = "rank_indexed"
    memory_s: float = 1.0
    timeout_s: float = 30.0
    seed: int = 0


def run(models: Sequence[Path], base: Path, soak: Soak, arguments: Sequence[str] = ()) -> dict[str, Any]:
    """Loads a server in a process of its own while versions are published.

    Args:
      models: SavedModels that take turns as versions.
      base: folder of versions; emptied.
      soak: how long, how much.
      arguments: more options of the server.

    Returns:
      JSON types: capacity, summary, windows, memory by second, swaps, and what `verdict` says.

    Raises:
      LoadError: the server's first call fails.
    """
    shutil.rmtree(base, ignore_errors=True)
    versions.publish(models[0], base, 1)
    requests = serialized(Drawer(models[0]), soak.signature, soak.shape, True, 16, soak.seed, "ranker")
    with ServerProcess(base, arguments=arguments) as server, GrpcTarget(server.address, soak.timeout_s) as target:
        first = target.call(requests[0])
        if first.status != OK:
            raise LoadError(f"the first call failed. {first.status}: {first.message}")
        closed_loop(target, requests, soak.callers, soak.capacity_s)
        settled = _settle(models, base, soak, target, requests)
        capacity = summarize(closed_loop(target, requests, soak.callers, soak.capacity_s))
        stop, memory, swaps = threading.Event(), [], []
        start = time.monotonic()
        helpers = [
            threading.Thread(target=_watch, args=(server, soak.memory_s, start, memory, stop)),
            threading.Thread(target=_publish, args=(models, base, soak, settled, start, swaps, stop)),
        ]
        for helper in helpers:
            helper.start()
        try:
            samples = open_loop(target, requests, poisson(soak.share * capacity.qps, soak.seconds, soak.seed))
        finally:
            stop.set()
            for helper in helpers:
                helper.join()
    found = {
        "soak": {name: value for name, value in soak.__dict__.items() if name != "shape"} | soak.shape.__dict__,
        "capacity": capacity.to_json(),
        "offered_qps": soak.share * capacity.qps,
        "summary": summarize(samples).to_json(),
        "answers_by_version": dict(sorted(Counter(s.reply.version for s in samples if s.reply.status == OK).items())),
        "windows": windows(samples, start, WINDOW_S),
        "memory": [{"at_s": at, "mib": size / _MIB} for at, size in memory],
        "swaps": _first_answers(swaps, samples, start),
    }
    return found | verdict(found)


def _watch(
    server: ServerProcess, every_s: float, start: float, memory: list[tuple[float, int]], stop: threading.Event
) -> None:
    while True:
        memory.append((time.monotonic() - start, server.resident_bytes()))
        if stop.wait(every_s):
            return


def _settle(models: Sequence[Path], base: Path, soak: Soak, target: Target, requests: Sequence[bytes]) -> int:
    """Swaps as fast as the server follows, under load; returns the last version.

    Raises:
      LoadError: a version does not come up.
    """
    for version in range(2, soak.settle_swaps + 2):
        _next(models, base, version)
        end = time.monotonic() + _PATIENCE_S
        while all(s.reply.version != version for s in closed_loop(target, requests, soak.callers, 1.0)):
            if time.monotonic() > end:
                raise LoadError(f"version {version} did not answer within {_PATIENCE_S:g} s of its publishing.")
    return soak.settle_swaps + 1


def _next(models: Sequence[Path], base: Path, version: int) -> None:
    """Publishes a version; folders that no server needs any more go."""
    versions.publish(models[(version - 1) % len(models)], base, version)
    shutil.rmtree(base / str(version - 2), ignore_errors=True)


def _publish(
    models: Sequence[Path],
    base: Path,
    soak: Soak,
    version: int,
    start: float,
    swaps: list[tuple[int, float]],
    stop: threading.Event,
) -> None:
    """A version after `version` at every multiple of `swap_s` but the end."""
    for number in itertools.count(1):
        moment = start + number * soak.swap_s
        if moment >= start + soak.seconds or stop.wait(max(moment - time.monotonic(), 0.0)):
            return
        _next(models, base, version + number)
        swaps.append((version + number, time.monotonic() - start))


def _first_answers(swaps: list[tuple[int, float]], samples: list[Sample], start: float) -> list[dict[str, Any]]:
    """Each version, when its folder was there, and when the first call was answered by it (None: by none)."""
    ends: dict[int, float] = {}
    for sample in sorted(samples, key=lambda s: s.ended):
        ends.setdefault(sample.reply.version, sample.ended - start)
    return [{"version": n, "published_s": at, "first_answer_s": ends.get(n)} for n, at in swaps]


def windows(samples: Sequence[Sample], start: float, width: float) -> list[dict[str, Any]]:
    """Calls, failures and p50 and p99 (ms) of each window, by the moment a call was meant to start."""
    found: dict[int, list[Sample]] = {}
    for sample in samples:
        found.setdefault(int((sample.intended - start) // width), []).append(sample)
    rows = []
    for number, inside in sorted(found.items()):
        answered = np.array([s.latency for s in inside if s.reply.status == OK]) * 1e3
        rows.append({
            "from_s": number * width,
            "calls": len(inside),
            "failed": len(inside) - len(answered),
            "p50_ms": percentile(answered, 50) if len(answered) else None,
            "p99_ms": percentile(answered, 99) if len(answered) else None,
        })  # fmt: skip
    return rows


def levels(memory: Sequence[tuple[float, float]], swaps: Sequence[float], end: float) -> list[float]:
    """The median of the second half of each stretch between swaps: the old version is gone by then.

    Args:
      memory: (seconds, MiB).
      swaps: seconds, ascending.
      end: seconds of the last stretch's end.
    """
    borders = [0.0, *swaps, end]
    found = []
    for begin, until in itertools.pairwise(borders):
        inside = [size for at, size in memory if (begin + until) / 2 <= at < until]
        if inside:
            found.append(float(np.median(inside)))
    return found


def verdict(found: dict[str, Any]) -> dict[str, Any]:
    """Whether no call failed, and whether memory is flat: the slope of its levels from the third on.

    Returns:
      `failed`, `levels_mib`, `mib_a_swap` and `flat`. The last two are None where there are fewer than two such levels,
      or where a version but the last never answered: then the server was not seen swapping.
    """
    memory = [(row["at_s"], row["mib"]) for row in found["memory"]]
    moments = [row["published_s"] for row in found["swaps"]]
    all_levels = levels(memory, moments, found["soak"]["seconds"])
    settled = all_levels[_SETTLING_SWAPS:]
    swapped = all(swap["first_answer_s"] is not None for swap in found["swaps"][:-1])
    slope = float(np.polyfit(np.arange(len(settled)), settled, 1)[0]) if swapped and len(settled) > 1 else None
    return {
        "failed": sum(found["summary"]["errors"].values()),
        "levels_mib": all_levels,
        "mib_a_swap": slope,
        "flat": None if slope is None else slope < FLAT_MIB_A_SWAP,
    }
