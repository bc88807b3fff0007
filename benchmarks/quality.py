"""What moves NDCG: SEMINAR over several seeds, one row for each part left out, and the long tail; on MovieLens 1M.

Protocol: leave-last-out (a user's last rating is the test target, the one before it the eval target); ranked as the
configuration says: for ml-1m.yaml among 99 uniform negatives outside the user's history, drawn once and the same for
every row and seed. Seeds differ in initial weights and in every draw of training. A row's difference from the whole
model is a paired bootstrap over users.

The long tail: of a tenth of the items, drawn by hash, every train target is taken away. They stay in histories, where
pretraining learns from them, and in the test split, where the users whose target is one of them are compared.

Run: python -m benchmarks.quality --src ml-1m [--seeds 1 2 3 --rows ROW .. --work runs/ml-1m --jobs 2]
MovieLens 1M has no query to leave out; a dataset in canonical tables that has (seminar-tf generate) is read with
--config pipelines/configs/demo.yaml --data DIR --rows SEMINAR "no query"
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality_run import (
    Transformed,
    UserRanks,
    fine_tuned,
    ingest,
    pretrained,
    training_report,
    user_ranks,
    without_targets,
)
from seminar_tf.config import EvaluationConfig, PipelineConfig
from seminar_tf.config_io import from_yaml
from seminar_tf.evaluation.metrics import ndcg_name
from seminar_tf.evaluation.significance import mean_interval, paired_bootstrap
from seminar_tf.features import names

_CONFIG = Path(__file__).resolve().parents[1] / "pipelines" / "configs" / "ml-1m.yaml"
_SHOWN = ("ndcg_at_5", "ndcg_at_10", "ndcg_at_50", "hit_at_10", "mrr")
_FULL = EvaluationConfig(candidates="full")
_WHOLE, _TAIL, _TAIL_FRESH = "SEMINAR", "long tail", "long tail, no pretraining"
_HELD_OUT_SHARE = 10  # one item in so many


@dataclass(frozen=True)
class Row:
    """One model of the table.

    Attributes:
      name: its name.
      model, psu, seminar: what it changes in these sections of the configuration.
      tail: whether a tenth of the items is taken out of the train targets.
    """

    name: str
    model: dict[str, Any] = field(default_factory=dict)
    psu: dict[str, Any] = field(default_factory=dict)
    seminar: dict[str, Any] = field(default_factory=dict)
    tail: bool = False

    def config(self, base: PipelineConfig, seed: int) -> PipelineConfig:
        """The row's configuration."""
        return replace(
            base,
            seed=seed,
            model=replace(base.model, **self.model),
            psu=replace(base.psu, **self.psu),
            seminar=replace(base.seminar, **self.seminar),
        )


ROWS = (
    Row(_WHOLE),
    Row("PSU alone", seminar={"epochs": 0}),
    Row("no pretraining", psu={"epochs": 0}),
    Row("no alignment", psu={"align_weight": 0.0}),
    Row("no gate", model={"use_gate": False}),
    Row("no recency", model={"use_recency": False}),
    Row("no short branch", model={"short_length": 0}),
    Row("no text", model={"channels": ("image", "attributes")}),
    Row("no image", model={"channels": ("text", "attributes")}),
    Row("no query", model={"use_query": False}),
    Row(_TAIL, tail=True),
    Row(_TAIL_FRESH, psu={"epochs": 0}, tail=True),
)
# Every pair of MovieLens 1M has the empty query.
_DEFAULT_ROWS = [row.name for row in ROWS if row.name != "no query"]


def held_out_items(known: Iterable[int]) -> np.ndarray:
    """A tenth of the items, by a hash of their ids: (n,) int64."""
    return np.array([i for i in known if hashlib.blake2b(b"%d" % i, digest_size=8).digest()[0] % _HELD_OUT_SHARE == 0])


def prepare(source: Path, work: Path) -> Path:
    """Writes MovieLens as canonical tables, unless they are there. Returns their folder."""
    dataset = work / "data"
    if not dataset.exists():
        command = [str(Path(sys.executable).parent / "seminar-tf"), "prepare", "movielens"]
        subprocess.run([*command, "--src", str(source), "--out", str(dataset)], check=True)
    return dataset


def measure(
    task: tuple[Row, int], config: PipelineConfig, data: Transformed, work: Path, full: bool, split: str
) -> dict[str, UserRanks]:
    """Trains and ranks one row with one seed."""
    row, seed = task
    of_row = row.config(config, seed)
    base = pretrained(of_row, data, work)
    if row.tail:
        data = without_targets(data, _held_out(data), work / "long-tail-examples")
    model = fine_tuned(of_row, data, base, work)
    ranks = {"sampled": user_ranks(model, data, config.evaluation, split)}
    if full:
        ranks["full"] = user_ranks(model, data, _FULL, split)
    mean = ranks["sampled"].values[ndcg_name(10)].mean()
    seconds = {stage: training_report(folder)["seconds"] for stage, folder in (("PSU", base), ("SEMINAR", model))}
    spent = ", ".join(f"{stage} {value:.0f} s" for stage, value in seconds.items())
    print(f"{row.name}, seed {seed}: NDCG@10 {mean:.4f} ({spent})", flush=True)
    return ranks


def pretrain(task: tuple[Row, int], config: PipelineConfig, data: Transformed, work: Path) -> None:
    """Trains the PSU of one row with one seed."""
    row, seed = task
    pretrained(row.config(config, seed), data, work)


def _held_out(data: Transformed) -> np.ndarray:
    from seminar_tf.training.records import record_dataset  # loads TensorFlow: in workers only

    import tensorflow as tf  # isort: skip

    feature = {names.ITEM_ID: tf.io.FixedLenFeature([], tf.int64)}
    records = record_dataset(data.files("catalog")).batch(1024).map(lambda r: tf.io.parse_example(r, feature))
    return held_out_items(int(i) for batch in records.as_numpy_iterator() for i in batch[names.ITEM_ID])


def _pin(places: Any) -> None:
    """Gives a worker a core of its own, so that several do not disturb each other, and quiet logs."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[places.get() % len(cores)]})


def in_workers(function: Any, tasks: Sequence[Any], jobs: int) -> list[Any]:
    """Maps over tasks in `jobs` processes of one core each."""
    context = multiprocessing.get_context("spawn")
    places = context.SimpleQueue()
    for n in range(jobs):
        places.put(n)
    with ProcessPoolExecutor(jobs, context, _pin, (places,)) as pool:
        return list(pool.map(function, tasks))


def print_table(results: dict[tuple[str, int], dict[str, UserRanks]], candidates: str) -> dict[str, Any]:
    """Prints one line a row: mean and interval over its seeds, and the paired difference from the whole model."""
    print(f"\n| {candidates} candidates | seeds | {' | '.join(_SHOWN)} | NDCG@10 against {_WHOLE}, same seeds |")
    print("| --- " * (len(_SHOWN) + 3) + "|")
    summary = {}
    for name in dict.fromkeys(row for row, _ in results):
        runs = {s: r[candidates] for (row, s), r in results.items() if row == name and candidates in r}
        if not runs or name in (_TAIL, _TAIL_FRESH):
            continue
        means = {m: mean_interval([float(r.values[m].mean()) for r in runs.values()]) for m in _SHOWN}
        summary[name] = {m: [mean, half if isfinite(half) else None] for m, (mean, half) in means.items()}
        cells = [f"{mean:.4f}" + (f" ± {half:.4f}" if isfinite(half) else "") for mean, half in means.values()]
        whole = {s: results[_WHOLE, s][candidates] for s in runs if candidates in results.get((_WHOLE, s), {})}
        difference = _difference(runs, whole) if name != _WHOLE and whole else ""
        print(f"| {name} | {len(runs)} | {' | '.join(cells)} | {difference} |")
    return summary


def _difference(runs: dict[int, UserRanks], others: dict[int, UserRanks], keep: np.ndarray | None = None) -> str:
    """a - b of NDCG@10, both averaged over their common seeds, with its interval over users."""
    seeds = sorted(runs.keys() & others.keys())
    a, b = (np.mean([r[s].values[ndcg_name(10)] for s in seeds], axis=0) for r in (runs, others))
    if keep is not None:
        a, b = a[keep], b[keep]
    found = paired_bootstrap(a, b)
    return f"{found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}] p {found.p_value:.4f}"


def print_tail(results: dict[tuple[str, int], dict[str, UserRanks]], held_out: np.ndarray) -> None:
    """Prints NDCG@10 of the test targets that were no train target, with and without pretraining."""
    runs = {name: {s: r["sampled"] for (row, s), r in results.items() if row == name} for name in (_TAIL, _TAIL_FRESH)}
    if not all(runs.values()):
        return
    first = next(iter(runs[_TAIL].values()))
    tail = np.isin(first.items, held_out)
    print(f"\n| {len(held_out)} items that are no train target | {int(tail.sum())} test targets | the others |")
    print("| --- | --- | --- |")
    for name, by_seed in runs.items():
        cells = []
        for keep in (tail, ~tail):
            mean, half = mean_interval([float(r.values[ndcg_name(10)][keep].mean()) for r in by_seed.values()])
            cells.append(f"{mean:.4f}" + (f" ± {half:.4f}" if isfinite(half) else ""))
        print(f"| {name} | {' | '.join(cells)} |")
    gains = (_difference(runs[_TAIL], runs[_TAIL_FRESH], keep) for keep in (tail, ~tail))
    print(f"| gain | {' | '.join(gains)} |")


def main() -> None:
    """Runs what is missing, prints the tables and writes the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--src", type=Path, help="the published ml-1m folder")
    given.add_argument("--data", type=Path, help="a dataset in canonical tables")
    parser.add_argument("--config", type=Path, default=_CONFIG)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of SEMINAR and of the long tail")
    parser.add_argument("--ablation-seeds", type=int, nargs="+", default=[1], help="of the other rows")
    parser.add_argument("--rows", nargs="+", default=_DEFAULT_ROWS, choices=[row.name for row in ROWS])
    parser.add_argument("--work", type=Path, default=Path("runs/ml-1m"))
    parser.add_argument("--split", default="test", choices=("eval", "test"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="models trained at once, a core each")
    parser.add_argument("--full", type=int, nargs="*", default=[1, 2, 3], help="seeds of SEMINAR to rank in full, too")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="overrides of the configuration")
    options = parser.parse_args()
    dataset = options.data or prepare(options.src, options.work)
    overrides = [f"data.path={dataset}", f"root={options.work}", *options.set]
    config = from_yaml(PipelineConfig, options.config, overrides)
    data = ingest(config)
    chosen = [row for row in ROWS if row.name in options.rows]
    every = (_WHOLE, _TAIL, _TAIL_FRESH)
    tasks = [(row, s) for row in chosen for s in (options.seeds if row.name in every else options.ablation_seeds)]
    work = options.work / "quality"
    shared = {repr((replace(row.config(config, s).model, short_length=0), row.psu, s)): (row, s) for row, s in tasks}
    in_workers(partial(pretrain, config=config, data=data, work=work), list(shared.values()), options.jobs)
    found: dict[tuple[str, int], dict[str, UserRanks]] = {}
    for full in (True, False):
        part = [(r, s) for r, s in tasks if (r.name == _WHOLE and s in options.full) == full]
        run = partial(measure, config=config, data=data, work=work, full=full, split=options.split)
        found |= {(r.name, s): ranks for (r, s), ranks in zip(part, in_workers(run, part, options.jobs))}
    results = {(r.name, s): found[r.name, s] for r, s in tasks}
    summary = {candidates: print_table(results, candidates) for candidates in ("sampled", "full")}
    if any(row.tail for row in chosen):
        print_tail(results, _held_out(data))
    (work / f"{options.split}.json").write_text(json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    main()
