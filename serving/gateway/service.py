"""RankingService: one gRPC call to store and model, and back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import grpc

from serving.client import Client
from serving.errors import CallError
from serving.gateway import events, messages, ranker, validation
from serving.gateway.events import EventConflict, History, InvalidEvent, StoreError, StoreUnavailable
from serving.gateway.metrics import Metrics, timed
from serving.gateway.options import GatewayOptions
from serving.gateway.store import HistoryStore

_LOG = logging.getLogger(__name__)
_Code = grpc.StatusCode


class RankingService:
    """Answers the calls of ranking.proto."""

    def __init__(
        self, store: HistoryStore, client: Client, label: str | None, options: GatewayOptions, metrics: Metrics
    ) -> None:
        """Makes the service; it owns neither store nor client.

        Args:
          store: where histories are.
          client: of TensorFlow Serving.
          label: version label to rank with; None for the latest version.
          options: limits and deadlines.
          metrics: what calls are counted in.
        """
        self._store = store
        self._client = client
        self._label = label
        self._options = options
        self._metrics = metrics

    def handlers(self) -> grpc.GenericRpcHandler:
        """What a gRPC server needs of this service."""
        methods = {"Rank": self._rank, "AppendEvents": self._append_events, "DeleteUser": self._delete_user}
        made = {
            # Bytes in, so that those that are no request are INVALID_ARGUMENT like every other bad request.
            name: grpc.unary_unary_rpc_method_handler(self._answering(name, method))
            for name, method in methods.items()
        }
        return grpc.method_handlers_generic_handler(messages.SERVICE, made)

    def _answering(self, name: str, method: Callable[[Any, float], Any]) -> Callable[[bytes, Any], bytes]:
        """Makes a handler: parses, sets the deadline, turns errors into statuses, counts."""
        kind = getattr(messages, messages.METHODS[name][0])

        def handler(raw: bytes, context: grpc.ServicerContext) -> bytes:
            code, message = _Code.OK, ""
            with timed(self._metrics.call_seconds.labels(name)):
                try:
                    # Without a deadline of the caller, gRPC tells a time of centuries, or None.
                    given = context.time_remaining()
                    limit = self._options.timeout_s if given is None else min(given, self._options.timeout_s)
                    if limit <= 0:
                        raise CallError(_Code.DEADLINE_EXCEEDED, "the deadline passed before the call was begun.")
                    deadline = time.monotonic() + limit
                    response: bytes = method(validation.parse(kind, raw), deadline).SerializeToString()
                except CallError as error:
                    code, message = error.code, error.message
                except InvalidEvent as error:
                    code, message = _Code.INVALID_ARGUMENT, str(error)
                except EventConflict as error:
                    code, message = _Code.ALREADY_EXISTS, str(error)
                except StoreUnavailable as error:
                    code, message = _Code.UNAVAILABLE, f"the store of histories: {error}"
                except StoreError as error:
                    code, message = _Code.INTERNAL, f"the store of histories: {error}"
                except Exception:
                    # Whatever it is, the call ends with a status and is counted; its text may hold what users asked
                    # for, so it goes to the log alone.
                    _LOG.exception("%s failed", name)
                    code, message = _Code.INTERNAL, f"{name} failed in the gateway; its log says more."
            self._metrics.calls.labels(name, code.name).inc()
            if code != _Code.OK:
                if code in (_Code.INTERNAL, _Code.UNAVAILABLE, _Code.FAILED_PRECONDITION):
                    _LOG.warning("%s: %s: %s", name, code.name, message)
                context.abort(code, message)
            return response

        return handler

    def _rank(self, request: Any, deadline: float) -> Any:
        wanted = validation.ranking(request, self._options)
        self._metrics.candidates.observe(len(wanted.candidates))
        response = messages.RankResponse()
        if not wanted.candidates:
            return response
        self._remaining(deadline)
        history = self._history(wanted.user_id, response)
        self._metrics.history_pairs.observe(len(history))
        with timed(self._metrics.predict_seconds):
            remaining = self._remaining(deadline)
            found = ranker.rank(self._client, self._label, wanted, history, self._options, remaining)
        for place, (item, score) in enumerate(zip(found.items, found.scores.tolist()), 1):
            response.items.add(item_id=item.decode("utf-8"), score=score, rank=place)
        response.model_name, response.model_version = found.model_name, found.model_version
        response.task, response.history_pairs = found.task, len(history)
        return response

    def _history(self, user_id: str, response: Any) -> History:
        """The user's history; where the store fails and the options say so, none, and the response tells."""
        try:
            with timed(self._metrics.store_seconds.labels("history")):
                return self._store.history(user_id, self._options.history_length)
        except StoreError as error:
            if not self._options.rank_without_store:
                raise
            _LOG.warning("ranking without a history: %s", error)
            self._metrics.without_history.inc()
            response.history_unavailable = True
            return events.NO_HISTORY

    def _remaining(self, deadline: float) -> float:
        """Seconds that are left for what comes next.

        Raises:
          CallError: DEADLINE_EXCEEDED; nobody would wait for the answer.
        """
        remaining = deadline - self._options.margin_s - time.monotonic()
        if remaining <= 0:
            raise CallError(_Code.DEADLINE_EXCEEDED, "the deadline passed in the gateway, before the model was asked.")
        return remaining

    def _append_events(self, request: Any, deadline: float) -> Any:
        new = validation.new_events(request, self._options)
        with timed(self._metrics.store_seconds.labels("append")):
            return messages.AppendEventsResponse(stored=self._store.append(request.user_id, new))

    def _delete_user(self, request: Any, deadline: float) -> Any:
        with timed(self._metrics.store_seconds.labels("delete_user")):
            until = validation.deletion(request, self._options)
            return messages.DeleteUserResponse(deleted=self._store.delete_user(request.user_id, until))
