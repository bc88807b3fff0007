"""What an experiment found: means over seeds with intervals, and which differences from the reference are real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite

import numpy as np

from pipelines.experiment.layout import Ranks
from seminar_tf.evaluation.significance import (
    ALPHA,
    PairedDifference,
    holm,
    is_real,
    mean_interval,
    paired_bootstrap,
    user_means,
)

ALL = "all targets"

# row -> seed -> ranks; a ranker without training has the one seed None.
ByRow = Mapping[str, Mapping[int | None, Ranks]]


@dataclass(frozen=True)
class Difference(PairedDifference):
    """A row's metric less the reference's, by user, both averaged over their common seeds.

    Attributes:
      p_holm: p_value after Holm's correction for all rows of the table.
      seeds: averaged over.
    """

    p_holm: float
    seeds: int

    @property
    def real(self) -> bool:
        """Whether it is more than chance among so many comparisons."""
        return is_real(self, self.p_holm)


@dataclass(frozen=True)
class Line:
    """A row of a table.

    Attributes:
      row: its name. kind: ranker, ablation or floor.
      seeds: it was measured with; 0 for a floor.
      values: metric -> (mean over seeds, half of its 95% interval or None with fewer than three seeds).
      by_seed: seed -> the compared metric.
      difference: from the reference; None for the reference itself, or where it is missing.
    """

    row: str
    kind: str
    seeds: int
    values: dict[str, tuple[float, float | None]]
    by_seed: dict[str, float] = field(default_factory=dict)
    difference: Difference | None = None


@dataclass(frozen=True)
class Table:
    """One protocol on some targets of one dataset.

    Attributes:
      protocol: its name. part: ALL, or which targets.
      targets, users: how many.
      lines: reference first, then by the metric.
      sentence: which differences are real.
    """

    protocol: str
    part: str
    targets: int
    users: int
    lines: list[Line]
    sentence: str


def table(
    protocol: str,
    part: str,
    ranks: ByRow,
    kinds: Mapping[str, str],
    reference: str,
    metric: str,
    metrics: Sequence[str],
    keep: np.ndarray | None = None,
) -> Table:
    """Compares rows.

    Args:
      protocol, part: names.
      ranks: of every row and seed that did not fail; of the same targets.
      kinds: row -> ranker, ablation or floor.
      reference: row that others are compared with.
      metric: that is compared.
      metrics: columns.
      keep: (T,) bool, the targets that count; None takes all.

    Raises:
      ValueError: rows ranked different targets.
    """
    kept = {row: {seed: _part(one, keep) for seed, one in by_seed.items()} for row, by_seed in ranks.items()}
    first = next(one for by_seed in kept.values() for one in by_seed.values())
    for row, by_seed in kept.items():
        for one in by_seed.values():
            if not (np.array_equal(one.users, first.users) and np.array_equal(one.items, first.items)):
                raise ValueError(f"{row!r} ranked other targets than the rows before it: they cannot be compared.")
    found = {}
    for row, by_seed in kept.items():
        if row != reference and reference in kept:
            compared = _paired(by_seed, kept[reference], metric)
            if compared is not None:
                found[row] = compared
    adjusted = dict(zip(found, holm([pair.p_value for pair, _ in found.values()]).tolist()))
    lines = []
    for row, by_seed in kept.items():
        values = {name: _interval([float(one.values[name].mean()) for one in by_seed.values()]) for name in metrics}
        seeds = {str(seed): float(one.values[metric].mean()) for seed, one in by_seed.items() if seed is not None}
        difference = None
        if row in found:
            pair, common = found[row]
            difference = Difference(**asdict(pair), p_holm=adjusted[row], seeds=common)
        lines.append(Line(row, kinds[row], len(seeds), values, seeds, difference))
    lines.sort(key=lambda line: (line.row != reference, -line.values[metric][0]))
    targets, users = len(first.users), len(np.unique(first.users))
    return Table(protocol, part, targets, users, lines, sentence(lines, reference, metric))


def _part(ranks: Ranks, keep: np.ndarray | None) -> Ranks:
    if keep is None:
        return ranks
    return Ranks(ranks.users[keep], ranks.items[keep], {name: v[keep] for name, v in ranks.values.items()})


def _interval(values: list[float]) -> tuple[float, float | None]:
    mean, half = mean_interval(values)
    return mean, half if isfinite(half) else None


def _paired(
    rows: Mapping[int | None, Ranks], others: Mapping[int | None, Ranks], metric: str
) -> tuple[PairedDifference, int] | None:
    """The bootstrap over users of means over seeds: of the common ones, or of all where a side has no seeds."""
    if None in rows or None in others:
        chosen = [list(rows.values()), list(others.values())]
    else:
        common = [seed for seed in rows if seed in others]
        chosen = [[rows[seed] for seed in common], [others[seed] for seed in common]]
    users = next(iter(rows.values())).users
    if not all(chosen) or len(np.unique(users)) < 2:
        return None
    a, b = (np.mean([one.values[metric] for one in side], axis=0) for side in chosen)
    return paired_bootstrap(user_means(a, users)[1], user_means(b, users)[1]), max(len(side) for side in chosen)


def sentence(lines: Sequence[Line], reference: str, metric: str) -> str:
    """Which differences of a table are real, in words."""
    compared = [line for line in lines if line.difference is not None]
    if not compared:
        return "Nothing to compare."
    groups: dict[str, list[str]] = {"above": [], "below": [], "none": []}
    for line in compared:
        d = line.difference
        assert d is not None
        if not d.real:
            groups["none"].append(line.row)
            continue
        # Told from the reference's side.
        text = f"{line.row} by {number(abs(d.mean))} [{number(min(abs(d.low), abs(d.high)))}, "
        groups["above" if d.mean < 0 else "below"].append(text + f"{number(max(abs(d.low), abs(d.high)))}]")
    name = metric_title(metric)
    parts = [f"{reference} is {side} {', '.join(groups[side])}" for side in ("above", "below") if groups[side]]
    if groups["none"]:
        parts.append(f"no difference from {', '.join(groups['none'])} could be shown")
    corrected = f"Holm's correction over {len(compared)} comparison{'s' if len(compared) > 1 else ''}"
    return f"{name}: {'; '.join(parts)} (paired bootstrap over users, 95% intervals, {corrected}, level {ALPHA})."


def number(value: float) -> str:
    """Four digits; a leading zero is left out."""
    text = f"{value:.4f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def metric_title(name: str) -> str:
    """`ndcg_at_10` as people write it: NDCG@10."""
    return name.upper().replace("_AT_", "@")
