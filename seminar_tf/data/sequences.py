"""From accepted rows of one partition to segments: a user's pairs, each stored once, and targets that point into them.

A user's sequence is all of the user's events in order of (timestamp, order of the rows in their files). What a target
may see is given by a position: the pairs before it. No target sees a pair of its own request, and the segment of an
earlier split never holds a pair at or after a later split's first target (docs/data.md). All of this is done on whole
columns: sorting, differences and cumulative maxima, no loop over events.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from seminar_tf.config import DataConfig
from seminar_tf.data import columns, splitting
from seminar_tf.data.targets import Pairs, Targets, event_targets, request_targets
from seminar_tf.features.text import normalise_array


@dataclass(frozen=True)
class Segments:
    """S segments; segment s holds the pairs [pair_start[s], pair_start[s + 1]) and the targets likewise.

    Attributes:
      user: (S,) index into `pairs.users`; split: (S,) 0 train, 1 eval, 2 test.
      pair_start, target_start: (S + 1,) row offsets.
      target_request: (t,) number of each target's request within its segment, from 0.
      pairs, targets: the columns that the segments cut up.
    """

    user: np.ndarray
    split: np.ndarray
    pair_start: np.ndarray
    target_start: np.ndarray
    target_request: np.ndarray
    pairs: Pairs
    targets: Targets

    def __len__(self) -> int:
        return len(self.user)

    def train_pairs(self) -> np.ndarray:
        """Rows of `pairs` that lie in train segments, the only ones that counts may be taken from."""
        split = np.repeat(self.split, np.diff(self.pair_start))
        return np.flatnonzero(split == splitting.TRAIN)


def build_segments(
    events: pa.Table, requests: pa.Table | None, config: DataConfig, tasks: tuple[str, ...], newest_span: int
) -> Segments:
    """Builds the segments of the users of one partition.

    Args:
      events: accepted events, canonical columns, and `span` (int) and `order` (int64: place of the row in the order of
        files); optional `is_target` bool, where False is history only.
      requests: accepted logged impressions with the same two columns; targets then are these, not the events.
      config: split rule and target limits.
      tasks: label tasks; without any label column an event target is a click.
      newest_span: what `config.target_spans`, `window_spans` and `eval_spans` count from.

    Returns:
      Segments sorted by user and split; each accepted event is in exactly one.

    Raises:
      DatasetError: event targets have none of the label columns that the dataset's other table has.
    """
    pairs = sort_pairs(events)
    if requests is None:
        targets = event_targets(pairs, events, config, tasks, newest_span)
    else:
        targets = request_targets(pairs, requests, config, tasks, newest_span)
    pairs_of = np.diff(pairs.start)
    if config.split == "time":
        target_split = splitting.by_time(targets.timestamp, config)
        pair_split = splitting.by_time(pairs.timestamp, config)
    else:
        testable = None if config.eval_spans == "all" else targets.span == newest_span
        target_split, eval_from, test_from = splitting.hold_out_last(
            targets.user, targets.unit, targets.cut, pairs_of, testable
        )
        position, user = pairs.position, pairs.user
        pair_split = (position >= eval_from[user]).astype(np.int64) + (position >= test_from[user])
    keep = splitting.newest_train(targets.user, target_split, config.max_targets_per_user)
    return _cut(pairs, pair_split, targets.take(keep), target_split[keep])


def sort_pairs(events: pa.Table) -> Pairs:
    """Orders events by user, timestamp and file order; queries get their stored form."""
    user_of = columns.strings(events["user_id"])
    timestamp = columns.integers(events["timestamp"])
    rows = np.lexsort((columns.integers(events["order"]), timestamp, user_of.codes))
    user = user_of.codes[rows]
    start = splitting.starts_of(user, len(user_of.values))
    return Pairs(
        users=columns.objects(user_of.values),
        start=start,
        user=user,
        position=np.arange(len(rows)) - start[user],
        item=columns.strings(events["item_id"]).take(rows),
        query=columns.strings(events["query"], normalise_array).take(rows),
        timestamp=timestamp[rows],
        rows=rows,
    )


def _cut(pairs: Pairs, pair_split: np.ndarray, targets: Targets, target_split: np.ndarray) -> Segments:
    """Cuts pairs and targets, both sorted by user and split, into the segments that hold any."""
    slots = len(pairs.users) * splitting.SPLIT_COUNT
    pair_slot = pairs.user * splitting.SPLIT_COUNT + pair_split
    target_slot = targets.user * splitting.SPLIT_COUNT + target_split
    pair_start = splitting.starts_of(pair_slot, slots)
    target_start = splitting.starts_of(target_slot, slots)
    held = np.flatnonzero((np.diff(pair_start) > 0) | (np.diff(target_start) > 0))
    _, number = np.unique(target_slot * (targets.request.max(initial=0) + 1) + targets.request, return_inverse=True)
    number = number.reshape(-1)
    lowest = np.full(slots, len(number))
    np.minimum.at(lowest, target_slot, number)
    return Segments(
        user=held // splitting.SPLIT_COUNT,
        split=held % splitting.SPLIT_COUNT,
        pair_start=np.append(pair_start[held], len(pair_slot)),
        target_start=np.append(target_start[held], len(target_slot)),
        target_request=number - lowest[target_slot],
        pairs=pairs,
        targets=targets,
    )
