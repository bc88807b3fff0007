"""One local run of the pipeline, with progress and a report: what `seminar-tf run` and `seminar-tf demo` call."""

from __future__ import annotations

import contextlib
import datetime
import shutil
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipelines.local_runner import ComponentError, LocalRunner
from pipelines.pipeline import create_pipeline
from pipelines.progress import ComponentProgress, logs_to
from pipelines.report import RunReport, build_report, report_path, served_lines, write_report
from seminar_tf.cli.console import native_stderr_to
from seminar_tf.config import PipelineConfig
from seminar_tf.memory import keep_freed_memory

_SHOWN = ("ndcg_at_5", "ndcg_at_10", "ndcg_at_50", "hit_at_10", "mrr")


def run_pipeline(
    config: PipelineConfig,
    console: Console,
    enable_cache: bool = True,
    verbose: bool = False,
    span: int | None = None,
) -> RunReport:
    """Runs every component on this machine.

    Args:
      config: the configuration.
      console: where progress is printed.
      enable_cache: take outputs of earlier equal executions.
      verbose: print log records too, not only to the log file.
      span: the span to run for; None takes the newest.

    Returns:
      The run's report, also written to `<root>/report`.

    Raises:
      ComponentError: a component failed; the message names it and the log file.
      DatasetError: the dataset is missing or malformed.
    """
    keep_freed_memory()
    root = Path(config.root).resolve()
    log = root / "logs" / f"{datetime.datetime.now():%Y%m%d-%H%M%S}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    aside = contextlib.nullcontext() if verbose else native_stderr_to(log)
    with logs_to(log, verbose), aside:
        pipeline = create_pipeline(config, enable_cache, span)
        with ComponentProgress(console) as progress:
            runner = LocalRunner(progress.on_start, progress.on_end)
            try:
                runner.run(pipeline)
            except ComponentError as error:
                console.print(f"{error}\nlog: {log}", style="red", markup=False, highlight=False, soft_wrap=True)
                raise
        report = build_report(config, runner.results)
    # Trainers removed their own state; what a killed run left behind ends with the first whole one.
    shutil.rmtree(root / "state", ignore_errors=True)
    write_report(config, report)
    return report


def print_summary(console: Console, report: RunReport, config: PipelineConfig) -> None:
    """Prints metrics beside their references, then where everything is."""
    table = Table(title="Test split, one held-out target a user", title_justify="left")
    references = {k: v for k, v in report.reference.items() if isinstance(v, dict) and "ndcg_at_10" in v}
    for column in ("metric", "SEMINAR", *references):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for metric in _SHOWN:
        if metric in report.metrics:
            known = [f"{values[metric]:.4f}" if metric in values else "" for values in references.values()]
            table.add_row(metric, f"{report.metrics[metric]:.4f}", *known)
    console.print(table)
    verdict = "[green]blessed[/]" if report.blessed else "[yellow]not blessed: below a threshold, so not pushed[/]"
    console.print(f"model        {verdict}")
    console.print(f"served       {'; '.join(served_lines(report))}", highlight=False, soft_wrap=True)
    places = {"pushed to": report.pushed or "-", "report": str(report_path(config))}
    places |= {f"logs {stage}": f"tensorboard --logdir {uri}" for stage, uri in report.tensorboard.items()}
    for name, place in places.items():
        console.print(f"{name:<12} {place}", highlight=False, soft_wrap=True)
