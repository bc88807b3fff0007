"""A small client of the gateway: gRPC and protobuf only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import grpc

from serving.client import ServingError
from serving.connection import open_channel
from serving.gateway import messages
from serving.gateway.events import Event


@dataclass(frozen=True)
class RankedList:
    """What a Rank call gave.

    Attributes:
      items: (item id, score), best first.
      task: whose scores they are.
      model_name, model_version: who scored; "" and 0 where there was no candidate.
      history_pairs: pairs that the model saw.
      history_unavailable: the store failed, and the gateway ranked without a history.
    """

    items: list[tuple[str, float]]
    task: str
    model_name: str
    model_version: int
    history_pairs: int
    history_unavailable: bool


class GatewayClient:
    """Blocking client of one gateway; may be shared by threads. Every call may be sent again; none is by itself."""

    def __init__(self, address: str, timeout_s: float = 2.0) -> None:
        """Makes a client; it connects with the first call.

        Args:
          address: host:port.
          timeout_s: default deadline of a call.

        Raises:
          ValueError: `address` is none.
        """
        self.address = address
        self.timeout_s = timeout_s
        self._channel = open_channel(address)

    def __enter__(self) -> GatewayClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def rank(
        self,
        user_id: str,
        candidates: Sequence[str],
        query: str = "",
        user_attributes: Sequence[str] = (),
        timestamp: int = 0,
        top: int = 0,
        task: str = "",
        timeout_s: float | None = None,
    ) -> RankedList:
        """Ranks candidates; fields as in ranking.proto.

        Raises:
          ServingError: the call failed; its `code` says how.
        """
        request = messages.RankRequest(
            user_id=user_id,
            query=query,
            candidate_item_id=candidates,
            user_attributes=user_attributes,
            request_timestamp_ms=timestamp,
            top=top,
            task=task,
        )
        found = self._call("Rank", request, timeout_s)
        return RankedList(
            [(item.item_id, item.score) for item in found.items],
            found.task,
            found.model_name,
            found.model_version,
            found.history_pairs,
            found.history_unavailable,
        )

    def append_events(self, user_id: str, events: Sequence[Event], timeout_s: float | None = None) -> int:
        """Adds events to a history; once this returns they are durable.

        Returns:
          How many were not known before.

        Raises:
          ServingError: ALREADY_EXISTS for a known event_id with another content; after UNAVAILABLE and
            DEADLINE_EXCEEDED, send the same again.
        """
        request = messages.AppendEventsRequest(user_id=user_id)
        for event in events:
            request.events.add(
                event_id=event.event_id, item_id=event.item_id, query=event.query, timestamp_ms=event.timestamp
            )
        stored: int = self._call("AppendEvents", request, timeout_s).stored
        return stored

    def delete_user(self, user_id: str, until_ms: int = 0, timeout_s: float | None = None) -> bool:
        """Deletes a user's events up to a moment, or all there are; none of them is taken in again.

        Args:
          user_id: whose.
          until_ms: ms since 1970; later events stay. 0 deletes all.
          timeout_s: deadline; by default the client's.

        Returns:
          Whether there was any such event.

        Raises:
          ServingError: the call failed.
        """
        request = messages.DeleteUserRequest(user_id=user_id, until_ms=until_ms)
        deleted: bool = self._call("DeleteUser", request, timeout_s).deleted
        return deleted

    def _call(self, method: str, request: Any, timeout_s: float | None) -> Any:
        kind = getattr(messages, messages.METHODS[method][1])
        timeout = self.timeout_s if timeout_s is None else timeout_s
        try:
            raw = self._channel.unary_unary(messages.path(method))(request.SerializeToString(), timeout=timeout)
        except grpc.RpcError as error:
            raise ServingError(error.code(), f"{error.details() or ''} [{self.address}]") from error
        return kind.FromString(raw)
