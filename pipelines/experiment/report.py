"""The report of an experiment: Markdown for people, JSON for programs, PNG files beside."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from components.json_file import write_json
from pipelines.experiment.elapsed import RunTime, in_words
from pipelines.experiment.jobs import Outcome
from pipelines.experiment.plots import draw
from pipelines.experiment.records import DatasetResult
from pipelines.experiment.results import ALL, Line, Table, metric_title, number
from pipelines.experiment.tables import SliceTable
from seminar_tf.config.experiment import ExperimentConfig


def write_report(
    config: ExperimentConfig,
    results: Sequence[DatasetResult],
    failed: Mapping[str, Outcome],
    took: Sequence[RunTime],
    folder: Path,
) -> Path:
    """Writes report.md, report.json and the plots.

    Args:
      config: the experiment.
      results: of its datasets, in order.
      failed: job -> what became of it, where it failed.
      took: of every run that made something of it.
      folder: for the files.

    Returns:
      The Markdown file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plots = {r.name: draw(r, config.compared_with.name, folder) for r in results}
    tree = {
        "experiment": config.name,
        "config": asdict(config),
        "reference": config.compared_with.name,
        "datasets": [asdict(r) | {"plots": [path.name for path in plots[r.name]]} for r in results],
        "took": [asdict(one) for one in took],
        "failed": {name: outcome.error for name, outcome in failed.items()},
    }
    write_json(folder / "report.json", tree)
    lines = [f"# {config.name}", "", *_protocol_lines(config), "", in_words(took), *_failures(failed)]
    for result in results:
        lines += ["", *_dataset(config, result, [path.name for path in plots[result.name]])]
    path = folder / "report.md"
    partial = path.with_name(".report.md.partial")
    partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    os.replace(partial, path)
    return path


def _protocol_lines(config: ExperimentConfig) -> list[str]:
    lines = [
        f"Reference: {config.compared_with.name}. ± is half the 95% interval over seeds (Student's t; three seeds or "
        "more). Differences are paired by user, averaged over common seeds, with the 95% interval of 10,000 bootstraps "
        "over users; p is after Holm's correction for all rows of the table.",
        "",
    ]
    for protocol in config.protocols:
        e = protocol.evaluation
        among = (
            "the whole catalog" if e.candidates == "full" else f"the target and {e.negatives} others ({e.candidates})"
        )
        history = "outside the visible history" if e.exclude_history else "items of the history too"
        some = f", about {e.max_requests:,} requests of users drawn by hash" if e.max_requests else ""
        lines.append(f"- **{protocol.name}**: {among}, {history}{some}; the same lists for every row and seed.")
    return lines


def _failures(failed: Mapping[str, Outcome]) -> list[str]:
    if not failed:
        return []
    lines = [
        "",
        "## Failed",
        "",
        "Rows that failed are missing below.",
        "",
        "| job | why | log |",
        "| --- | --- | --- |",
    ]
    return lines + [f"| {name} | {_cell(o.error)} | {o.log.name if o.log else ''} |" for name, o in failed.items()]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _dataset(config: ExperimentConfig, result: DatasetResult, plots: Sequence[str]) -> list[str]:
    lines = [f"## {result.name}", ""]
    if result.error:
        return [*lines, f"Nothing was measured: {result.error}"]
    lines += [f"- {fact}" for fact in result.facts]
    for table in result.tables:
        lines += ["", *_table_lines(config, result, table)]
        sliced = next((one for one in result.slices if one.protocol == table.protocol and table.part == ALL), None)
        lines += ["", *_slices(sliced)] if sliced else []
    lines += ["", *_timing(result)]
    lines += ["", *_spent(result), *_trials(config, result)]
    for plot in plots:
        lines += ["", f"![{plot.removesuffix('.png')}]({plot})"]
    return lines


def _table_lines(config: ExperimentConfig, result: DatasetResult, table: Table) -> list[str]:
    rankers = [line for line in table.lines if line.kind != "ablation"]
    ablations = [line for line in table.lines if line.kind == "ablation"]
    title = table.protocol if table.part == ALL else f"{table.protocol}: {table.part}"
    lines = [f"### {title}", "", f"{table.count:,} {table.what} of {table.users:,} users.", ""]
    reached = result.reached.get(table.protocol, {}) if table.part == ALL else {}
    lines += [*_table(config, table, rankers, reached), ""]
    if ablations:
        lines += ["Parts left out, one at a time:", "", *_table(config, table, ablations, reached), ""]
    return [*lines, table.sentence]


def _table(
    config: ExperimentConfig, table: Table, rows: Sequence[Line], reached: Mapping[str, Mapping[str, float]]
) -> list[str]:
    best = next(iter(reached.values()), {}).get(table.metric)
    columns = [metric_title(name) for name in table.metrics]
    compared = [f"{metric_title(table.metric)} less {config.compared_with.name}'s", "p"]
    # How far each stands from the best that is known to be possible.
    compared += ["of the ideal's"] if best else []
    titles = ["", "seeds", *columns, *compared]
    lines = [_row(titles), "| --- " * len(titles) + "|"]
    for name, values in reached.items():
        cells = ["", *(number(values[m]) if m in values else "" for m in table.metrics), *[""] * len(compared)]
        lines.append(_row([f"*{name}*", *cells]))
    for line in rows:
        cells = [str(line.seeds) if line.seeds else ""]
        cells += [_with_interval(*line.values[m]) if m in line.values else "" for m in table.metrics]
        cells += _difference(line)
        cells += [f"{100 * line.values[table.metric][0] / best:.0f}%"] if best else []
        lines.append(_row([line.row, *cells]))
    return lines


def _row(cells: Sequence[str]) -> str:
    return "".join(f"| {cell} " if cell else "| " for cell in cells) + "|"


def _with_interval(mean: float, half: float | None) -> str:
    return number(mean) + (f" ± {number(half)}" if half is not None else "")


def _slices(sliced: SliceTable) -> list[str]:
    lines = [f"{metric_title(sliced.metric)} by slices, means over seeds:", ""]
    titles = ["", *(name.replace("_", " ") for name in sliced.targets)]
    lines += [_row(titles), "| --- " * len(titles) + "|"]
    lines.append(_row(["*targets*", *(f"{n:,}" for n in sliced.targets.values())]))
    for row, values in sliced.rows.items():
        lines.append(_row([row, *(number(values[name]) for name in sliced.targets)]))
    return lines


def _difference(line: Line) -> list[str]:
    d = line.difference
    if d is None:
        return ["", ""]
    shown = f"{'+' if d.mean >= 0 else ''}{number(d.mean)} [{number(d.low)}, {number(d.high)}]"
    return [f"**{shown}**" if d.real else shown, f"{d.p_holm:.4f}"]


def _timing(result: DatasetResult) -> list[str]:
    if not result.timing:
        return []
    lines = ["### Time per request", "", "Signature `rank_indexed`, float tables, one user, one core, models in turns."]
    lines += ["", "| | median ms | fastest round | slowest round |", "| --- | --- | --- | --- |"]
    for name, taken in sorted(result.timing.items(), key=lambda entry: median(entry[1])):
        lines.append(f"| {name} | {median(taken):.2f} | {min(taken):.2f} | {max(taken):.2f} |")
    return lines


def _spent(result: DatasetResult) -> list[str]:
    lines = [
        "### Budget",
        "",
        "Passes over the train split, pretraining and fine-tuning together. A row without pretraining has as many, and "
        "stops when the eval split gets no better; the weights of its best pass are kept.",
        "",
        "| row | seed | passes allowed | PSU passes | fine-tuning passes | kept | PSU s | fine-tuning s |",
        "| --- " * 8 + "|",
    ]
    for s in result.spent:
        if s.error:
            lines.append(f"| {s.row} | {s.seed} | {s.allowed} | failed: {_cell(s.error)} | | | | |")
            continue
        kept = str(s.kept) if s.kept else ""
        cells = (s.allowed, s.psu_passes, s.passes, kept, f"{s.psu_seconds:.0f}", f"{s.seconds:.0f}")
        lines.append(f"| {s.row} | {s.seed} | {' | '.join(map(str, cells))} |")
    return lines


def _trials(config: ExperimentConfig, result: DatasetResult) -> list[str]:
    given = next(dataset for dataset in config.datasets if dataset.name == result.name)
    if given.tuned_on:
        return ["", f"Settings are the best of the trials on {given.tuned_on}; none were tried here."]
    if not result.trials:
        return ["", "No settings were searched: every ranker has those of the dataset's configuration and its own row."]
    rankers = dict.fromkeys(trial.ranker for trial in result.trials)
    title, first = metric_title(config.metric), config.protocols_on(given)[0].name
    settings = [trial.overrides for trial in result.trials if trial.ranker == next(iter(rankers))]
    lines = [
        "",
        "### Search",
        "",
        f"{len(settings)} trials of every ranker, seed {config.search.seed}, judged by {title} of "
        f"protocol {first} on the eval split; the best is bold and was trained with every seed. Ablations have the "
        "reference's.",
        "",
        f"| ranker | {' | '.join(_setting(values) for values in settings)} |",
        "| --- " * (1 + len(settings)) + "|",
    ]
    for name in rankers:
        cells = []
        for trial in (trial for trial in result.trials if trial.ranker == name):
            shown = "failed" if trial.value is None else number(trial.value)
            cells.append(f"**{shown}**" if trial.best else shown)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _setting(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items()) or "as configured"


def headline(table: Table) -> str:
    """A table's sentence with its place, for the terminal."""
    place = table.protocol if table.part == ALL else f"{table.protocol}, {table.part}"
    return f"{place}: {table.sentence}"
