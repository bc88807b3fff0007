"""Ingestion's speed: events a second of one core through BehaviorExampleGen, against a row-wise Beam pipeline.

Three measurements, each pipeline run in a process of its own on Beam's FnApiRunner, imports left out:

- ratio: both pipelines turn the same dataset in KuaiSAR's proportions into the same records (a test holds them against
  each other), in turn, several times; medians of events a second of CPU time, all threads together, which is what a
  busy machine leaves as it is.
- linear: ours alone at growing sizes, with a plot of seconds against events and the slope in logarithms (1: linear).
- large: ours alone at one size, on worker processes; wall time, and the peak of all processes' memory together.

Run: python -m benchmarks.ingest ratio [--events 1000000 --repeats 3]
     python -m benchmarks.ingest linear [--sizes 1e5 1e6 1e7 2e7]
     python -m benchmarks.ingest large [--events 20000000 --workers 2]
"""

# Nothing large is imported here: this process watches the memory of others.
from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.processes import ran, start, watched
from components.json_file import write_json

OURS, RIVAL = "BehaviorExampleGen", "row-wise Beam"
_NOW_MS = 1_800_000_000_000
_HERE = "benchmarks.ingest"


def run_ours(path: str, out: Path, partitions: int, workers: int) -> None:
    """Ingests span 1 of a dataset into a folder by BehaviorExampleGen's pipeline."""
    from components.behavior_example_gen import road
    from components.behavior_example_gen.settings import IngestSettings
    from seminar_tf.config import DataConfig
    from seminar_tf.data.dataset import describe
    from seminar_tf.features import names

    settings = IngestSettings(data=DataConfig(path=path, partitions=partitions), dataset=describe(path))
    folders = {name: str(out / f"Split-{name}") for name in names.SPLITS}
    plan = road.plan(path, 1, settings, _NOW_MS)
    road.ingest(lambda: _pipeline(workers), plan, folders, str(out / "rejected"), str(out / "summary.json"))


def run_rival(path: str, out: Path) -> None:
    """The same by the row-wise pipeline."""
    from apache_beam.io.tfrecordio import WriteToTFRecord

    from benchmarks import ingest_rows

    with _pipeline(1) as pipeline:
        for name, records in ingest_rows.build(pipeline, path, _NOW_MS).items():
            (out / f"Split-{name}").mkdir(parents=True)
            prefix = str(out / f"Split-{name}" / "data_tfrecord")
            _ = records | f"Write[{name}]" >> WriteToTFRecord(prefix, file_name_suffix=".gz")


def _pipeline(workers: int) -> Any:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    several = ["--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"]
    return beam.Pipeline(runner="FnApiRunner", options=PipelineOptions(several if workers > 1 else []))


def run_child(step: str, *arguments: str) -> None:
    """What a child process does; `ingest` prints its seconds as JSON."""
    if step == "write":
        from benchmarks import ingest_data

        folder, events, seed, skew = arguments
        ingest_data.write(Path(folder), int(events), int(seed), float(skew))
        return
    # Both pipelines need these: loading them is no part of what is timed.
    from benchmarks import ingest_rows  # noqa: F401
    from components.behavior_example_gen import road  # noqa: F401

    pipeline, path, out, partitions, workers = arguments
    begin, begin_cpu = time.perf_counter(), time.process_time()
    if pipeline == OURS:
        run_ours(path, Path(out), int(partitions), int(workers))
    else:
        run_rival(path, Path(out))
    print(json.dumps({"seconds": time.perf_counter() - begin, "cpu_seconds": time.process_time() - begin_cpu}))


def measure(pipeline: str, path: Path, partitions: int = 16, workers: int = 1, work: Path | None = None) -> Any:
    """Runs one pipeline in a process of its own; its output is removed.

    Returns:
      `seconds`, `cpu_seconds` (of the process, not of its workers), `peak_mib` (resident memory of the process and all
      below it) and `written_mib`.
    """
    with tempfile.TemporaryDirectory(dir=work) as name:
        child = start(_HERE, "ingest", pipeline, str(path), name, str(partitions), str(workers))
        told, peak = watched(child)
        written = sum(file.stat().st_size for file in Path(name).rglob("*") if file.is_file())
    return json.loads(told) | {"pipeline": pipeline, "peak_mib": peak / 2**20, "written_mib": written / 2**20}


def write_dataset(folder: Path, events: int, seed: int, skew: float = 0.0) -> Path:
    """Writes a dataset in a process of its own and returns its folder."""
    path = folder / f"events-{events}"
    ran(_HERE, "write", str(path), str(events), str(seed), str(skew))
    return path


def ratio(events: int, repeats: int, seed: int, work: Path) -> dict[str, Any]:
    """Both pipelines, in turn, `repeats` times; medians of events a second of CPU time and their ratio."""
    path = write_dataset(work, events, seed)
    runs = [measure(pipeline, path, work=work) for _ in range(repeats) for pipeline in (OURS, RIVAL)]
    speed = {
        name: statistics.median(events / run["cpu_seconds"] for run in runs if run["pipeline"] == name)
        for name in (OURS, RIVAL)
    }
    print(f"{events:,} events, {repeats} runs each; medians")
    for name, value in speed.items():
        wall = statistics.median(events / run["seconds"] for run in runs if run["pipeline"] == name)
        peak = max(run["peak_mib"] for run in runs if run["pipeline"] == name)
        print(f"{name:<20}{value:>12,.0f} events/s of a core{wall:>12,.0f} events/s of wall time{peak:>8,.0f} MiB peak")
    print(f"ratio: {speed[OURS] / speed[RIVAL]:.1f}")
    return {"events": events, "runs": runs, "events_per_cpu_second": speed, "ratio": speed[OURS] / speed[RIVAL]}


def linear(sizes: list[int], seed: int, work: Path, plot: Path) -> dict[str, Any]:
    """Ours at growing sizes; the slope of log CPU seconds over log events, and a plot."""
    runs = []
    for events in sizes:
        path = write_dataset(work, events, seed)
        runs.append(measure(OURS, path, work=work) | {"events": events})
        speed = events / runs[-1]["cpu_seconds"]
        print(f"{events:>12,} events{runs[-1]['cpu_seconds']:>10.1f} s of CPU{speed:>12,.0f} events/s")
        shutil.rmtree(path)
    slope = _slope([run["events"] for run in runs], [run["cpu_seconds"] for run in runs])
    print(f"slope of log seconds over log events: {slope:.3f}")
    _plot(runs, slope, plot)
    return {"runs": runs, "slope": slope}


def large(events: int, partitions: int, workers: int, seed: int, work: Path, skew: float) -> dict[str, Any]:
    """Ours at one size on worker processes."""
    path = write_dataset(work, events, seed, skew)
    run = measure(OURS, path, partitions, workers, work)
    minutes = run["seconds"] / 60
    print(
        f"{events:,} events end to end on {workers} worker(s): {minutes:.1f} minutes "
        f"({events / run['seconds']:,.0f} events/s), peak {run['peak_mib'] / 1024:.2f} GiB, "
        f"{run['written_mib']:,.0f} MiB written"
    )
    shutil.rmtree(path)
    return run | {"events": events, "workers": workers, "partitions": partitions, "skew": skew}


def _slope(events: list[int], seconds: list[float]) -> float:
    """Least squares of log seconds on log events."""
    x, y = [math.log(e) for e in events], [math.log(s) for s in seconds]
    middle, height = statistics.fmean(x), statistics.fmean(y)
    return sum((a - middle) * (b - height) for a, b in zip(x, y)) / sum((a - middle) ** 2 for a in x)


def _plot(runs: list[dict[str, Any]], slope: float, file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4))
    events, seconds = [run["events"] for run in runs], [run["cpu_seconds"] for run in runs]
    axes.loglog(events, seconds, "o-", label=f"BehaviorExampleGen, slope {slope:.2f}")
    axes.loglog(events, [seconds[-1] * e / events[-1] for e in events], "--", color="gray", label="linear")
    axes.set_xlabel("events")
    axes.set_ylabel("CPU seconds")
    axes.legend()
    axes.grid(True, which="both", alpha=0.3)
    figure.tight_layout()
    figure.savefig(file, dpi=120)
    plt.close(figure)


def main() -> None:
    """Prints the figures and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=("ratio", "linear", "large"))
    parser.add_argument("--events", type=float, help="of ratio (default 1e6) and large (default 2e7)")
    parser.add_argument("--sizes", type=float, nargs="+", default=[1e5, 3e5, 1e6, 3e6, 1e7, 2e7])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--partitions", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--skew", type=float, default=0.0, help="of large: share of events that one user has besides")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, help="a folder with room for the files")
    parser.add_argument("--out", type=Path, help="JSON file; default ingest-<mode>.json")
    options = parser.parse_args()
    out = options.out or Path(f"ingest-{options.mode}.json")
    if options.mode == "linear" and len(options.sizes) < 2:
        parser.error("--sizes needs two or more: a slope has no meaning for one.")
    with tempfile.TemporaryDirectory(dir=options.work) as name:
        work = Path(name)
        if options.mode == "ratio":
            found = ratio(int(options.events or 1e6), options.repeats, options.seed, work)
        elif options.mode == "linear":
            found = linear([int(size) for size in options.sizes], options.seed, work, out.with_suffix(".png"))
        else:
            events = int(options.events or 2e7)
            found = large(events, options.partitions, options.workers, options.seed, work, options.skew)
    write_json(out, found)


if __name__ == "__main__":
    main()
