"""The messages of ranking.proto as Python classes, built at import: no generated code, no protoc to install.

A test keeps this table and ranking.proto equal.
"""

from __future__ import annotations

from typing import Any

from serving.protos import build

PACKAGE = "seminar.gateway.v1"
SERVICE = f"{PACKAGE}.RankingService"
# Method -> its request and response.
METHODS = {
    "Rank": ("RankRequest", "RankResponse"),
    "AppendEvents": ("AppendEventsRequest", "AppendEventsResponse"),
    "DeleteUser": ("DeleteUserRequest", "DeleteUserResponse"),
}
FIELDS: dict[str, tuple[tuple[int, str, str], ...]] = {
    "RankRequest": (
        (1, "user_id", "string"),
        (2, "query", "string"),
        (3, "candidate_item_id", "*string"),
        (4, "user_attributes", "*string"),
        (5, "request_timestamp_ms", "int64"),
        (6, "top", "uint32"),
        (7, "task", "string"),
    ),
    "RankedItem": ((1, "item_id", "string"), (2, "score", "float"), (3, "rank", "uint32")),
    "RankResponse": (
        (1, "items", f"*{PACKAGE}.RankedItem"),
        (2, "model_name", "string"),
        (3, "model_version", "int64"),
        (4, "task", "string"),
        (5, "history_pairs", "uint32"),
        (6, "history_unavailable", "bool"),
    ),
    "Event": (
        (1, "event_id", "string"),
        (2, "item_id", "string"),
        (3, "query", "string"),
        (4, "timestamp_ms", "int64"),
    ),
    "AppendEventsRequest": ((1, "user_id", "string"), (2, "events", f"*{PACKAGE}.Event")),
    "AppendEventsResponse": ((1, "stored", "uint32"),),
    "DeleteUserRequest": ((1, "user_id", "string"), (2, "until_ms", "int64")),
    "DeleteUserResponse": ((1, "deleted", "bool"),),
}

_CLASSES = build({f"{PACKAGE}.{name}": fields for name, fields in FIELDS.items()})
RankRequest: Any = _CLASSES[f"{PACKAGE}.RankRequest"]
RankResponse: Any = _CLASSES[f"{PACKAGE}.RankResponse"]
RankedItem: Any = _CLASSES[f"{PACKAGE}.RankedItem"]
Event: Any = _CLASSES[f"{PACKAGE}.Event"]
AppendEventsRequest: Any = _CLASSES[f"{PACKAGE}.AppendEventsRequest"]
AppendEventsResponse: Any = _CLASSES[f"{PACKAGE}.AppendEventsResponse"]
DeleteUserRequest: Any = _CLASSES[f"{PACKAGE}.DeleteUserRequest"]
DeleteUserResponse: Any = _CLASSES[f"{PACKAGE}.DeleteUserResponse"]


def path(method: str) -> str:
    """gRPC's path of a method."""
    return f"/{SERVICE}/{method}"
