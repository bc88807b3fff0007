"""What a request of the gateway must be like; every refusal is INVALID_ARGUMENT and names the field."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from serving.errors import invalid
from serving.gateway import events
from serving.gateway.events import Event, InvalidEvent
from serving.gateway.options import GatewayOptions

# Seconds of today, taken for ms, would be in January 1970: before all other events, and never noticed.
_EARLIEST_MS = 100_000_000_000


@dataclass(frozen=True)
class Ranking:
    """A valid RankRequest.

    Attributes:
      user_id: as given; `user_bytes`, `query`, `candidates` and `attributes` are UTF-8.
      candidates: each once, in the order of first appearance.
      timestamp: ms since 1970.
      top: items wanted; 0 for all.
      task: "" for the default.
    """

    user_id: str
    user_bytes: bytes
    query: bytes
    candidates: list[bytes]
    attributes: list[bytes]
    timestamp: int
    top: int
    task: str


def parse(kind: Any, raw: bytes) -> Any:
    """Reads a message.

    Raises:
      CallError: the bytes are none.
    """
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        name = kind.DESCRIPTOR.name
        raise invalid(f"the request's {len(raw)} bytes are no {name} (strings must be UTF-8): {error}") from None


def ranking(request: Any, options: GatewayOptions) -> Ranking:
    """Checks a RankRequest.

    Raises:
      CallError: INVALID_ARGUMENT.
    """
    _at_most("candidate_item_id", request.candidate_item_id, options.max_candidates)
    _at_most("user_attributes", request.user_attributes, options.max_attributes)
    try:
        candidates = [
            events.text(f"candidate_item_id[{n}]", item, "item_id") for n, item in enumerate(request.candidate_item_id)
        ]
        return Ranking(
            user_id=request.user_id,
            user_bytes=events.text("user_id", request.user_id, "user_id"),
            query=events.text("query", request.query, "query", empty=True),
            candidates=list(dict.fromkeys(candidates)),
            attributes=[
                events.text(f"user_attributes[{n}]", value, "user_attributes")
                for n, value in enumerate(request.user_attributes)
            ],
            timestamp=events.timestamp("request_timestamp_ms", request.request_timestamp_ms) or now_ms(),
            top=request.top,
            task=request.task,
        )
    except InvalidEvent as error:
        raise invalid(str(error)) from None


def new_events(request: Any, options: GatewayOptions) -> list[Event]:
    """Checks an AppendEventsRequest as far as the store does not.

    Raises:
      CallError: INVALID_ARGUMENT.
    """
    _at_most("events", request.events, options.max_events)
    latest = now_ms() + round(1000 * options.max_future_s)
    for n, event in enumerate(request.events):
        _moment(f"events[{n}].timestamp_ms", event.timestamp_ms, latest, options)
    return [Event(event.event_id, event.item_id, event.query, event.timestamp_ms) for event in request.events]


def deletion(request: Any, options: GatewayOptions) -> int | None:
    """The moment of a DeleteUserRequest, None where it names none.

    Raises:
      CallError: INVALID_ARGUMENT; with a moment in the far future, say, none of the user's events would be taken any
        more.
    """
    if not request.until_ms:
        return None
    _moment("until_ms", request.until_ms, now_ms() + round(1000 * options.max_future_s), options)
    return int(request.until_ms)


def now_ms() -> int:
    """The clock, ms since 1970."""
    return time.time_ns() // 1_000_000


def _moment(name: str, value: int, latest: int, options: GatewayOptions) -> None:
    if value > latest:
        raise invalid(
            f"{name} is {value}, later than this gateway's clock by more than {options.max_future_s:g} s. Is it in "
            "another unit than ms?"
        )
    if value < _EARLIEST_MS:
        raise invalid(f"{name} is {value}, expected ms since 1970, from 1973 on. Is it in seconds?")


def _at_most(name: str, values: Sequence[Any], limit: int) -> None:
    if len(values) > limit:
        raise invalid(f"{name} has {len(values)} values; this gateway accepts at most {limit}.")
