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
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.prepared import prepare_movielens
from benchmarks.quality_run import (
    Transformed,
    fine_tuned,
    ingest,
    pretrained,
    pretrained_folder,
    training_report,
    user_ranks,
    without_targets,
)
from benchmarks.quality_tables import TAIL, TAIL_FRESH, WHOLE, Results, print_table, print_tail
from seminar_tf.config import PipelineConfig
from seminar_tf.config_io import from_yaml
from seminar_tf.evaluation.metrics import ndcg_name
from seminar_tf.features import names
from seminar_tf.training.ranking import TargetMetrics
from seminar_tf.training.records import record_dataset

import tensorflow as tf  # isort: skip

_CONFIG = Path(__file__).resolve().parents[1] / "pipelines" / "configs" / "ml-1m.yaml"
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
    Row(WHOLE),
    # The PSU's own ranking, with the interest over the newest S pairs.
    Row("no fine-tuning", seminar={"epochs": 0}),
    Row("no pretraining", psu={"epochs": 0}),
    Row("no alignment", psu={"align_weight": 0.0}),
    Row("no gate", model={"use_gate": False}),
    Row("no recency", model={"use_recency": False}),
    # The interest, and with it the head's start, go with the short branch: both are of the newest S pairs.
    Row("no short branch", model={"short_length": 0}),
    Row("no text", model={"channels": ("image", "attributes")}),
    Row("no image", model={"channels": ("text", "attributes")}),
    Row("no query", model={"use_query": False}),
    Row(TAIL, tail=True),
    Row(TAIL_FRESH, psu={"epochs": 0}, tail=True),
)
# Every pair of MovieLens 1M has the empty query.
_DEFAULT_ROWS = [row.name for row in ROWS if row.name != "no query"]


def tenth(items: Iterable[int]) -> np.ndarray:
    """About a tenth of some item ids, by their hash: (n,) int64."""
    return np.array([i for i in items if hashlib.blake2b(b"%d" % i, digest_size=8).digest()[0] % _HELD_OUT_SHARE == 0])


def measure(
    task: tuple[Row, int, Transformed, bool], config: PipelineConfig, work: Path, split: str
) -> dict[str, TargetMetrics]:
    """Trains and ranks one row with one seed on some examples, and at wish among the whole catalog too."""
    row, seed, data, full = task
    of_row = row.config(config, seed)
    base = pretrained(of_row, data, work)
    model = fine_tuned(of_row, data, base, work)
    asked = [config.evaluation]
    if full and config.evaluation.candidates != "full":
        # Of the whole catalog, items of the history too, as others report it.
        asked.append(replace(config.evaluation, candidates="full", exclude_history=False))
    ranks = {evaluation.candidates: user_ranks(model, data, evaluation, split) for evaluation in asked}
    mean = ranks[config.evaluation.candidates].values[ndcg_name(10)].mean()
    seconds = {stage: training_report(folder)["seconds"] for stage, folder in (("PSU", base), ("SEMINAR", model))}
    spent = ", ".join(f"{stage} {value:.0f} s" for stage, value in seconds.items())
    print(f"{row.name}, seed {seed}: NDCG@10 {mean:.4f} ({spent})", flush=True)
    return ranks


def pretrain(task: tuple[Row, int], config: PipelineConfig, data: Transformed, work: Path) -> None:
    """Trains the PSU of one row with one seed."""
    row, seed = task
    pretrained(row.config(config, seed), data, work)


def held_out_items(data: Transformed) -> np.ndarray:
    """The items of the long tail: a tenth of the catalog."""
    feature = {names.ITEM_ID: tf.io.FixedLenFeature([], tf.int64)}
    records = record_dataset(data.files("catalog")).batch(1024).map(lambda r: tf.io.parse_example(r, feature))
    return tenth(int(i) for batch in records.as_numpy_iterator() for i in batch[names.ITEM_ID])


def _pin(places: Any) -> None:
    """Gives a worker a core of its own, so that several do not disturb each other."""
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
    parser.add_argument("--work", type=Path, help="default: the configuration's root")
    parser.add_argument("--split", default="test", choices=("eval", "test"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="models trained at once, a core each")
    parser.add_argument("--full", type=int, nargs="*", default=[1, 2, 3], help="seeds of SEMINAR to rank in full, too")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="overrides of the configuration")
    options = parser.parse_args()
    root = options.work or Path(from_yaml(PipelineConfig, options.config, options.set).root)
    dataset = options.data or prepare_movielens(options.src, root)
    overrides = [f"data.path={dataset}", f"root={root}", *options.set]
    config = from_yaml(PipelineConfig, options.config, overrides)
    data = ingest(config)
    chosen = [row for row in ROWS if row.name in options.rows]
    every = (WHOLE, TAIL, TAIL_FRESH)
    tasks = [(row, s) for row in chosen for s in (options.seeds if row.name in every else options.ablation_seeds)]
    work = root / "quality"
    shared = {pretrained_folder(row.config(config, s), data, work): (row, s) for row, s in tasks}
    in_workers(partial(pretrain, config=config, data=data, work=work), list(shared.values()), options.jobs)
    held_out = held_out_items(data)
    tail = without_targets(data, held_out, work) if any(row.tail for row in chosen) else data
    run = partial(measure, config=config, work=work, split=options.split)
    asked = [(row, s, tail if row.tail else data, row.name == WHOLE and s in options.full) for row, s in tasks]
    results: Results = {(r.name, s): ranks for (r, s), ranks in zip(tasks, in_workers(run, asked, options.jobs))}
    kinds = dict.fromkeys(kind for ranks in results.values() for kind in ranks)
    summary = {kind: print_table(results, kind) for kind in kinds}
    summary["long tail"] = print_tail(results, config.evaluation.candidates, held_out)
    name = hashlib.blake2b(repr((tasks, options.set)).encode(), digest_size=4).hexdigest()
    (work / f"{options.split}-{name}.json").write_text(json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    main()
