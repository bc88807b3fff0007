"""What a person sees while an experiment runs: a table of rows by seeds on a terminal, a line a job elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipelines.experiment.jobs import Job, Outcome

_STYLES = {"failed": "red", "cached": "dim", "done": "green"}


class Display:
    """Follows the jobs of an experiment. A job's name is `dataset / row / cell`; other jobs get a line of their own.

    Attributes:
      console: where to print.
    """

    def __init__(self, console: Console, value: Callable[[Job], str]) -> None:
        """Args:
        console: without a terminal, only a line for each job that is over is printed.
        value: what to show of a job that is done, such as its metric.
        """
        self.console = console
        self._value = value
        self._cells: dict[tuple[str, str], dict[str, Text]] = {}
        self._columns: list[str] = []
        self._since: dict[str, float] = {}
        self._total = self._over = 0
        self._began = time.monotonic()
        self._live = Live(console=console, refresh_per_second=2, get_renderable=self._render, transient=False)

    def __enter__(self) -> Display:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def expect(self, jobs: list[Job]) -> None:
        """Adds the jobs of a stage."""
        self._total += len(jobs)
        for job in jobs:
            row, cell = _place(job)
            if row is not None:
                self._set(row, cell, Text("·", style="dim"))

    def on_start(self, job: Job) -> None:
        """Shows that a job is at work."""
        self._since[job.name] = time.monotonic()
        row, cell = _place(job)
        if row is not None:
            self._set(row, cell, Text("runs", style="yellow"))

    def on_end(self, job: Job, outcome: Outcome) -> None:
        """Shows what became of a job."""
        self._over += 1
        self._since.pop(job.name, None)
        shown = "failed" if outcome.status == "failed" else self._value(job) or outcome.status
        row, cell = _place(job)
        if row is not None:
            self._set(row, cell, Text(shown, style=_STYLES[outcome.status]))
        if outcome.status == "failed" or not self.console.is_terminal:
            took = f" ({outcome.seconds:.0f} s, {outcome.cpu_seconds:.0f} s of CPU)" if outcome.seconds else ""
            what = f"failed: {outcome.error}" if outcome.status == "failed" else shown
            line = f"[{self._over}/{self._total}] {job.name}: {what}{took}"
            if outcome.status == "failed" and outcome.log is not None:
                line += f"\n  log: {outcome.log}"
            style = "red" if outcome.status == "failed" else None
            self.console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)

    def _set(self, row: tuple[str, str], cell: str, text: Text) -> None:
        if cell not in self._columns:
            self._columns.append(cell)
        self._cells.setdefault(row, {})[cell] = text

    def _render(self) -> Group:
        table = Table(title=f"{self._over} of {self._total} jobs", title_justify="left")
        for column in ("dataset", "row", *self._columns):
            table.add_column(column)
        for (dataset, row), cells in self._cells.items():
            table.add_row(dataset, row, *(cells.get(column, Text("")) for column in self._columns))
        now = time.monotonic()
        running = [f"{name} {now - since:.0f} s" for name, since in self._since.items()]
        return Group(table, Text(f"{now - self._began:.0f} s; at work: {', '.join(running) or 'nothing'}"))


def _place(job: Job) -> tuple[tuple[str, str] | None, str]:
    parts = job.name.split(" / ")
    if len(parts) != 3 or parts[0].startswith("PSU of"):
        return None, ""
    return (parts[0], parts[1]), parts[2]
