"""What a person sees while the pipeline runs: one line a component, the one at work with a clock."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pipelines.local_runner import NodeResult
from pipelines.rows import RowCounter


class ComponentProgress:
    """Prints a line for each finished component and, on a terminal, a spinner for the one at work."""

    def __init__(self, console: Console):
        """Creates the display.

        Args:
          console: where to print; without a terminal only finished lines are printed.
        """
        self._console = console
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[step]} [bold]{task.description}[/]"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = None
        self._step = ""
        self._rows = RowCounter()

    def __enter__(self) -> ComponentProgress:
        self._bar.start()
        header = f"{'':>7} {'component':<20} {'seconds':>8}  {'rows in':>10}  {'rows out':>10}"
        self._console.print(f"[dim]{header}[/]", highlight=False)
        return self

    def __exit__(self, *unused: object) -> None:
        self._bar.stop()

    def on_start(self, name: str, index: int, total: int) -> None:
        """Shows that a component is at work."""
        self._step = f"{index + 1:>2}/{total}"
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(name, total=None, step=self._step)

    def on_end(self, result: NodeResult) -> None:
        """Prints what a component did."""
        seconds = "cached" if result.cached else f"{result.seconds:.1f}"
        rows_in, rows_out = self._rows.count(result)
        self._console.print(
            f"{self._step:>7} {result.name:<20} {seconds:>8}  {_count(rows_in):>10}  {_count(rows_out):>10}",
            highlight=False,
        )


def _count(rows: int | None) -> str:
    return "-" if rows is None else f"{rows:,}"


@contextlib.contextmanager
def logs_to(path: Path, verbose: bool = False) -> Iterator[None]:
    """Sends Python's log records and warnings to a file while the pipeline runs, so that progress can be read.

    Args:
      path: log file; appended to.
      verbose: print the records on stderr as well.
    """
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    handlers: list[logging.Handler] = [handler]
    if verbose:
        handlers.append(logging.StreamHandler(sys.stderr))
    # absl and TensorFlow print through handlers of their own; theirs give way, and their records go to the root's.
    loggers = [logging.getLogger(name) for name in (None, "absl", "tensorflow", "tf_keras")]
    before = [(logger, logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers = handlers if logger.parent is None else []
        logger.propagate = True
        logger.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for logger, old_handlers, level, propagate in before:
            logger.handlers, logger.propagate = old_handlers, propagate
            logger.setLevel(level)
        handler.close()
