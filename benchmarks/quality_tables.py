"""What benchmarks/quality.py prints: a line a row, and the long tail."""

from __future__ import annotations

from math import isfinite
from typing import Any

import numpy as np

from seminar_tf.evaluation.metrics import ndcg_name
from seminar_tf.evaluation.significance import mean_interval, paired_bootstrap, user_means
from seminar_tf.training.ranking import TargetMetrics

WHOLE, TAIL, TAIL_FRESH = "SEMINAR", "long tail", "long tail, no pretraining"
_SHOWN = ("ndcg_at_5", "ndcg_at_10", "ndcg_at_50", "hit_at_10", "mrr")

# (row, seed) -> kind of candidates -> ranks.
Results = dict[tuple[str, int], dict[str, TargetMetrics]]


def print_table(results: Results, candidates: str) -> dict[str, Any]:
    """Prints one line a row: mean and interval over its seeds, and the paired difference from the whole model."""
    print(f"\n| {candidates} candidates | seeds | {' | '.join(_SHOWN)} | NDCG@10 against {WHOLE}, same seeds |")
    print("| --- " * (len(_SHOWN) + 3) + "|")
    summary: dict[str, Any] = {}
    for name in dict.fromkeys(row for row, _ in results):
        runs = {s: r[candidates] for (row, s), r in results.items() if row == name and candidates in r}
        if not runs or name in (TAIL, TAIL_FRESH):
            continue
        means = {m: mean_interval([float(r.values[m].mean()) for r in runs.values()]) for m in _SHOWN}
        summary[name] = {m: [mean, half if isfinite(half) else None] for m, (mean, half) in means.items()}
        cells = [_cell(mean, half) for mean, half in means.values()]
        whole = {s: results[WHOLE, s][candidates] for s in runs if candidates in results.get((WHOLE, s), {})}
        difference = _difference(runs, whole) if name != WHOLE and whole else ""
        summary[name]["difference"] = difference
        print(f"| {name} | {len(runs)} | {' | '.join(cells)} | {difference} |")
    return summary


def _cell(mean: float, half: float) -> str:
    return f"{mean:.4f}" + (f" ± {half:.4f}" if isfinite(half) else "")


def _difference(
    runs: dict[int, TargetMetrics], others: dict[int, TargetMetrics], keep: np.ndarray | None = None
) -> str:
    """a - b of NDCG@10 by user, both averaged over their common seeds, with its interval over users."""
    seeds = sorted(runs.keys() & others.keys())
    a, b = (np.mean([r[s].values[ndcg_name(10)] for s in seeds], axis=0) for r in (runs, others))
    users = runs[seeds[0]].users
    if keep is not None:
        a, b, users = a[keep], b[keep], users[keep]
    found = paired_bootstrap(user_means(a, users)[1], user_means(b, users)[1])
    return f"{found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}] p {found.p_value:.4f}"


def print_tail(results: Results, candidates: str, held_out: np.ndarray) -> dict[str, Any]:
    """Prints NDCG@10 of the test targets that were no train target, with and without pretraining."""
    runs = {name: {s: r[candidates] for (row, s), r in results.items() if row == name} for name in (TAIL, TAIL_FRESH)}
    if not all(runs.values()):
        return {}
    first = next(iter(runs[TAIL].values()))
    tail = np.isin(first.items, held_out)
    print(f"\n| {len(held_out)} items that are no train target | {int(tail.sum())} test targets | the others |")
    print("| --- | --- | --- |")
    summary: dict[str, Any] = {}
    for name, by_seed in runs.items():
        means = [
            mean_interval([float(r.values[ndcg_name(10)][keep].mean()) for r in by_seed.values()])
            for keep in (tail, ~tail)
        ]
        summary[name] = [[mean, half if isfinite(half) else None] for mean, half in means]
        print(f"| {name} | {' | '.join(_cell(*found) for found in means)} |")
    summary["gain"] = [_difference(runs[TAIL], runs[TAIL_FRESH], keep) for keep in (tail, ~tail)]
    print(f"| gain | {' | '.join(summary['gain'])} |")
    return summary
