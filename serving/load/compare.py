"""Several ways of serving under the same load, in turns: what changes on the machine meanwhile then hits all alike."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from serving.load.loops import Sample, Target, closed_loop, open_loop, poisson
from serving.load.report import OK, Summary, middle, summarize


class LoadError(RuntimeError):
    """A load that cannot begin; the message says why."""


@dataclass(frozen=True)
class Variant:
    """One way of asking one model.

    Attributes:
      model: its name in tables.
      signature: that is called.
      encoding: how its numbers travel, for tables.
      target: the server.
      requests: serialized; sent in turn.
    """

    model: str
    signature: str
    encoding: str
    target: Target
    requests: Sequence[bytes]


@dataclass(frozen=True)
class Plan:
    """How much load.

    Attributes:
      callers: calls in flight in the closed loop.
      seconds: of each variant and loop, all rounds together.
      rounds: turns.
      warmup_s: closed loop of each variant before anything is counted.
      qps: arrivals a second of the open loop; there is then no closed loop.
      share: of the closed loop's rate, at which an open loop follows it.
      seed: of the arrivals.
    """

    callers: int = 4
    seconds: float = 15.0
    rounds: int = 3
    warmup_s: float = 2.0
    qps: float | None = None
    share: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("callers", "seconds", "rounds", "qps", "share"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise LoadError(f"{name} is {value}, expected more than 0.")
        if self.qps is not None and self.share is not None:
            raise LoadError("give a rate (qps) or a share of the measured one, not both.")


@dataclass(frozen=True)
class Row:
    """What one loop found of one variant.

    Attributes:
      variant: which.
      loop: `closed` or `open`.
      offered_qps: of the open loop; None for the closed one.
      rounds: one summary each.
    """

    variant: Variant
    loop: str
    offered_qps: float | None
    rounds: tuple[Summary, ...]

    @property
    def middle(self) -> Summary:
        """Medians over the rounds."""
        return middle(self.rounds)

    def to_json(self, first: Row) -> dict[str, Any]:
        """JSON types; ratios are to `first`, a row of the same loop."""
        found, base = self.middle, first.middle
        return {
            "model": self.variant.model,
            "signature": self.variant.signature,
            "encoding": self.variant.encoding,
            "request_bytes": len(self.variant.requests[0]),
            "loop": self.loop,
            "offered_qps": self.offered_qps,
            **found.to_json(),
            "qps_ratio": found.qps / base.qps if base.qps else None,
            "p50_ratio": found.p50_ms / base.p50_ms if base.p50_ms > 0 else None,
            "rounds": [summary.to_json() for summary in self.rounds],
        }


def compare(variants: Sequence[Variant], plan: Plan, progress: Callable[[str], None] = lambda text: None) -> list[Row]:
    """Loads every variant, round by round.

    Args:
      variants: what is compared; the first is what ratios are to.
      plan: how much.
      progress: told what runs now.

    Returns:
      A row a variant for the closed loop, then one for the open loop, as far as the plan has them.

    Raises:
      LoadError: a variant's first call fails.
    """
    for variant in variants:
        progress(f"warming up {_title(variant)}")
        warm_up(variant, plan)
    rows: list[Row] = []
    if plan.qps is None:

        def closed(place: int, number: int) -> list[Sample]:
            variant = variants[place]
            return closed_loop(variant.target, variant.requests, plan.callers, plan.seconds / plan.rounds)

        rows += _rows(variants, [None] * len(variants), plan, closed, progress)
    if plan.qps is not None or plan.share is not None:
        rates = [plan.qps] * len(variants) if plan.share is None else [plan.share * row.middle.qps for row in rows]

        def opened(place: int, number: int) -> list[Sample]:
            moments = poisson(rates[place] or 0.0, plan.seconds / plan.rounds, plan.seed + number)
            return open_loop(variants[place].target, variants[place].requests, moments)

        rows += _rows(variants, rates, plan, opened, progress)
    return rows


def warm_up(variant: Variant, plan: Plan) -> None:
    """One call that must be answered, then as many as fit the plan's time.

    Raises:
      LoadError: it was not.
    """
    first = variant.target.call(variant.requests[0])
    if first.status != OK:
        raise LoadError(f"{_title(variant)}: the first call failed. {first.status}: {first.message}")
    closed_loop(variant.target, variant.requests, plan.callers, plan.warmup_s)


def _rows(
    variants: Sequence[Variant],
    rates: Sequence[float | None],
    plan: Plan,
    run: Callable[[int, int], list[Sample]],
    progress: Callable[[str], None],
) -> list[Row]:
    loop = "closed" if all(rate is None for rate in rates) else "open"
    found: list[list[Summary]] = [[] for _ in variants]
    for number, (place, variant) in itertools.product(range(plan.rounds), enumerate(variants)):
        progress(f"{loop} loop, round {number + 1} of {plan.rounds}: {_title(variant)}")
        found[place].append(summarize(run(place, number)))
    return [Row(v, loop, rate, tuple(summaries)) for v, rate, summaries in zip(variants, rates, found)]


def _title(variant: Variant) -> str:
    return f"{variant.model}, {variant.signature}, {variant.encoding}"
