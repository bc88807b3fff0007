"""NDCG@10 of the whole pipeline on MovieLens over several seeds, against the floors measured on the same protocol.

Protocol: leave-last-out (a user's last rating is the test target, the one before it the eval target), ranked among
every movie of the catalog, ties at their expected value.

Run: python -m benchmarks.movielens --src ml-latest-small [--seeds 1 2 3 --work runs/movielens-seeds --out FILE.json]
"""

from __future__ import annotations

import argparse
import json
from math import isfinite
from pathlib import Path

from benchmarks.prepared import prepare_movielens, seminar_tf
from seminar_tf.evaluation.significance import mean_interval

_CONFIG = Path(__file__).resolve().parents[1] / "pipelines" / "configs" / "movielens.yaml"
_METRICS = ("ndcg_at_5", "ndcg_at_10", "ndcg_at_50", "hit_at_10", "mrr")
# NDCG@5, @10, @50 of simple rankers on ml-latest-small under this protocol.
_FLOORS = {
    "popularity": (0.0143, 0.0189, 0.0343),
    "item-kNN, whole history": (0.0154, 0.0261, 0.0544),
    "item-kNN, last 10, decayed": (0.0422, 0.0548, 0.0860),
}


def measure(source: Path, work: Path, seed: int) -> dict[str, float]:
    """Runs the pipeline once.

    Args:
      source: the published MovieLens folder.
      work: where the dataset and the run go; a finished component is taken from the cache.
      seed: of the run.

    Returns:
      The metrics of the test split, and `seconds` of the two Trainers.
    """
    # One root: what does not depend on the seed, ingestion and Transform, is computed once.
    dataset, root = prepare_movielens(source, work), work / "run"
    seminar_tf("run", "--config", str(_CONFIG), "--data", str(dataset), "--root", str(root), "--seed", str(seed))
    report = json.loads((root / "report" / "report.json").read_text())
    trainers = [c["seconds"] for c in report["components"] if c["name"] in ("PSU", "SEMINAR")]
    return report["metrics"] | {"seconds": sum(trainers)}


def main() -> None:
    """Prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--src", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--work", type=Path, default=Path("runs/movielens-seeds"))
    parser.add_argument("--out", type=Path, default=Path("runs/movielens-seeds/result.json"))
    options = parser.parse_args()
    runs = {seed: measure(options.src, options.work, seed) for seed in options.seeds}
    print("| ranker | NDCG@5 | NDCG@10 | NDCG@50 |\n| --- | --- | --- | --- |")
    for name, floor in _FLOORS.items():
        print(f"| {name} | {' | '.join(f'{value:.4f}' for value in floor)} |")
    table = {metric: mean_interval([run[metric] for run in runs.values()]) for metric in _METRICS}
    cells = (f"{mean:.4f} ± {half:.4f}" for mean, half in (table[m] for m in _METRICS[:3]))
    print(f"| SEMINAR, mean of {len(runs)} seeds ± 95% | {' | '.join(cells)} |")
    for seed, run in runs.items():
        print(f"| seed {seed}, {run['seconds']:.0f} s | {' | '.join(f'{run[m]:.4f}' for m in _METRICS[:3])} |")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    # JSON has no NaN: fewer than 3 seeds have a mean and no interval.
    shown = {name: (mean, half if isfinite(half) else None) for name, (mean, half) in table.items()}
    options.out.write_text(json.dumps({"runs": runs, "summary": shown, "floors": _FLOORS}, indent=2) + "\n")
    worst = min(run["ndcg_at_10"] for run in runs.values())
    print(f"lowest NDCG@10 {worst:.4f}, popularity {_FLOORS['popularity'][1]:.4f}")


if __name__ == "__main__":
    main()
