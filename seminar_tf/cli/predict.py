"""`seminar-tf predict`: a real user's request over gRPC, and the ranked titles."""

from __future__ import annotations

import contextlib
import json
import logging
import random
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from seminar_tf.cli.address import server_address
from seminar_tf.cli.console import native_stderr_to, quiet_native_logs
from seminar_tf.data.retention import MOST_DAYS
from seminar_tf.export.inputs import SCORE_PREFIX, RankRequest, raw_inputs

if TYPE_CHECKING:
    from seminar_tf.data.one_user import Item, Pair, User
    from serving.client import Answer, Client

# What a server takes by default (`seminar-tf serve --max-candidates`).
_MOST_CANDIDATES = 20_000
_SHOWN_PAIRS = 5


@click.command("predict")
@click.option("--dataset", required=True, type=click.Path(exists=True, file_okay=False), help="Canonical dataset.")
@click.option("--model-dir", type=click.Path(file_okay=False), help="Folder of versions, for a server of our own.")
@click.option(
    "--address", callback=server_address, help="host:port of a running server; without it one is started here."
)
@click.option("--model-name", default="ranker", show_default=True, help="The model's name on the server.")
@click.option("--user", "user_id", help="User id; by default a busy user.")
@click.option("--query", help='What the user types; "" asks for recommendations. Default: the held-out pair\'s query.')
@click.option(
    "--retention-days",
    default=0,
    show_default=True,
    type=click.IntRange(0, MOST_DAYS),
    help="Days of history before the request that are sent; 0 sends all of it.",
)
@click.option(
    "--candidates",
    type=click.IntRange(1, _MOST_CANDIDATES),
    help="Items to draw as candidates; by default the whole catalog, or 20,000 of it.",
)
@click.option("--top", default=10, show_default=True, type=click.IntRange(1), help="Rows shown.")
@click.option("--task", help="Task whose score ranks; by default click, or the model's first.")
@click.option("--timeout", "timeout_s", default=30.0, show_default=True, help="Deadline of the call in seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def command(
    dataset: str,
    model_dir: str | None,
    address: str | None,
    model_name: str,
    user_id: str | None,
    query: str | None,
    retention_days: int,
    candidates: int | None,
    top: int,
    task: str | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Rank items for a real user at the moment of their last, held-out event, over gRPC."""
    if (model_dir is None) == (address is None):
        raise click.UsageError("give --model-dir (a server is started here) or --address (a running one).")
    quiet_native_logs()
    # Imported here, because it loads TensorFlow.
    from seminar_tf.data.one_user import busiest_user, read_catalog, read_user

    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    console = Console()
    catalog = read_catalog(dataset)
    user = read_user(dataset, user_id or busiest_user(dataset), list(catalog), retention_days)
    chosen = choose_candidates(list(catalog), user, candidates)
    request = RankRequest(
        history=[(pair.item_id, pair.query, pair.timestamp) for pair in user.history],
        candidates=chosen,
        timestamp=user.held_out.timestamp,
        query=user.held_out.query if query is None else query,
        user_id=user.user_id,
        user_attributes=user.attributes,
    )
    status = contextlib.nullcontext() if as_json else console.status("loading the model")
    with native_stderr_to(), status, _connect(address, model_dir, model_name) as client:
        answer = _call(client, request, timeout_s)
    result = describe(request, answer, user, catalog, _task(answer, task), top)
    if as_json:
        click.echo(json.dumps(result, ensure_ascii=False, indent=2))
    else:
        _print(console, result)


def choose_candidates(catalog: list[str], user: User, count: int | None) -> list[str]:
    """Item ids to rank: the whole catalog, or `count` of it drawn anew for each user, the held-out item among them."""
    most = min(count or _MOST_CANDIDATES, _MOST_CANDIDATES)
    if len(catalog) <= most:
        return catalog
    others = [item_id for item_id in catalog if item_id != user.held_out.item_id]
    drawn = random.Random(zlib.crc32(user.user_id.encode("utf-8"))).sample(others, most - 1)
    return [*drawn, user.held_out.item_id]


@contextlib.contextmanager
def _connect(address: str | None, model_dir: str | None, model_name: str) -> Iterator[Client]:
    """A client of the server at `address`, or of one that lives as long as the `with`."""
    try:
        from serving.client import Client, ServingError

        if model_dir is not None:
            from serving.options import ModelSource, ServerOptions
            from serving.server import Server
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"a package is missing for gRPC ({error.name}). Install seminar-tf[serving]."
        ) from error
    with contextlib.ExitStack() as stack:
        if model_dir is not None:
            _require_version(model_dir)
            server = stack.enter_context(Server((ModelSource(model_name, model_dir),), ServerOptions(port=0)))
            if not server.models.ready():
                raise click.ClickException(
                    f"the newest version under {model_dir} does not load; the log above says why. "
                    "Remove it, or push a new one."
                )
            address = server.address
        client = stack.enter_context(Client(str(address), model_name))
        try:
            client.wait_until_ready(10.0)
        except ServingError as error:
            raise click.ClickException(
                f"{error.message} Is the server running? Start one: seminar-tf serve."
            ) from error
        yield client


def _require_version(model_dir: str) -> None:
    from seminar_tf.export.versions import VersionError, latest

    try:
        latest(model_dir)
    except VersionError as error:
        raise click.ClickException(str(error)) from error


def _call(client: Client, request: RankRequest, timeout_s: float) -> Answer:
    from serving.client import ServingError

    try:
        return client.predict(raw_inputs([request]), timeout_s=timeout_s)
    except ServingError as error:
        raise click.ClickException(f"the server refused the request. {error}") from error


def _task(answer: Answer, task: str | None) -> str:
    tasks = sorted(name.removeprefix(SCORE_PREFIX) for name in answer.outputs)
    if task is not None and task not in tasks:
        raise click.ClickException(f"the model has no task {task!r}; it scores {', '.join(tasks)}.")
    return task or ("click" if "click" in tasks else tasks[0])


def describe(
    request: RankRequest, answer: Answer, user: User, catalog: dict[str, Item], task: str, top: int
) -> dict[str, Any]:
    """Everything that is printed, as JSON types.

    Args:
      request: what was asked.
      answer: what came back.
      user: whose request it was.
      catalog: items by id.
      task: the task that ranks.
      top: rows of the ranked list.
    """
    scores = answer.outputs[SCORE_PREFIX + task][0]
    # Stable, so that equal scores keep the catalog's order on every run.
    order = (-scores).argsort(kind="stable")
    ranked = [request.candidates[n] for n in order]
    held_out = user.held_out.item_id
    return {
        "user": user.user_id,
        "user_attributes": list(user.attributes),
        "query": request.query,
        "task": task,
        "model": {"name": answer.model_name, "version": answer.version, "signature": answer.signature},
        "request": {
            "history_pairs": len(request.history),
            "candidates": len(request.candidates),
            "bytes": answer.request_bytes,
            "latency_ms": round(answer.latency_s * 1000, 2),
        },
        "recent": [_pair(pair, catalog) for pair in user.history[-_SHOWN_PAIRS:]],
        "results": [
            {
                "rank": rank,
                "item_id": item_id,
                **_item(item_id, catalog),
                "score": float(scores[order[rank - 1]]),
                "held_out": item_id == held_out,
            }
            for rank, item_id in enumerate(ranked[:top], start=1)
        ],
        "held_out": {
            **_pair(user.held_out, catalog),
            "rank": ranked.index(held_out) + 1 if held_out in ranked else None,
        },
    }


def _item(item_id: str, catalog: dict[str, Item]) -> dict[str, Any]:
    item = catalog.get(item_id)
    return {"title": item.title if item else "", "attributes": list(item.attributes) if item else []}


def _pair(pair: Pair, catalog: dict[str, Item]) -> dict[str, Any]:
    return {"item_id": pair.item_id, "query": pair.query, "timestamp": pair.timestamp, **_item(pair.item_id, catalog)}


def _print(console: Console, result: dict[str, Any]) -> None:
    """Two tables, the user's last pairs and the ranked list, and a line about the call."""
    asked = f"query {result['query']!r}" if result["query"] else "recommendation"
    recent = Table(title=escape(f"User {result['user']}: the last of {result['request']['history_pairs']:,} pairs"))
    for heading in ("query", "item", "attributes"):
        recent.add_column(heading)
    for pair in result["recent"]:
        recent.add_row(*map(escape, (pair["query"] or "(browsing)", _title(pair), ", ".join(pair["attributes"]))))
    ranked = Table(title=escape(f"Ranked for {asked}, by {result['task']}"))
    ranked.add_column("rank", justify="right")
    ranked.add_column("score", justify="right")
    ranked.add_column("title")
    ranked.add_column("attributes")
    for row in result["results"]:
        title = _title(row) + (" (held out)" if row["held_out"] else "")
        ranked.add_row(str(row["rank"]), f"{row['score']:.4f}", escape(title), escape(", ".join(row["attributes"])))
    console.print(recent)
    console.print(ranked)
    model, request, held_out = result["model"], result["request"], result["held_out"]
    rank = "not a candidate" if held_out["rank"] is None else f"rank {held_out['rank']:,} of {request['candidates']:,}"
    console.print(f"What the user took next: {_title(held_out)}, {rank}.", highlight=False, markup=False)
    console.print(
        f"Model {model['name']} version {model['version']} answered one Predict call ({request['bytes']:,} bytes, "
        f"{request['history_pairs']:,} pairs, {request['candidates']:,} candidates) in {request['latency_ms']} ms.",
        highlight=False,
        markup=False,
    )


def _title(row: dict[str, Any]) -> str:
    title: str = row["title"] or row["item_id"]
    return title
