"""Speed, cost in L, memory and input of fine-tuning, on synthetic ids through the real model, input and train step.

An example is one request with its candidates (one positive, N - 1 drawn negatives); every history is full (L pairs).
Op determinism is on, as it is in the Trainers. A figure is the median of its rounds. The alternative
(benchmarks/plain_ranker.py) runs in the same process, round by round in turn. Each row of memory is the peak resident
memory of a process of its own, TensorFlow included.

Run: python -m benchmarks.train speed|length|memory|input|all [--rounds 5 --out runs/train.json --images docs/images]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.plain_ranker import PlainRanker
from benchmarks.train_corpus import TASK, Shape, channel_tables, epochs, item_features, segments, seminar, sizes

# isort: split
import tensorflow as tf

from seminar_tf.config import TrainConfig
from seminar_tf.features import names
from seminar_tf.memory import keep_freed_memory
from seminar_tf.training.inputs import MemoryEpochs
from seminar_tf.training.loop import compile_model, make_deterministic
from seminar_tf.training.ranking import LiveRanker

_LENGTHS = (200, 1_000, 5_000, 10_000)
_LENGTH_BATCH = 64
_MEMORY = ((10_000, 100, 1), (2_000, 16, 64), (200, 2, 256))  # L, N, B
_EVAL_REQUESTS, _EVAL_CANDIDATES = 32, 100  # as evaluation/protocol.py batches sampled candidates
_WARM_UP = 3


def _corpus(shape: Shape) -> tuple[MemoryEpochs, Any]:
    made = segments(shape)
    features = item_features(shape, made)
    return epochs(shape, made, features), features


def _plain(shape: Shape) -> PlainRanker:
    config = shape.config()
    model = PlainRanker(config, channel_tables(shape, config), sizes(shape).attributes, TASK, seed=1)
    compile_model(model, TrainConfig())
    return model


def _stepper(model: tf.keras.Model, data: MemoryEpochs) -> Callable[[int], float]:
    """A function that takes n steps on the real input and returns seconds a step; warmed up."""
    step = model.make_train_function()
    source = iter(data.epoch(0).repeat())

    def run(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            logs = step(source)
        float(logs["loss"])
        return (time.perf_counter() - began) / count

    run(_WARM_UP)
    return run


def _scorer(model: tf.keras.Model, shape: Shape, data: MemoryEpochs) -> Callable[[int], float]:
    """The same for evaluation: scores 32 requests with 100 candidates each."""
    ranker = LiveRanker(model, TASK, shape.length)
    batch = {k: v.numpy()[:_EVAL_REQUESTS] for k, v in next(iter(data.epoch(0))).items()}
    drawn = np.random.default_rng(0).integers(names.FIRST_ITEM_ID, shape.items, (len(batch[names.QUERY]), 100))
    batch[names.CANDIDATE_ITEM_ID] = drawn.astype(np.int32)

    def run(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            ranker.score(batch)
        return (time.perf_counter() - began) / count

    run(_WARM_UP)
    return run


def _rounds(runs: dict[str, Callable[[int], float]], rounds: int, count: int) -> dict[str, list[float]]:
    """Seconds of every round, the runs taking turns."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            found[name].append(run(count))
    return found


def speed(rounds: int, items: int) -> dict[str, Any]:
    """Training examples and scored pairs a second, beside the alternative."""
    shape = Shape(items=items)
    data, features = _corpus(shape)
    models = {"SEMINAR": seminar(shape, features), "plain attention": _plain(shape)}
    training = _rounds({n: _stepper(m, data) for n, m in models.items()}, rounds, 10)
    scoring = _rounds({n: _scorer(m, shape, data) for n, m in models.items()}, rounds, 10)
    pairs = _EVAL_REQUESTS * _EVAL_CANDIDATES
    print(f"\nV = {items:,}, L = {shape.length}, K = 50, d = 64, H = 4, N = {shape.candidates}, B = {shape.batch_size}")
    print("| ranker | examples/s, median (worst, best) | scored pairs/s, N = 100 |\n| --- | --- | --- |")
    for name in models:
        trained = [shape.batch_size / s for s in training[name]]
        scored = [pairs / s for s in scoring[name]]
        print(
            f"| {name} | {median(trained):,.0f} ({min(trained):,.0f}, {max(trained):,.0f}) "
            f"| {median(scored):,.0f} ({min(scored):,.0f}, {max(scored):,.0f}) |"
        )
    return {"shape": asdict(shape), "step_seconds": training, "score_seconds": scoring, "scored_pairs": pairs}


def length(rounds: int, images: Path) -> dict[str, Any]:
    """Seconds a step by L, and how they grow."""
    found = {}
    print(f"\nV = 4,000, B = {_LENGTH_BATCH}, N = 2")
    print("| L | ms a step | over L = 200 | L over 200 |\n| --- | --- | --- | --- |")
    for long in _LENGTHS:
        shape = Shape(length=long, batch_size=_LENGTH_BATCH, steps=8)
        data, features = _corpus(shape)
        run = _stepper(seminar(shape, features), data)
        found[long] = median(_rounds({"": run}, rounds, 5)[""])
        ratio = found[long] / found[_LENGTHS[0]]
        print(f"| {long:,} | {found[long] * 1e3:.1f} | {ratio:.2f} | {long / _LENGTHS[0]:.0f} |", flush=True)
    _plot(found, images / "train-length.png")
    return {"batch_size": _LENGTH_BATCH, "step_seconds": found}


def _plot(seconds: dict[int, float], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(5, 3.2))
    lengths = list(seconds)
    axis.loglog(lengths, [1e3 * s for s in seconds.values()], "o-", label="SEMINAR, training step")
    axis.loglog(lengths, [1e3 * seconds[lengths[0]] * n / lengths[0] for n in lengths], "k--", label="linear in L")
    axis.set_xlabel("L, pairs of history")
    axis.set_ylabel("ms a step")
    axis.legend()
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def memory() -> list[dict[str, Any]]:
    """Peak resident memory of training, each row in a fresh process."""
    rows = []
    print("\nV = 4,000\n| L | N | B | peak GiB | s a step |\n| --- | --- | --- | --- | --- |")
    for long, candidates, size in _MEMORY:
        shape = ["--shape", str(long), str(candidates), str(size)]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.train", "one", *shape], check=True, capture_output=True, text=True
        )
        row = json.loads(done.stdout.splitlines()[-1])
        rows.append(row)
        print(f"| {long:,} | {candidates} | {size} | {row['peak_gib']:.2f} | {row['step_seconds']:.2f} |", flush=True)
    return rows


def one(long: int, candidates: int, size: int) -> dict[str, Any]:
    """A few steps of one shape, and this process' peak resident memory."""
    shape = Shape(length=long, candidates=candidates, batch_size=size, steps=4)
    data, features = _corpus(shape)
    seconds = _stepper(seminar(shape, features), data)(3)
    return {
        "length": long,
        "candidates": candidates,
        "batch_size": size,
        "peak_gib": _peak_gib(),
        "step_seconds": seconds,
    }


def _peak_gib() -> float:
    """Peak resident memory of this process, in GiB.

    Linux hands getrusage's figure down from the process that started this one, so its own is read where it is known.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    known = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    kib = int(known[0]) if known else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kib / 2**20


def input_profile(rounds: int) -> dict[str, Any]:
    """Step time on the real input and on one cached batch, and how long the step waits for its batch."""
    shape = Shape()
    data, features = _corpus(shape)
    model = seminar(shape, features)
    cached = tf.data.Dataset.from_tensors(next(iter(data.epoch(0)))).repeat()
    step = model.make_train_function()
    sources = {"real input": iter(data.epoch(0).repeat()), "one cached batch": iter(cached)}

    def run(source: Any) -> Callable[[int], float]:
        def go(count: int) -> float:
            began = time.perf_counter()
            for _ in range(count):
                step(source)
            return (time.perf_counter() - began) / count

        go(_WARM_UP)
        return go

    found = {n: median(s) for n, s in _rounds({n: run(s) for n, s in sources.items()}, rounds, 10).items()}
    alone = tf.function(model.train_step)
    source, waited, total = iter(data.epoch(0).repeat()), 0.0, 0.0
    for number in range(_WARM_UP + 10 * rounds):
        began = time.perf_counter()
        batch = next(source)
        got = time.perf_counter()
        float(alone(batch)["loss"])
        if number >= _WARM_UP:
            waited, total = waited + got - began, total + time.perf_counter() - began
    source, began = iter(data.epoch(0)), time.perf_counter()
    for _ in range(data.steps):
        next(source)
    cut = (time.perf_counter() - began) / data.steps
    print("\n| input | ms a step |\n| --- | --- |")
    for name, seconds in found.items():
        print(f"| {name} | {seconds * 1e3:.1f} |")
    print(f"| cutting a batch, nothing else running | {cut * 1e3:.2f} |")
    print(f"The step waits for its batch {waited / total:.1%} of the time.")
    return {"step_seconds": found, "batch_seconds": cut, "waiting_share": waited / total}


def main() -> None:
    """Prints Markdown tables and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "length", "memory", "input", "all", "one"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--items", type=int, nargs="+", default=[4_000], help="V of `speed`, one table each")
    parser.add_argument("--shape", type=int, nargs=3, metavar=("L", "N", "B"), help="of `one`, a row of `memory`")
    parser.add_argument("--out", type=Path, default=Path("runs/train.json"))
    parser.add_argument("--images", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    make_deterministic(1)
    keep_freed_memory()
    if options.what == "one":
        print(json.dumps(one(*options.shape)))
        return
    found: dict[str, Any] = {"load": os.getloadavg(), "cores": os.cpu_count(), "tensorflow": tf.__version__}
    print(f"TensorFlow {tf.__version__}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    wanted = ("speed", "length", "memory", "input") if options.what == "all" else (options.what,)
    if "speed" in wanted:
        found["speed"] = [speed(options.rounds, items) for items in options.items]
    if "length" in wanted:
        found["length"] = length(options.rounds, options.images)
    if "memory" in wanted:
        found["memory"] = memory()
    if "input" in wanted:
        found["input"] = input_profile(options.rounds)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
