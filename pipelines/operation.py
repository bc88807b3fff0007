"""Day after day: which spans are to be run, in which order, and what has become of them.

A span's record in `<root>/spans` is written when its run has ended well, so that a run which was killed or blocked is
done again, and one that ended is not.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from components.json_file import write_json
from pipelines.lock import HeldError, hold

FOLDER = "spans"
_LOCK = "operate.lock"


class OperationError(RuntimeError):
    """The day cannot be run; the message says why and what to do."""


@dataclass(frozen=True)
class SpanRecord:
    """A span whose run has ended well.

    Attributes:
      span: its number.
      finished: when, ISO 8601.
      blessed: whether the model passed.
      pushed: folder of the version that was pushed; "" where none was.
      ndcg_at_10: on the test split.
    """

    span: int
    finished: str
    blessed: bool
    pushed: str
    ndcg_at_10: float


@dataclass(frozen=True)
class Plan:
    """What there is to do.

    Attributes:
      spans: to be run, in this order.
      late: spans that came after a later one was run. They are not run for themselves, which would push a model of
        older data over a newer one; the next span has their events as history.
    """

    spans: tuple[int, ...]
    late: tuple[int, ...]


def plan(spans: Sequence[int], done: Sequence[int], since: int | None = None, again: bool = False) -> Plan:
    """Which spans to run.

    Args:
      spans: those that the dataset has.
      done: those that were run.
      since: with nothing done yet, the first span to run; None takes the newest, whose history the older ones are.
      again: run the newest span that was run once more, before any newer ones.

    Raises:
      OperationError: no span, or `since` or `again` does not fit what was done.
    """
    if not spans:
        raise OperationError("the dataset has no span yet.")
    ordered = sorted(spans)
    if not done:
        if again:
            raise OperationError("--again: no span was run yet.")
        if since is not None and since not in ordered:
            raise OperationError(f"--since {since}: there is no such span; there are {_words(ordered)}.")
        return Plan(tuple(n for n in ordered if n >= (ordered[-1] if since is None else since)), ())
    newest = max(done)
    if since is not None and since <= newest:
        raise OperationError(
            f"--since {since}: span {newest} was run already, and older models are not pushed over newer ones. Without "
            "--since, what came after it is run."
        )
    pending = [n for n in ordered if n > newest and (since is None or n >= since)]
    if again:
        if newest not in ordered:
            raise OperationError(f"--again: span {newest}, the last that was run, is no longer in the dataset.")
        pending.insert(0, newest)
    first = min(done)
    return Plan(tuple(pending), tuple(n for n in ordered if first < n < newest and n not in done))


def _words(spans: Sequence[int]) -> str:
    return ", ".join(map(str, spans))


def read_records(root: str | Path) -> list[SpanRecord]:
    """Spans that were run, ascending.

    Raises:
      OperationError: a record cannot be read.
    """
    found = []
    for file in Path(root).glob(f"{FOLDER}/span-*.json"):
        try:
            found.append(SpanRecord(**json.loads(file.read_text(encoding="utf-8"))))
        except (ValueError, TypeError) as error:
            raise OperationError(
                f"{file} is no record of a span ({error}). Remove it to run the span again."
            ) from error
    return sorted(found, key=lambda record: record.span)


def write_record(root: str | Path, record: SpanRecord) -> None:
    """Writes a span's record, whole or not at all."""
    path = Path(root) / FOLDER / f"span-{record.span}.json"
    write_json(path, asdict(record))


@contextlib.contextmanager
def alone(root: str | Path) -> Iterator[None]:
    """Keeps a second operator of the same root out, of this machine; the lock goes with the process.

    Raises:
      OperationError: another one is at work.
    """
    path = Path(root) / _LOCK
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold(path))
        except HeldError:
            raise OperationError(f"another run holds {path}: wait for it, or end it.") from None
        yield


def operate(
    root: str | Path,
    spans: Sequence[int],
    run: Callable[[int], SpanRecord],
    tell: Callable[[str], None],
    since: int | None = None,
    again: bool = False,
) -> list[SpanRecord]:
    """Runs what is to be run, in order, and ends at the first span that fails: the next would stand on its absence.

    Args:
      root: the pipeline's.
      spans: those that the dataset has.
      run: runs one span; raises where that fails.
      tell: shows a line.
      since, again: see `plan`.

    Returns:
      The records of the spans that were run now.

    Raises:
      OperationError: see `plan` and `alone`; and what `run` raises.
    """
    with alone(root):
        records = read_records(root)
        found = plan(spans, [record.span for record in records], since, again)
        if found.late:
            tell(f"late: span {_words(found.late)} came after span {records[-1].span} was run; the next has its events")
        if not found.spans:
            tell(f"nothing to do: span {records[-1].span} was run, and there is none after it")
        made = []
        for place, span in enumerate(found.spans, 1):
            tell(f"span {span}: {place} of {len(found.spans)}")
            made.append(run(span))
            write_record(root, made[-1])
        return made
