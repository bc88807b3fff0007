"""Names, dtypes and shapes of the signatures' inputs, without TensorFlow, and how requests become such arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seminar_tf.features import names

RAW_SIGNATURE = "serving_default"
INDEXED_SIGNATURE = "rank_indexed"
# The same compiled by XLA, which TF Serving has switched off unless it is told (--xla_cpu_compilation_enabled).
XLA_SIGNATURE = "rank_indexed_xla"
# Which pairs of the history each candidate's score looks at.
SEARCH_SIGNATURE = "search_history"
PAIR_POSITION = "pair_position"
PAIR_WEIGHT = "pair_weight"
# Requests as serialized tf.Example protos (seminar_tf.export.examples).
EXAMPLES_SIGNATURE = "examples"
EXAMPLES_INPUT = "examples"
# The vector of an (item, query) pair.
EMBED_SIGNATURE = "embed_items"
EMBEDDING = "embedding"
SCORE_PREFIX = "score_"


@dataclass(frozen=True)
class Input:
    """One input of a signature.

    Attributes:
      dtype: np.object_ (strings as bytes), np.int32 or np.int64.
      shape: sizes by letter, for people: B requests, L pairs of history, N candidates, A attributes, M pairs to embed.
    """

    dtype: Any
    shape: tuple[str, ...]


RAW: dict[str, Input] = {
    names.USER_ID: Input(np.object_, ("B",)),
    names.HISTORY_ITEM_ID: Input(np.object_, ("B", "L")),
    names.HISTORY_QUERY: Input(np.object_, ("B", "L")),
    names.HISTORY_TIMESTAMP: Input(np.int64, ("B", "L")),
    names.CANDIDATE_ITEM_ID: Input(np.object_, ("B", "N")),
    names.QUERY: Input(np.object_, ("B",)),
    names.REQUEST_TIMESTAMP: Input(np.int64, ("B",)),
    names.USER_ATTRIBUTES: Input(np.object_, ("B", "A")),
}
INDEXED: dict[str, Input] = {
    names.HISTORY_ITEM_ID: Input(np.int32, ("B", "L")),
    names.HISTORY_QUERY: Input(np.int32, ("B", "L")),
    names.HISTORY_TIMESTAMP: Input(np.int64, ("B", "L")),
    names.CANDIDATE_ITEM_ID: Input(np.int32, ("B", "N")),
    names.QUERY: Input(np.int32, ("B",)),
    names.REQUEST_TIMESTAMP: Input(np.int64, ("B",)),
    names.USER_ATTRIBUTES: Input(np.int32, ("B", "A")),
}
EXAMPLES: dict[str, Input] = {EXAMPLES_INPUT: Input(np.object_, ("B",))}
EMBED: dict[str, Input] = {
    names.ITEM_ID: Input(np.object_, ("M",)),
    names.QUERY: Input(np.object_, ("M",)),
}
# What each signature takes; a ranker that keeps no K pairs has no search signature.
SIGNATURES: dict[str, dict[str, Input]] = {
    RAW_SIGNATURE: RAW,
    INDEXED_SIGNATURE: INDEXED,
    EXAMPLES_SIGNATURE: EXAMPLES,
    XLA_SIGNATURE: INDEXED,
    SEARCH_SIGNATURE: INDEXED,
    EMBED_SIGNATURE: EMBED,
}


@dataclass(frozen=True)
class RankRequest:
    """One user at one moment, and the candidates to rank for them.

    Attributes:
      history: (item id, query or "", timestamp in ms since 1970) of each pair, oldest first.
      candidates: item ids.
      timestamp: the moment of the request, ms since 1970.
      query: what the user typed; "" for recommendation.
      user_id: whose request it is.
      user_attributes: `name=value` strings.
    """

    history: Sequence[tuple[str, str, int]]
    candidates: Sequence[str]
    timestamp: int
    query: str = ""
    user_id: str = ""
    user_attributes: Sequence[str] = ()


def raw_inputs(requests: Sequence[RankRequest]) -> dict[str, np.ndarray]:
    """The inputs of `serving_default` for some requests, padded on the right to a common width.

    Returns:
      Input name -> array, as `RAW` lists them; B is the number of requests.
    """
    histories = [list(zip(*request.history)) or [(), (), ()] for request in requests]
    return {
        names.USER_ID: _strings_1d([request.user_id for request in requests]),
        names.HISTORY_ITEM_ID: _strings([items for items, _, _ in histories]),
        names.HISTORY_QUERY: _strings([queries for _, queries, _ in histories]),
        names.HISTORY_TIMESTAMP: _integers([times for _, _, times in histories]),
        names.CANDIDATE_ITEM_ID: _strings([request.candidates for request in requests]),
        names.QUERY: _strings_1d([request.query for request in requests]),
        names.REQUEST_TIMESTAMP: np.array([request.timestamp for request in requests], np.int64),
        names.USER_ATTRIBUTES: _strings([request.user_attributes for request in requests]),
    }


def _strings_1d(values: Sequence[str]) -> np.ndarray:
    array = np.empty(len(values), np.object_)
    array[:] = [value.encode("utf-8") for value in values]
    return array


def _strings(rows: Sequence[Sequence[str]]) -> np.ndarray:
    array = np.full((len(rows), max(map(len, rows), default=0)), b"", np.object_)
    for n, row in enumerate(rows):
        array[n, : len(row)] = [value.encode("utf-8") for value in row]
    return array


def _integers(rows: Sequence[Sequence[int]]) -> np.ndarray:
    array = np.zeros((len(rows), max(map(len, rows), default=0)), np.int64)
    for n, row in enumerate(rows):
        array[n, : len(row)] = row
    return array
