"""What a result is sliced by: how long the history is, how popular the item, how the request came about."""

from __future__ import annotations

import numpy as np

from seminar_tf.evaluation.requests import Request
from seminar_tf.features import names

HISTORY_LENGTH = "history_length"
ITEM_POPULARITY = "item_popularity"
ITEM = "item"
REQUEST_KIND = "request_kind"
SLICE_FEATURES = (HISTORY_LENGTH, ITEM_POPULARITY, ITEM, REQUEST_KIND)

_TENS = ((1, "0"), (10, "1-9"), (100, "10-99"), (1_000, "100-999"), (10_000, "1000-9999"))
_REST = "10000+"


def bucket(count: int) -> str:
    """The power-of-ten bucket of a count: 0, 1-9, 10-99, ..., 10000+."""
    return next((name for end, name in _TENS if count < end), _REST)


def slice_features(request: Request, item_count: int) -> dict[str, np.ndarray]:
    """Slice features of one target.

    Args:
      request: the target's request.
      item_count: times the target's item is a pair of the train segments.

    Returns:
      feature name -> (1,) str. An item that no train segment holds is `cold`, any other `warm`.
    """
    return {
        HISTORY_LENGTH: np.array([bucket(request.position)]),
        ITEM_POPULARITY: np.array([bucket(item_count)]),
        ITEM: np.array(["warm" if item_count else "cold"]),
        REQUEST_KIND: np.array(["browse" if request.request_query == names.EMPTY_QUERY_ID else "search"]),
    }
