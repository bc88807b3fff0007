"""Reads what the jobs of a dataset left, and makes its part of the report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.experiment.jobs import Outcome
from pipelines.experiment.layout import (
    Asked,
    Ranks,
    Transformed,
    fine_tuned_folder,
    floor_folder,
    load_ranks,
    load_scored,
    pretrained_folder,
    read_json,
    training_report,
)
from pipelines.experiment.plan import FLOOR, Plan, Row
from pipelines.experiment.records import DatasetResult, Spent
from pipelines.experiment.results import ALL, Table
from pipelines.experiment.tables import IMPRESSIONS, SliceTable, impression_tables, ranking_table, slice_table

if TYPE_CHECKING:
    from pipelines.experiment.run import State

HELD_OUT, OTHERS = "targets that were no train target", "the other targets"
_IDEAL_FILE = "ideal.json"
_IDEAL_RANKERS = {"the generator's ideal ranker": "ideal", "the true probability of a click alone": "click_only"}


def mean_metric(folder: Path, asked: Asked, metric: str) -> float:
    """Mean of a metric over the targets that the model in a folder ranked."""
    return float(load_ranks(asked.file(folder)).values[metric].mean())


def best_trial(values: Sequence[float | None]) -> int | None:
    """Number of the best trial, the first of equal ones; None where all failed."""
    known = [(value, -n) for n, value in enumerate(values) if value is not None]
    return -max(known)[1] if known else None


def collect(plan: Plan, state: State, outcomes: Mapping[str, Outcome]) -> DatasetResult:
    """The results of one dataset.

    Args:
      plan: the experiment.
      state: of the dataset, at the end.
      outcomes: of all jobs.
    """
    name, data = state.dataset.name, state.data
    if data is None:
        return DatasetResult(name, error=state.error)
    spent = [_spent(plan, row, data, outcomes[title], state.dataset.passes) for title, row in state.rows.items()]
    timed = state.timing is not None and outcomes[state.timing.name].status != "failed"
    tables, sliced = _tables(plan, state, data, outcomes)
    return DatasetResult(
        name=name,
        facts=_facts(state),
        tables=tables,
        slices=sliced,
        trials=state.trials,
        spent=spent,
        timing=read_json(state.timing.outputs[0]) if timed and state.timing is not None else {},
        reached=_reached(plan, state),
    )


def _tables(
    plan: Plan, state: State, data: Transformed, outcomes: Mapping[str, Outcome]
) -> tuple[list[Table], list[SliceTable]]:
    """Ranks by protocol, whole and in parts, then impressions; and slices by protocol."""
    config, tables, sliced = plan.config, [], []
    reference = config.compared_with.name
    folders, kinds = _answered(plan, state, data, outcomes)
    if not folders:
        return [], []
    for protocol, asked in zip(config.protocols_on(state.dataset.given), plan.asked(state.dataset)):
        ranks = {
            row: {seed: load_ranks(asked.file(folder)) for seed, folder in by_seed.items()}
            for row, by_seed in folders.items()
        }
        for part, keep in _parts(data, ranks).items():
            given = (protocol.name, part, ranks, kinds, reference, config.metric, config.metrics)
            tables.append(ranking_table(*given, keep))
            if part == ALL:
                order = [line.row for line in tables[-1].lines]
                found = slice_table(protocol.name, ranks, config.metric, order)
                sliced += [found] if found else []
    shown = plan.asked_impressions(state.dataset)
    if shown is not None:
        scored = {
            row: {seed: load_scored(shown.file(folder)) for seed, folder in by_seed.items()}
            for row, by_seed in folders.items()
        }
        tables += impression_tables(scored, kinds, reference)
    return tables, sliced


def _answered(
    plan: Plan, state: State, data: Transformed, outcomes: Mapping[str, Outcome]
) -> tuple[dict[str, dict[int | None, Path]], dict[str, str]]:
    """Folders of the rows that did not fail, row -> seed -> folder, and each row's kind."""
    folders: dict[str, dict[int | None, Path]] = {}
    kinds: dict[str, str] = {}
    for title, row in state.rows.items():
        if outcomes[title].status != "failed":
            folders.setdefault(row.name, {})[row.seed] = fine_tuned_folder(row.config, data, plan.models)
            kinds[row.name] = row.kind
    for floor, job in state.floors.items():
        if outcomes[job.name].status != "failed":
            folder = floor_folder(floor, state.dataset.name, state.dataset.config, data, plan.models)
            folders[floor], kinds[floor] = {None: folder}, FLOOR
    return folders, kinds


def _parts(data: Transformed, ranks: Mapping[str, Mapping[Any, Ranks]]) -> dict[str, np.ndarray | None]:
    """Which targets are reported: all, and where items were held out, those and the others, if there are any."""
    parts: dict[str, np.ndarray | None] = {ALL: None}
    if data.held_out is not None:
        items = next(iter(next(iter(ranks.values())).values())).items
        held_out = np.isin(items, np.load(data.held_out))
        parts |= {name: keep for name, keep in ((HELD_OUT, held_out), (OTHERS, ~held_out)) if keep.any()}
    return parts


def _spent(plan: Plan, row: Row, data: Transformed, outcome: Outcome, allowed: int) -> Spent:
    pretrained = row.config.psu.epochs > 0
    if outcome.status == "failed":
        return Spent(row.name, row.kind, row.seed, pretrained, allowed, status="failed", error=outcome.error)
    psu = training_report(pretrained_folder(row.config, data, plan.models))
    ranker = training_report(fine_tuned_folder(row.config, data, plan.models))
    # Without early stopping the last pass's weights are kept.
    kept = ranker["best_epoch"] + 1 if row.config.seminar.patience else ranker["epochs"]
    return Spent(
        row=row.name,
        kind=row.kind,
        seed=row.seed,
        pretrained=pretrained,
        allowed=allowed,
        psu_passes=psu["epochs"],
        passes=ranker["epochs"],
        kept=kept,
        psu_seconds=psu["seconds"],
        seconds=ranker["seconds"],
        status=outcome.status,
    )


def _facts(state: State) -> list[str]:
    given, config = state.dataset.given, state.dataset.config
    facts = [
        f"split {config.data.split}, at most {config.data.max_targets_per_user or 'all'} train targets a user, "
        f"L = {config.model.history_length}, d = {config.model.dim}, H = {config.model.heads}",
        f"{state.dataset.passes} passes for every row: {config.psu.epochs} of pretraining and {config.seminar.epochs} "
        "of fine-tuning, or all of fine-tuning",
    ]
    if given.tuned_on:
        facts.append(f"settings: the best trials on {given.tuned_on}")
    if given.overrides:
        facts.append("overrides: " + ", ".join(f"{key} {value}" for key, value in given.overrides.items()))
    if given.hold_out and state.data is not None and state.data.held_out is not None:
        count = len(np.load(state.data.held_out))
        facts.append(f"{count:,} items (one in {given.hold_out}, by hash) are no train target")
    return facts


def _reached(plan: Plan, state: State) -> dict[str, dict[str, dict[str, float]]]:
    """What the generator says could be reached, by the protocols that measure as it does."""
    config = state.dataset.config
    path = Path(config.data.path) / _IDEAL_FILE
    if not path.exists():
        return {}
    tree = json.loads(path.read_text(encoding="utf-8"))
    reached: dict[str, dict[str, dict[str, float]]] = {}
    if config.data.split == "leave_last_out":
        rankers = {title: tree[name] for title, name in _IDEAL_RANKERS.items() if name in tree}
        for protocol in plan.config.protocols_on(state.dataset.given):
            if protocol.evaluation.candidates == "full" and not protocol.evaluation.exclude_history:
                reached[protocol.name] = rankers
    if "click" in tree.get("logged", {}):
        reached[IMPRESSIONS] = {"the true probability of a click, over all logged requests": tree["logged"]["click"]}
    return reached
