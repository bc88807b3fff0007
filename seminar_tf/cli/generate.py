"""`seminar-tf generate`: a synthetic dataset of any size."""

from __future__ import annotations

import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from seminar_tf.data.generator import IDEAL_FILE, PRESETS, Summary, generate, preset

_POSITIVE = click.IntRange(min=1)


@click.command("generate")
@click.option("--preset", "preset_name", required=True, type=click.Choice(list(PRESETS)), help="Sizes to start from.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Where to write the dataset.")
@click.option("--users", type=_POSITIVE, help="Users; each keeps the preset's mean length.")
@click.option("--events", type=_POSITIVE, help="Expected events of all users together (about).")
@click.option("--items", type=_POSITIVE, help="Catalog size.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of every draw.")
@click.option("--spans", type=_POSITIVE, default=1, show_default=True, help="Cut the last days into daily spans.")
@click.option("--overwrite", is_flag=True, help="Replace a dataset that is already there.")
def command(
    preset_name: str,
    out: Path,
    users: int | None,
    events: int | None,
    items: int | None,
    seed: int,
    spans: int,
    overwrite: bool,
) -> None:
    """Write a synthetic dataset (docs/data.md) and, beside it, what the ideal ranker would reach.

    The same options give the same tables, byte for byte. Memory does not grow with users or events.
    """
    config = preset(preset_name, users=users, events=events, items=items, seed=seed, spans=spans)
    console = Console()
    started = time.monotonic()
    columns = (TextColumn("{task.description:6}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        tasks = {
            "items": bars.add_task("items", total=config.items),
            "users": bars.add_task("users", total=config.users),
        }
        summary = generate(
            config,
            out,
            overwrite=overwrite,
            progress=lambda stage, done, total: bars.update(tasks[stage], completed=done, total=total),
        )
    seconds = time.monotonic() - started
    _print_summary(console, summary, out, seconds)


def _print_summary(console: Console, summary: Summary, out: Path, seconds: float) -> None:
    counts = Table(title=f"{out}", title_justify="left")
    for name in ("span", "events", "requests", "users", "items"):
        counts.add_column(name, justify="right")
    spans = sorted({span for span, _ in summary.rows})
    for span in spans:
        counts.add_row(str(span), *(f"{summary.rows.get((span, t), 0):,}" for t in _TABLES))
    if len(spans) > 1:
        counts.add_row("all", *(f"{summary.total(t):,}" for t in _TABLES))
    console.print(counts)
    console.print(
        f"{summary.shortest:,} to {summary.longest:,} events a user; "
        f"{seconds:.1f} s, {summary.total('events') / seconds:,.0f} events/s",
        highlight=False,
    )
    reach = Table(title=f"What can be reached on the last request ({IDEAL_FILE})", title_justify="left")
    for name in ("ranker", "NDCG@5", "NDCG@10", "NDCG@50", "HIT@10", "MRR"):
        reach.add_column(name, justify="left" if name == "ranker" else "right")
    for ranker in ("ideal", "popularity"):
        found = summary.ideal[ranker]
        reach.add_row(
            ranker, *(f"{found[m]:.4f}" for m in ("ndcg_at_5", "ndcg_at_10", "ndcg_at_50", "hit_at_10", "mrr"))
        )
    console.print(reach)


_TABLES = ("events", "requests", "users", "items")
