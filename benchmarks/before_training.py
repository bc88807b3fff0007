"""What a pipeline run takes before any training: BehaviorExampleGen, StatisticsGen, Transform and what lies between.

The pipeline itself, run by LocalRunner until Transform in a process of its own, on generated logs in KuaiSAR's
proportions (benchmarks/ingest_data.py) and with the settings of pipelines/configs/kuaisar.yaml. CPU seconds are of that
process and of Beam's workers, with what these import and the executors that TFX loads. Peak memory is of all of them
together, looked at every second.

Run: python -m benchmarks.before_training [--sizes 1e5 1e6] [--workers 1 2]
"""

# Nothing large is imported here: this process watches the memory of another.
from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.ingest import write_dataset
from benchmarks.processes import now, start, watched
from components.json_file import write_json

_CONFIG = Path(__file__).resolve().parents[1] / "pipelines" / "configs" / "kuaisar.yaml"
_LAST = "Transform"
_SHOWN = ("BehaviorExampleGen", "StatisticsGen", _LAST)


def run_child(path: str, root: str, workers: str, last: str) -> None:
    """What the watched process does: prints each component's seconds as JSON."""
    from pipelines.local_runner import LocalRunner, NodeResult
    from pipelines.pipeline import create_pipeline
    from seminar_tf.config import PipelineConfig
    from seminar_tf.config_io import from_yaml
    from seminar_tf.memory import keep_freed_memory

    # As `seminar-tf run` does.
    keep_freed_memory()
    config = from_yaml(PipelineConfig, _CONFIG, [f"data.path={path}", f"root={root}", f"beam.workers={workers}"])
    found: dict[str, dict[str, float]] = {}
    began = now()

    def started(name: str, index: int, total: int) -> None:
        nonlocal began
        began = now()

    def ended(result: NodeResult) -> None:
        wall, cpu = (after - before for before, after in zip(began, now()))
        found[result.name] = {"seconds": wall, "cpu_seconds": cpu}

    LocalRunner(started, ended, until=last).run(create_pipeline(config))
    print(json.dumps(found))


def measure(events: int, workers: Sequence[int], seed: int, work: Path, last: str = _LAST) -> Iterator[dict[str, Any]]:
    """One dataset through all numbers of workers, up to the component `last`."""
    path = write_dataset(work, events, seed)
    for count in workers:
        with tempfile.TemporaryDirectory(dir=work) as root:
            told, peak = watched(start("benchmarks.before_training", str(path), root, str(count), last))
            examples = Path(root, "artifacts", _LAST, "transformed_examples")
            written = sum(file.stat().st_size for file in examples.rglob("*") if file.is_file())
        yield {
            "events": events,
            "workers": count,
            "components": json.loads(told),
            "peak_mib": peak / 2**20,
            "transformed_bytes": written,
        }
    shutil.rmtree(path)


def as_row(run: dict[str, Any]) -> str:
    """A row of docs/scale.md: wall and CPU seconds by component, memory and bytes."""
    parts = run["components"]
    rest = sum(v["cpu_seconds"] for k, v in parts.items() if k not in _SHOWN)
    cells = [f"{parts[name]['seconds']:.0f} s, {parts[name]['cpu_seconds']:.0f} s of CPU" for name in _SHOWN]
    transformed = run["transformed_bytes"] / run["events"]
    return (
        f"| {run['events']:,} | {run['workers']} | {' | '.join(cells)} | {rest:.0f} s of CPU "
        f"| {run['peak_mib'] / 1024:.1f} GiB | {transformed:.1f} |"
    )


def main() -> None:
    """Prints a table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=float, nargs="+", default=[1e5, 1e6])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, help="a folder with room for the files")
    parser.add_argument("--out", type=Path, default=Path("before-training.json"))
    options = parser.parse_args()
    print(f"| events | workers | {' | '.join(_SHOWN)} | the rest | peak memory | bytes an event, transformed |")
    print("| --- " * (len(_SHOWN) + 5) + "|")
    with tempfile.TemporaryDirectory(dir=options.work) as name:
        runs = []
        for size in options.sizes:
            for run in measure(int(size), options.workers, options.seed, Path(name)):
                print(as_row(run), flush=True)
                runs.append(run)
                write_json(options.out, {"runs": runs})


if __name__ == "__main__":
    main()
