"""Runs an experiment from its plan to its report: what `seminar-tf experiment` calls."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from pipelines.experiment.collect import best_trial, collect, mean_metric
from pipelines.experiment.display import Display
from pipelines.experiment.elapsed import Elapsed
from pipelines.experiment.jobs import Job, Outcome, Runner
from pipelines.experiment.layout import MARKER, MODEL, Asked, Question, Transformed, find_ingested, fine_tuned_folder
from pipelines.experiment.making import floor_jobs, hold_out_jobs, ingestion_jobs, timing_job, training_jobs
from pipelines.experiment.plan import RANKER, Dataset, Plan, Row
from pipelines.experiment.records import DatasetResult, Trial
from pipelines.experiment.report import headline, write_report
from pipelines.experiment.results import number
from pipelines.lock import HeldError, hold
from seminar_tf.config_io import ConfigError


@dataclass
class State:
    """What is known of one dataset as the experiment goes on.

    Attributes:
      dataset: of the plan.
      data: its transformed examples; None where reading it failed.
      error: why.
      trials: what was tried.
      chosen: ranker -> overrides that its rows have.
      rows: job name -> row.
      floors: floor -> job.
      timing: the job that timed requests.
    """

    dataset: Dataset
    data: Transformed | None = None
    error: str = ""
    trials: list[Trial] = field(default_factory=list)
    chosen: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    floors: dict[str, Job] = field(default_factory=dict)
    timing: Job | None = None


@dataclass(frozen=True)
class Finished:
    """An experiment that came to its end.

    Attributes:
      report: the Markdown file.
      results: of every dataset.
      outcomes: of every job.
    """

    report: Path
    results: list[DatasetResult]
    outcomes: dict[str, Outcome]

    @property
    def failed(self) -> dict[str, Outcome]:
        """Jobs that failed, or were not run because one that they need failed."""
        return {name: outcome for name, outcome in self.outcomes.items() if outcome.status == "failed"}


def run_experiment(plan: Plan, console: Console) -> Finished:
    """Runs what is missing of an experiment and writes its report.

    Args:
      plan: the experiment, resolved.
      console: where progress is printed.

    Returns:
      What it came to; failed rows are in it, they stop nothing.

    Raises:
      ConfigError: another process runs an experiment in the same root.
    """
    watched: dict[str, tuple[Path, Asked]] = {}

    def value(job: Job) -> str:
        return number(mean_metric(*watched[job.name], plan.config.metric)) if job.name in watched else ""

    with _alone(plan.root), Display(console, value) as display:

        def on_end(job: Job, outcome: Outcome) -> None:
            elapsed.add(outcome)
            display.on_end(job, outcome)

        runner = Runner(plan.config.jobs, plan.root / "logs", display.on_start, on_end)
        elapsed = Elapsed(plan.root / "took.json", runner.processes)

        def run(jobs: list[Job]) -> None:
            display.expect(jobs)
            runner.run(jobs)

        states = _ingest(plan, runner, run)
        _search(plan, states, runner, run, watched)
        _train(plan, states, runner, run, watched)
        for state in states:
            _time(plan, state, runner, run)
        results = [collect(plan, state, runner.outcomes) for state in states]
    failed = {name: outcome for name, outcome in runner.outcomes.items() if outcome.status == "failed"}
    report = write_report(plan.config, results, failed, elapsed.runs, plan.root / "report")
    return Finished(report, results, runner.outcomes)


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Holds the root for this process; the lock ends with the process, however that ends."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold(root / ".lock"))
        except HeldError:
            raise ConfigError(
                f"root {root}: another process runs an experiment there. Wait for it, or give another --root."
            ) from None
        yield


def _ingest(plan: Plan, runner: Runner, run: Any) -> list[State]:
    states = [State(dataset) for dataset in plan.datasets]
    jobs = ingestion_jobs(plan)
    by_folder = {job.outputs[0].parent: job for job in jobs}
    for state in states:
        found = find_ingested(state.dataset.folder, Path(state.dataset.config.data.path))
        if found is None:
            # Of other data or other code: it must not pass for what is asked.
            (state.dataset.folder / MARKER).unlink(missing_ok=True)
    run(jobs)
    held_out: list[Job] = []
    for state in states:
        outcome = runner.outcomes[by_folder[state.dataset.folder].name]
        found = find_ingested(state.dataset.folder, Path(state.dataset.config.data.path))
        if outcome.status == "failed" or found is None:
            state.error = outcome.error or "the tables changed while they were read: run again"
            continue
        state.data, more = hold_out_jobs(state.dataset, found)
        held_out += more
    run(held_out)
    for state in states:
        failed = runner.outcomes.get(f"{state.dataset.name} / held out")
        if failed is not None and failed.status == "failed":
            state.data, state.error = None, failed.error
    return states


def _search(plan: Plan, states: list[State], runner: Runner, run: Any, watched: dict[str, tuple[Path, Asked]]) -> None:
    """Tries the grid for every ranker, and takes the best of each."""
    grid = plan.config.search.grid or ({},)
    tried: dict[str, tuple[Row, Transformed, tuple[Question, ...]]] = {}
    for state in states:
        if state.data is None:
            continue
        asked = plan.asked_of_trials(state.dataset)
        for n, row in plan.trials(state.dataset):
            name = f"{state.dataset.name} / {row.name} / trial {n + 1}"
            tried[name] = (row, state.data, (asked,))
            watched[name] = (fine_tuned_folder(row.config, state.data, plan.models), asked)
    run(training_jobs(plan, tried))
    for state in states:
        if state.data is None or state.dataset.given.tuned_on:
            continue
        if len(grid) < 2:
            state.chosen = {row.name: grid[0] for row in plan.config.rankers}
            continue
        for ranker in plan.config.rankers_on(state.dataset.name):
            names = [f"{state.dataset.name} / {ranker.name} / trial {n + 1}" for n in range(len(grid))]
            failed = [runner.outcomes[name].status == "failed" for name in names]
            values = [
                None if lost else mean_metric(*watched[name], plan.config.metric) for name, lost in zip(names, failed)
            ]
            best = best_trial(values)
            state.trials += [Trial(ranker.name, dict(grid[n]), value, n == best) for n, value in enumerate(values)]
            if best is not None:
                state.chosen[ranker.name] = grid[best]
    by_name = {state.dataset.name: state for state in states}
    for state in states:
        if state.dataset.given.tuned_on:
            state.chosen = dict(by_name[state.dataset.given.tuned_on].chosen)


def _train(plan: Plan, states: list[State], runner: Runner, run: Any, watched: dict[str, tuple[Path, Asked]]) -> None:
    """Trains and ranks every row, and ranks with the floors."""
    rows: dict[str, tuple[Row, Transformed, tuple[Question, ...]]] = {}
    floors: list[Job] = []
    for state in states:
        if state.data is None:
            continue
        asked = plan.questions(state.dataset)
        for row in plan.rows(state.dataset, state.chosen):
            state.rows[row.title] = row
            rows[row.title] = (row, state.data, asked)
            watched[row.title] = (fine_tuned_folder(row.config, state.data, plan.models), plan.asked(state.dataset)[0])
        state.floors = floor_jobs(plan, state.dataset, state.data)
        floors += state.floors.values()
    run([*floors, *training_jobs(plan, rows)])


def _time(plan: Plan, state: State, runner: Runner, run: Any) -> None:
    """Times the first seed of every ranker. One job at a time, so that nothing else is at work."""
    timing = plan.config.timing
    asked = timing.rounds and (not timing.datasets or state.dataset.name in timing.datasets)
    if state.data is None or not asked:
        return
    models: dict[str, Path] = {}
    for name, row in state.rows.items():
        if row.kind == RANKER and runner.outcomes[name].status != "failed":
            models.setdefault(row.name, fine_tuned_folder(row.config, state.data, plan.models) / MODEL)
    if models:
        state.timing = timing_job(plan, state.dataset, state.data, models)
        run([state.timing])


def print_summary(console: Console, finished: Finished) -> None:
    """Prints which differences are real, and where the report is."""
    for result in finished.results:
        console.rule(result.name)
        if result.error:
            console.print(f"failed: {result.error}", style="red", markup=False, highlight=False, soft_wrap=True)
        for table in result.tables:
            console.print(headline(table), markup=False, highlight=False, soft_wrap=True)
    made = sum(outcome.status == "done" for outcome in finished.outcomes.values())
    cached = sum(outcome.status == "cached" for outcome in finished.outcomes.values())
    failed = len(finished.failed)
    console.print(f"jobs: {made} run, {cached} there already, {failed} failed", highlight=False)
    console.print(f"report: {finished.report}", markup=False, highlight=False, soft_wrap=True)
