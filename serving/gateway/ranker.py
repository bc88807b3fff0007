"""History and request to the inputs of `serving_default`, and its scores to a ranked list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import grpc
import numpy as np

from seminar_tf.export.inputs import RAW_SIGNATURE, SCORE_PREFIX
from seminar_tf.features import names
from serving.client import Answer, Client, ServingError
from serving.errors import CallError, invalid
from serving.gateway.events import History
from serving.gateway.options import GatewayOptions
from serving.gateway.validation import Ranking

# The caller's own fault, its deadline, or something that may pass keep their code. All else is a fault behind the
# gateway.
_PASSED_ON = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)
_NOT_READY = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION)


@dataclass(frozen=True)
class Ranked:
    """A ranked list.

    Attributes:
      items: candidates, best first; UTF-8.
      scores: [len(items)] float32.
      task: whose scores they are.
      model_name, model_version: who scored.
    """

    items: list[bytes]
    scores: np.ndarray
    task: str
    model_name: str
    model_version: int


def inputs(request: Ranking, history: History, options: GatewayOptions) -> dict[str, np.ndarray]:
    """The inputs of `serving_default` for one request; `seminar_tf.export.inputs.raw_inputs` gives the same.

    Args:
      request: the request.
      history: at most `options.history_length` pairs.
      options: `fixed_shapes` pads on the right.

    Returns:
      Input name -> array, B = 1.
    """
    pairs, items, attributes = len(history), len(request.candidates), len(request.attributes)
    if options.fixed_shapes:
        pairs, items, attributes = options.history_length, options.max_candidates, options.max_attributes
    times = np.zeros((1, pairs), np.int64)
    times[0, : len(history)] = history.timestamps
    return {
        names.USER_ID: _row([request.user_bytes], 1)[0],
        names.HISTORY_ITEM_ID: _row(history.item_ids, pairs),
        names.HISTORY_QUERY: _row(history.queries, pairs),
        names.HISTORY_TIMESTAMP: times,
        names.CANDIDATE_ITEM_ID: _row(request.candidates, items),
        names.QUERY: _row([request.query], 1)[0],
        names.REQUEST_TIMESTAMP: np.array([request.timestamp], np.int64),
        names.USER_ATTRIBUTES: _row(request.attributes, attributes),
    }


def rank(
    client: Client, label: str | None, request: Ranking, history: History, options: GatewayOptions, timeout_s: float
) -> Ranked:
    """Asks the model and sorts.

    Args:
      client: of TensorFlow Serving.
      label: version label to ask for; None for the latest version.
      request: at least one candidate.
      history: the user's.
      options: default task, shapes.
      timeout_s: deadline of the Predict call.

    Raises:
      CallError: the call failed, or the model has no such task.
    """
    try:
        answer = client.predict(inputs(request, history, options), RAW_SIGNATURE, label=label, timeout_s=timeout_s)
    except ServingError as error:
        raise CallError(_code(error.code), f"the ranker answers {error.code.name}: {error.message}") from error
    task = _task(answer, request.task or options.default_task)
    found = np.asarray(answer.outputs[SCORE_PREFIX + task])
    if found.ndim != 2 or found.shape[0] < 1 or found.shape[1] < len(request.candidates):
        raise _wrong(answer, f"scores of shape {list(found.shape)} for {len(request.candidates)} candidates")
    scores = found[0, : len(request.candidates)]
    if not np.isfinite(scores).all():
        raise _wrong(answer, "a score that is no number")
    best = order(scores, request.top)
    return Ranked([request.candidates[n] for n in best], scores[best], task, answer.model_name, answer.version)


def order(scores: np.ndarray, top: int) -> np.ndarray:
    """Positions of the `top` highest scores (0: all), highest first; equal ones in their order.

    Args:
      scores: [N] float32, finite.
    """
    positions = np.argsort(-scores, kind="stable")
    return positions[:top] if top else positions


def _task(answer: Answer, wanted: str) -> str:
    tasks = sorted(name.removeprefix(SCORE_PREFIX) for name in answer.outputs if name.startswith(SCORE_PREFIX))
    if not tasks:
        raise _wrong(answer, f"no output that begins with {SCORE_PREFIX}")
    if wanted in tasks:
        return wanted
    if wanted:
        raise invalid(f"task is {wanted!r}; the model scores {', '.join(tasks)}.")
    if len(tasks) > 1:
        raise invalid(f"task is empty, and the model scores {', '.join(tasks)}: name one, here or by --task.")
    return tasks[0]


def _wrong(answer: Answer, what: str) -> CallError:
    message = f"the model {answer.model_name} {answer.version} answers with {what}."
    return CallError(grpc.StatusCode.INTERNAL, message)


def _code(code: grpc.StatusCode) -> grpc.StatusCode:
    """The gateway's status for one of TensorFlow Serving: its NOT_FOUND is a missing model, not a missing user."""
    if code in _PASSED_ON:
        return code
    return grpc.StatusCode.FAILED_PRECONDITION if code in _NOT_READY else grpc.StatusCode.INTERNAL


def _row(values: Sequence[bytes], width: int) -> np.ndarray:
    """Strings as [1, width], padded on the right with ""."""
    array = np.full((1, width), b"", np.object_)
    array[0, : len(values)] = values
    return array
