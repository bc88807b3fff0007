"""`seminar-tf bench serving`: load on a server, and what it makes of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from seminar_tf.cli.address import server_address

if TYPE_CHECKING:
    from serving.load.compare import Plan, Row, Variant
    from serving.load.draw import Shape

_ENCODINGS = {"packed": True, "values": False}
_DRAWN = 16


@click.group("bench", no_args_is_help=True)
def command() -> None:
    """Measure speed."""


@command.command("serving")
@click.option("--model-dir", type=click.Path(file_okay=False), help="Folder of versions; short for --model ranker=DIR.")
@click.option("--model", "models", multiple=True, metavar="NAME=DIR", help="A model to compare; may be repeated.")
@click.option(
    "--address",
    callback=server_address,
    help="host:port of a running server of the one model; without it servers are started.",
)
@click.option("--model-name", default="ranker", show_default=True, help="The model's name on the server.")
@click.option("--signature", "signatures", multiple=True, default=("rank_indexed",), show_default=True)
@click.option("--encoding", "encodings", multiple=True, type=click.Choice(list(_ENCODINGS)), default=("packed",),
              show_default=True, help="Numbers as raw bytes, or one by one.")  # fmt: skip
@click.option("-L", "--length", default=10_000, show_default=True, type=click.IntRange(0), help="Pairs of a history.")
@click.option("-N", "--candidates", default=200, show_default=True, type=click.IntRange(0), help="Candidates.")
@click.option("-B", "--rows", default=1, show_default=True, type=click.IntRange(1), help="Users in one call.")
@click.option("--callers", default=4, show_default=True, type=click.IntRange(1), help="Calls in flight, closed loop.")
@click.option("--qps", type=click.FloatRange(0, min_open=True), help="Open loop alone, at this rate.")
@click.option("--share", type=click.FloatRange(0, min_open=True), help="Open loop at a share of the closed one's rate.")
@click.option("--duration", default=15.0, show_default=True, type=click.FloatRange(0, min_open=True),
              help="Seconds of each way and loop, all rounds together.")  # fmt: skip
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Turns that the ways take.")
@click.option("--warmup", default=2.0, show_default=True, type=click.FloatRange(0), help="Seconds before, of each way.")
@click.option("--timeout", default=30.0, show_default=True, type=click.FloatRange(0, min_open=True), help="Deadline.")
@click.option("--seed", default=0, show_default=True, help="Of requests and arrivals.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def serving(
    model_dir: str | None,
    models: tuple[str, ...],
    address: str | None,
    model_name: str,
    signatures: tuple[str, ...],
    encodings: tuple[str, ...],
    length: int,
    candidates: int,
    rows: int,
    callers: int,
    qps: float | None,
    share: float | None,
    duration: float,
    rounds: int,
    warmup: float,
    timeout: float,
    seed: int,
    as_json: bool,
) -> None:
    """Load a server with drawn requests: rate, latencies, errors.

    Callers that wait for their answers (closed loop) find what the server can do; arrivals at random moments (open
    loop) find how long a user waits. Models, signatures and encodings are compared in turns. Requests are drawn from
    the vocabularies of the model, whose folder is therefore needed with --address, too.
    """
    try:
        from serving.load.compare import LoadError, Plan, compare
        from serving.load.draw import DrawError, Shape
        from serving.load.process import ProcessError
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"a package is missing for gRPC ({error.name}). Install seminar-tf[serving]."
        ) from error
    from seminar_tf.export.metadata import MetadataError
    from seminar_tf.export.versions import VersionError

    folders = _folders(model_dir, models, address)
    shape = Shape(rows, length, candidates)
    terminal = Console(stderr=True)
    try:
        plan = Plan(callers, duration, rounds, warmup, qps, share, seed)
        with contextlib.ExitStack() as stack:
            tell = terminal.print if not terminal.is_terminal else stack.enter_context(terminal.status("")).update
            silent = as_json and not terminal.is_terminal
            progress: Callable[[str], None] = (lambda text: None) if silent else tell
            made = [(s, e) for s in signatures for e in encodings]
            variants = [
                variant
                for name, folder in folders.items()
                for variant in stack.enter_context(
                    _variants(name, folder, address, model_name, made, shape, timeout, seed, progress)
                )
            ]
            found = compare(variants, plan, progress)
    except (LoadError, DrawError, ProcessError, MetadataError, VersionError) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps(describe(found, plan, shape), indent=2))
    else:
        _print(Console(), found, plan, shape)


def _folders(model_dir: str | None, models: tuple[str, ...], address: str | None) -> dict[str, Path]:
    """Name -> folder of versions."""
    found: dict[str, Path] = {} if model_dir is None else {"ranker": Path(model_dir)}
    for given in models:
        name, equals, folder = given.partition("=")
        if not (name and equals and folder):
            raise click.UsageError(f"--model {given!r}: expected NAME=DIR.")
        if name in found:
            raise click.UsageError(f"--model: the name {name!r} is given twice.")
        found[name] = Path(folder)
    if not found:
        raise click.UsageError("give --model-dir, or --model NAME=DIR once or more.")
    if address is not None and len(found) > 1:
        raise click.UsageError("--address is of one server: compare several models without it.")
    return found


@contextlib.contextmanager
def _variants(
    name: str,
    folder: Path,
    address: str | None,
    model_name: str,
    made: list[tuple[str, str]],
    shape: Shape,
    timeout_s: float,
    seed: int,
    progress: Callable[[str], None],
) -> Iterator[list[Variant]]:
    """The ways of asking one model; its server lives as long as the `with`, where it is ours."""
    from seminar_tf.export.versions import latest
    from serving.load.compare import Variant
    from serving.load.draw import Drawer, serialized
    from serving.load.process import ServerProcess
    from serving.load.target import GrpcTarget

    progress(f"drawing requests for {name}")
    drawer = Drawer(latest(folder))
    requests = {
        (signature, encoding): serialized(drawer, signature, shape, _ENCODINGS[encoding], _DRAWN, seed, model_name)
        for signature, encoding in made
    }
    with contextlib.ExitStack() as stack:
        if address is None:
            progress(f"starting a server for {name}")
            wide = ("--max-candidates", str(max(shape.candidates, 20_000)))
            address = stack.enter_context(ServerProcess(folder, model_name, wide)).address
        target = stack.enter_context(GrpcTarget(address, timeout_s))
        yield [Variant(name, *way, target, payloads) for way, payloads in requests.items()]


def describe(rows: list[Row], plan: Plan, shape: Shape) -> dict[str, Any]:
    """Everything that was found, as JSON types."""
    from dataclasses import asdict

    return {"shape": asdict(shape), "plan": asdict(plan), "rows": [row.to_json(_first(rows, row)) for row in rows]}


def _first(rows: list[Row], row: Row) -> Row:
    """The row that another's ratios are to: the first of the same loop."""
    return next(other for other in rows if other.loop == row.loop)


def _ratio(value: float, base: float) -> str:
    return f"{value / base:.2f}" if base > 0 else "-"


def _print(console: Console, rows: list[Row], plan: Plan, shape: Shape) -> None:
    """A table a loop, narrow enough for 80 columns."""
    sizes = f"B = {shape.rows:,}, L = {shape.length:,}, N = {shape.candidates:,}"
    for loop in dict.fromkeys(row.loop for row in rows):
        shown = [row for row in rows if row.loop == loop]
        kind = f"closed loop, {plan.callers} callers" if loop == "closed" else "open loop"
        table = Table(
            title=f"{sizes}; {kind}; medians of {plan.rounds} rounds, ms", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
        )
        table.add_column("asked", no_wrap=True)
        for heading in ("QPS", "x", "p50", "x", "p95", "p99", "max", "failed"):
            table.add_column(heading, justify="right", no_wrap=heading != "failed")
        for row in shown:
            _add(table, row, shown[0])
        console.print(table)
    late = max(row.middle.late_p99_ms for row in rows)
    console.print("x: against the first row.", highlight=False)
    if any(row.loop == "open" for row in rows):
        console.print(f"The generator itself sent up to {late:.1f} ms late (p99).", highlight=False)


def _add(table: Table, row: Row, first: Row) -> None:
    found, base, variant = row.middle, first.middle, row.variant
    asked = f"{variant.model}\n{variant.signature}, {variant.encoding}"
    if row.offered_qps is not None:
        asked += f"\nat {row.offered_qps:.1f} a second"
    failed = ", ".join(f"{count} {status}" for status, count in sorted(found.errors.items())) or "0"
    p50, *slower = (f"{ms:.1f}" for ms in (found.p50_ms, found.p95_ms, found.p99_ms, found.max_ms))
    rates, waits = _ratio(found.qps, base.qps), _ratio(found.p50_ms, base.p50_ms)
    table.add_row(escape(asked), f"{found.qps:.1f}", rates, p50, waits, *slower, failed)


if __name__ == "__main__":
    command()
