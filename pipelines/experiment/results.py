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
_WORDS = {"log_loss": "log loss", "expected_error": "calibration error"}


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
      values: metric -> (mean over seeds, half of its 95% interval or None with fewer than three seeds); a metric that
        the row has not is missing.
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
    """One protocol, or the logged impressions, on some targets of one dataset.

    Attributes:
      protocol: its name. part: ALL, or which targets.
      metric: what is compared. metrics: columns.
      what: that is counted, such as targets. count, users: how many.
      lines: reference first, then by the metric.
      sentence: which differences are real.
    """

    protocol: str
    part: str
    metric: str
    metrics: tuple[str, ...]
    what: str
    count: int
    users: int
    lines: list[Line]
    sentence: str


@dataclass(frozen=True)
class Measured:
    """What one model with one seed came to.

    Attributes:
      values: metric -> figure over everything; a metric that the model has not is missing.
      by_user: (U,) float64 of the compared metric; the users are those of every other model, in the same order.
      weights: (U,) where the figure is a weighted mean over users; None where users count alike.
    """

    values: dict[str, float]
    by_user: np.ndarray
    weights: np.ndarray | None = None


# row -> seed -> what it came to; a ranker without training has the one seed None.
ByRow = Mapping[str, Mapping[int | None, Measured]]


def ranked(ranks: Ranks, metric: str, keep: np.ndarray | None = None) -> Measured:
    """The means of what a model ranked.

    Args:
      ranks: of the model.
      metric: that is compared.
      keep: (T,) bool, the targets that count; None takes all.
    """
    taken = slice(None) if keep is None else keep
    values = {name: float(value[taken].mean()) for name, value in ranks.values.items()}
    return Measured(values, user_means(ranks.values[metric][taken], ranks.users[taken])[1])


def check_same_targets(ranks: Mapping[str, Mapping[int | None, Ranks]]) -> Ranks:
    """Refuses rows that cannot be compared; returns one of them, for what they share.

    Raises:
      ValueError: rows ranked different targets.
    """
    first = next(one for by_seed in ranks.values() for one in by_seed.values())
    for row, by_seed in ranks.items():
        for one in by_seed.values():
            if not (np.array_equal(one.users, first.users) and np.array_equal(one.items, first.items)):
                raise ValueError(f"{row!r} ranked other targets than the rows before it: they cannot be compared.")
    return first


def compared(
    measured: ByRow, kinds: Mapping[str, str], reference: str, metric: str, metrics: Sequence[str]
) -> tuple[list[Line], str]:
    """Compares rows with the reference.

    Args:
      measured: of every row and seed that did not fail; of the same targets.
      kinds: row -> ranker, ablation or floor.
      reference: row that others are compared with.
      metric: that is compared.
      metrics: columns.

    Returns:
      The lines of a table, and its sentence.
    """
    found = {}
    for row, by_seed in measured.items():
        if row != reference and reference in measured:
            paired = _paired(by_seed, measured[reference])
            if paired is not None:
                found[row] = paired
    adjusted = dict(zip(found, holm([pair.p_value for pair, _ in found.values()]).tolist()))
    lines = []
    for row, by_seed in measured.items():
        has = [name for name in metrics if all(name in one.values for one in by_seed.values())]
        values = {name: _interval([one.values[name] for one in by_seed.values()]) for name in has}
        seeds = {str(seed): one.values[metric] for seed, one in by_seed.items() if seed is not None}
        difference = None
        if row in found:
            pair, common = found[row]
            difference = Difference(**asdict(pair), p_holm=adjusted[row], seeds=common)
        lines.append(Line(row, kinds[row], len(seeds), values, seeds, difference))
    lines.sort(key=lambda line: (line.row != reference, -line.values[metric][0]))
    return lines, sentence(lines, reference, metric)


def _interval(values: list[float]) -> tuple[float, float | None]:
    mean, half = mean_interval(values)
    return mean, half if isfinite(half) else None


def _paired(
    rows: Mapping[int | None, Measured], others: Mapping[int | None, Measured]
) -> tuple[PairedDifference, int] | None:
    """The bootstrap over users of means over seeds: of the common ones, or of all where a side has no seeds."""
    if None in rows or None in others:
        chosen = [list(rows.values()), list(others.values())]
    else:
        common = [seed for seed in rows if seed in others]
        chosen = [[rows[seed] for seed in common], [others[seed] for seed in common]]
    first = next(iter(rows.values()))
    if not all(chosen) or len(first.by_user) < 2:
        return None
    a, b = (np.mean([one.by_user for one in side], axis=0) for side in chosen)
    return paired_bootstrap(a, b, weights=first.weights), max(len(side) for side in chosen)


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
    return _WORDS.get(name, name.upper().replace("_AT_", "@"))
