"""What results are cut by: how long the history is, how popular the item, how the request came about.

The Evaluator and NumPy share these: `slice_values` of one target, `slice_columns` of many at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from seminar_tf.evaluation.metrics import check_invariants
from seminar_tf.evaluation.requests import Request
from seminar_tf.features import names

HISTORY_LENGTH = "history_length"
ITEM_POPULARITY = "item_popularity"
ITEM = "item"
REQUEST_KIND = "request_kind"
SLICE_FEATURES = (HISTORY_LENGTH, ITEM_POPULARITY, ITEM, REQUEST_KIND)

COLD, WARM = "cold", "warm"
BROWSE, SEARCH = "browse", "search"
TARGETS = "targets"

_ENDS = np.array([1, 10, 100, 1_000, 10_000])
_BUCKETS = np.array(["0", "1-9", "10-99", "100-999", "1000-9999", "10000+"])


def bucket(count: int) -> str:
    """The power-of-ten bucket of a count: 0, 1-9, 10-99, ..., 10000+."""
    return str(buckets(np.array([count]))[0])


def buckets(counts: np.ndarray) -> np.ndarray:
    """The same for many: (n,) ints -> (n,) str."""
    found: np.ndarray = _BUCKETS[np.searchsorted(_ENDS, counts, side="right")]
    return found


def slice_values(request: Request, item_count: int) -> dict[str, str]:
    """Where one target belongs.

    Args:
      request: the target's request.
      item_count: times the target's item is a pair of the train segments.

    Returns:
      slice feature -> value. An item that no train segment holds is `cold`, any other `warm`.
    """
    return {
        HISTORY_LENGTH: bucket(request.position),
        ITEM_POPULARITY: bucket(item_count),
        ITEM: WARM if item_count else COLD,
        REQUEST_KIND: BROWSE if request.request_query == names.EMPTY_QUERY_ID else SEARCH,
    }


def slice_columns(requests: Sequence[Request], item_count: np.ndarray) -> dict[str, np.ndarray]:
    """Where every target of the requests belongs.

    Args:
      requests: R requests with T targets in all.
      item_count: (rows,) train count of each item id.

    Returns:
      slice feature -> (T,) str, in the order of the requests and their targets.
    """
    targets = np.array([len(request.target_item) for request in requests], np.int64)
    position = np.repeat(np.array([request.position for request in requests], np.int64), targets)
    query = np.repeat(np.array([request.request_query for request in requests], np.int64), targets)
    items = np.concatenate([np.empty(0, np.int32), *(request.target_item for request in requests)])
    counts = item_count[items]
    return {
        HISTORY_LENGTH: buckets(position),
        ITEM_POPULARITY: buckets(counts),
        ITEM: np.where(counts > 0, WARM, COLD),
        REQUEST_KIND: np.where(query == names.EMPTY_QUERY_ID, BROWSE, SEARCH),
    }


def slice_rows(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The rows of every slice: `feature:value` -> (n,) indices, in the order of features, then of values."""
    found = {}
    for feature, column in columns.items():
        for value in np.unique(column):
            found[f"{feature}:{value}"] = np.flatnonzero(column == value)
    return found


def slice_means(values: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Means of ranking metrics in every slice.

    Args:
      values: metric -> (T,) of each target.
      columns: of `slice_columns`, for the same targets.

    Returns:
      `feature:value` -> metric -> mean, with `targets`, how many there are. A slice without a target is not there.

    Raises:
      InvariantError: the metrics of a slice contradict each other (known fault 8).
    """
    found = {}
    for name, rows in slice_rows(columns).items():
        means = {metric: float(np.mean(value[rows])) for metric, value in values.items()}
        check_invariants({metric: np.asarray(mean) for metric, mean in means.items()}, f"slice {name}")
        found[name] = means | {TARGETS: float(len(rows))}
    return found
