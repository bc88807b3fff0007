"""The eval and test requests of a training run: segments joined by user, for a sample of the users if asked."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seminar_tf.evaluation.requests import Request, Segment, cut_requests
from seminar_tf.training.records import Segments, concatenate, read_segments, take_segments

logger = logging.getLogger(__name__)

# Splits whose pairs a target of the split may see.
VISIBLE = {"train": ("train",), "eval": ("train", "eval"), "test": ("train", "eval", "test")}


@dataclass(frozen=True)
class UserSegments:
    """Segments of some users, by split.

    Attributes:
      parts: split -> segments, each ordered by (user id, start); only splits that the target split can see.
      split: the split whose targets are wanted.
    """

    parts: Mapping[str, Segments]
    split: str

    @property
    def users(self) -> list[bytes]:
        """The users that have targets in the split, ascending."""
        return sorted(set(self.parts[self.split].user_id.tolist()))


def load_users(
    files: Mapping[str, Sequence[str]], split: str, tasks: Sequence[str], max_requests: int = 0, seed: int = 0
) -> UserSegments:
    """Reads the users who have targets in a split, with all that those targets can see.

    Args:
      files: split -> GZIP TFRecord files.
      split: eval or test (or train).
      tasks: label tasks.
      max_requests: about how many targets to keep: whole users, drawn by a hash of their id, until there are so many;
        0 keeps all. The sample depends neither on the order of the records nor on the split.
      seed: of the sample.

    Returns:
      The users' segments. Memory is that of the kept users, besides one batch of records.
    """
    own = concatenate(list(read_segments(files[split], tasks)))
    targets = np.diff(own.target_splits)
    order = np.array([_hash(seed, user) for user in own.user_id.tolist()], np.uint64).argsort(kind="stable")
    order = order[targets[order] > 0]
    if max_requests:
        before = np.cumsum(targets[order]) - targets[order]
        order = order[before < max_requests]
    own = _sorted(take_segments(own, order))
    wanted = set(own.user_id.tolist())
    parts = {split: own}
    for other in VISIBLE[split]:
        if other == split:
            continue
        kept = []
        for part in read_segments(files[other], tasks):
            keep = np.flatnonzero([user in wanted for user in part.user_id.tolist()])
            kept.append(take_segments(part, keep))
        parts[other] = _sorted(concatenate(kept))
    logger.info("%s: %d users, %d targets", split, len(wanted), len(own.target_item))
    return UserSegments({name: parts[name] for name in VISIBLE[split]}, split)


def load_requests(users: UserSegments, task: int, history_length: int, every_label: bool = False) -> list[Request]:
    """Cuts the requests of the wanted split, as the Evaluator does.

    Args:
      users: of `load_users`.
      task: column of the label that says which targets are positive.
      history_length: L.
      every_label: carry the labels of all tasks too (`Request.labels`), as metrics of impressions want them; targets
        that only another task knows are then there as well, with NaN as the primary label.

    Returns:
      Requests by user, then by position.

    Raises:
      seminar_tf.evaluation.requests.SegmentError: a user's segments do not fit together.
    """
    by_user: dict[bytes, list[Segment]] = defaultdict(list)
    for split, part in users.parts.items():
        for row, user in enumerate(part.user_id.tolist()):
            by_user[user].append(_segment(part, row, split, task, every_label))
    requests = []
    for user in users.users:
        requests += cut_requests(user, by_user[user], users.split, history_length)
    return requests


def join_sequences(users: UserSegments) -> Segments:
    """The users' sequences up to the end of the wanted split, one segment a user, without targets.

    Raises:
      ValueError: a pair is missing between two segments of a user.
    """
    every = concatenate(list(users.parts.values()))
    every = _sorted(every)
    lengths = np.diff(every.pair_splits)
    first = np.append(True, every.user_id[1:] != every.user_id[:-1])
    gap = np.flatnonzero(~first[1:] & (every.start[1:] != every.start[:-1] + lengths[:-1]))
    if len(gap):
        row = int(gap[0]) + 1
        raise ValueError(
            f"user {every.user_id[row]!r}: a segment begins at pair {every.start[row]}, but the one before ends at "
            f"{every.start[row - 1] + lengths[row - 1]}. The splits are not of one dataset."
        )
    rows = np.append(np.flatnonzero(first), len(first))
    none = np.zeros(len(rows), np.int64)
    empty = {f: getattr(every, f)[:0] for f in Segments._fields if f.startswith("target_") or f == "label"}
    attributes = take_segments(every, rows[1:] - 1)  # those of the newest segment
    return every._replace(
        **empty
        | {
            "user_id": every.user_id[rows[:-1]],
            "start": every.start[rows[:-1]],
            "pair_splits": every.pair_splits[rows],
            "target_splits": none,
            "attribute": attributes.attribute,
            "attribute_splits": attributes.attribute_splits,
        }
    )


def join_targets(users: UserSegments) -> Segments:
    """The users' sequences up to the end of the wanted split, one segment a user, with the targets of that split.

    Raises:
      ValueError: a pair is missing between two segments of a user, or a user has several segments of the split.
    """
    own, joined = users.parts[users.split], join_sequences(users)
    if len(own.user_id) != len(joined.user_id):
        counts = f"{len(own.user_id)} segments of {users.split} for {len(joined.user_id)} users"
        raise ValueError(f"found {counts}, expected one each.")
    # Both are ordered by user, and targets point into the whole sequence.
    return joined._replace(**{f: getattr(own, f) for f in Segments._fields if f.startswith("target_") or f == "label"})


def _hash(seed: int, user: bytes) -> int:
    digest = hashlib.blake2b(user, digest_size=8, key=b"requests/%d" % seed).digest()
    return int.from_bytes(digest, "big")


def _sorted(segments: Segments) -> Segments:
    """By user id, then by start."""
    by_start = np.argsort(segments.start, kind="stable")
    by_user = np.argsort(np.asarray(segments.user_id, object)[by_start], kind="stable")
    return take_segments(segments, by_start[by_user])


def _segment(part: Segments, row: int, split: str, task: int, every_label: bool) -> Segment:
    pairs = slice(part.pair_splits[row], part.pair_splits[row + 1])
    targets = slice(part.target_splits[row], part.target_splits[row + 1])
    attributes = slice(part.attribute_splits[row], part.attribute_splits[row + 1])
    return Segment(
        split=split,
        start=int(part.start[row]),
        length=int(pairs.stop - pairs.start),
        item=part.item[pairs],
        query=part.query[pairs],
        timestamp=part.timestamp[pairs],
        user_attributes=part.attribute[attributes],
        target_position=part.target_position[targets],
        target_timestamp=part.target_timestamp[targets],
        target_item=part.target_item[targets],
        target_query=part.target_query[targets],
        target_label=part.label[targets, task],
        labels=part.label[targets] if every_label else None,
    )
