"""The report's pictures: bars with intervals, quality against time, what each part is worth."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot
from matplotlib.ticker import FormatStrFormatter

from pipelines.experiment.records import DatasetResult
from pipelines.experiment.results import ALL, Line, Table, metric_title

_COLOURS = {"ranker": "#4878a8", "ablation": "#9aa9b8", "floor": "#c9b27c"}
_REFERENCE = "#b5533c"


def draw(result: DatasetResult, reference: str, folder: Path) -> list[Path]:
    """Draws everything that there is of a dataset.

    Args:
      result: of the dataset.
      reference: ranker in another colour.
      folder: for the PNG files.

    Returns:
      The files, by protocol.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for table in result.tables:
        if table.part != ALL:
            continue
        stem = "".join(c if c.isalnum() else "-" for c in f"{result.name}-{table.protocol}")
        best = next(iter(result.reached.get(table.protocol, {}).values()), {}).get(table.metric)
        drawn.append(_bars(table, result.name, reference, best, folder / f"{stem}-bars.png"))
        if result.timing:
            drawn.append(_against_time(table, result, reference, folder / f"{stem}-time.png"))
        if any(line.kind == "ablation" and line.difference for line in table.lines):
            drawn.append(_ablations(table, result.name, reference, folder / f"{stem}-ablations.png"))
    return drawn


def _save(figure: pyplot.Figure, path: Path) -> Path:
    figure.tight_layout()
    # Without the software's version in it, equal results give equal files.
    figure.savefig(path, dpi=120, metadata={"Software": None})
    pyplot.close(figure)
    return path


def _value(line: Line, metric: str) -> tuple[float, float]:
    mean, half = line.values[metric]
    return mean, half or 0.0


def _bars(table: Table, dataset: str, reference: str, ideal: float | None, path: Path) -> Path:
    lines = sorted((line for line in table.lines if line.kind != "ablation"), key=lambda x: x.values[table.metric][0])
    figure, axes = pyplot.subplots(figsize=(7, 0.8 + 0.34 * len(lines)))
    means, halves = np.array([_value(line, table.metric) for line in lines]).T
    colours = [_REFERENCE if line.row == reference else _COLOURS[line.kind] for line in lines]
    axes.barh([line.row for line in lines], means, xerr=halves, color=colours, error_kw={"capsize": 3, "lw": 1})
    if ideal is not None:
        axes.axvline(ideal, color="black", lw=1, ls=":", label="ideal ranker of the generator")
        axes.legend(loc="lower right", fontsize=8)
    axes.set_xlabel(f"{metric_title(table.metric)}, mean over seeds, 95% interval (three seeds or more)")
    axes.set_title(f"{dataset}, {table.protocol}", loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    return _save(figure, path)


def _against_time(table: Table, result: DatasetResult, reference: str, path: Path) -> Path:
    figure, axes = pyplot.subplots(figsize=(7.5, 4.5))
    points = []
    for line in table.lines:
        if line.row not in result.timing:
            continue
        taken = np.array(result.timing[line.row])
        middle, (mean, half) = float(np.median(taken)), _value(line, table.metric)
        spread = [[middle - taken.min()], [taken.max() - middle]]
        colour = _REFERENCE if line.row == reference else _COLOURS[line.kind]
        axes.errorbar([middle], [mean], xerr=spread, yerr=[half], fmt="o", color=colour, capsize=3, lw=1)
        points.append((mean, middle, line.row, colour))
    axes.set_xscale("log")
    for which in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        which(FormatStrFormatter("%g"))
    # Names stand in a column beside the picture, each joined to its point: at the points they would hide one another.
    points.sort(key=lambda point: point[:2])
    low, high = axes.get_ylim()
    places = apart(np.array([mean for mean, *_ in points]), low, high, 0.05 * (high - low))
    for (mean, middle, name, colour), place in zip(points, places, strict=True):
        axes.annotate(
            name, (middle, mean), (1.04, place), "data", axes.get_yaxis_transform(), va="center", fontsize=8,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.5, "alpha": 0.6, "relpos": (0.0, 0.5)},
        )  # fmt: skip
    axes.set_xlabel("ms a request, one core: median over rounds, with the fastest and slowest round")
    axes.set_ylabel(f"{metric_title(table.metric)}, 95% over seeds")
    axes.set_title(f"{result.name}, {table.protocol}: quality against time", loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    return _save(figure, path)


def apart(values: np.ndarray, low: float, high: float, gap: float) -> np.ndarray:
    """Places near to values, in their order, that lie within [low, high] and at least `gap` apart.

    Args:
      values: (n,) ascending.
      low: least place.
      high: greatest place.
      gap: wanted distance; where n places so far apart do not fit, the greatest that does.

    Returns:
      (n,) ascending places.
    """
    between = max(len(values) - 1, 1)
    gap = min(gap, (high - low) / between)
    steps = np.arange(len(values)) * gap
    # Less a step each, places that keep their distance are places that do not fall.
    level = np.clip(values - steps, low, high - gap * between)
    up, down = np.maximum.accumulate(level), np.minimum.accumulate(level[::-1])[::-1]
    return (up + down) / 2 + steps


def _ablations(table: Table, dataset: str, reference: str, path: Path) -> Path:
    lines = [line for line in table.lines if line.kind == "ablation" and line.difference]
    lines.sort(key=lambda line: -(line.difference.mean if line.difference else 0.0))
    figure, axes = pyplot.subplots(figsize=(7, 1.0 + 0.34 * len(lines)))
    found = np.array([(d.mean, d.mean - d.low, d.high - d.mean) for d in (x.difference for x in lines) if d])
    # A bootstrap's interval may leave its mean out by a rounding error.
    spread = np.maximum(found[:, 1:].T, 0.0)
    colours = [_REFERENCE if line.difference and line.difference.real else _COLOURS["ablation"] for line in lines]
    axes.barh([line.row for line in lines], found[:, 0], xerr=spread, color=colours, error_kw={"capsize": 3, "lw": 1})
    axes.axvline(0, color="black", lw=0.8)
    axes.set_xlabel(f"{metric_title(table.metric)} less that of {reference}, 95% over users; red: a real difference")
    axes.set_title(f"{dataset}, {table.protocol}: with a part left out", loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    return _save(figure, path)
