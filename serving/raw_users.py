"""The raw log of a few users, straight from the canonical tables: what a serving system would have been told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from seminar_tf.data.columns import whole
from seminar_tf.data.dataset import find_spans, table_files
from seminar_tf.data.one_user import user_attributes, user_events
from seminar_tf.data.sequences import sort_pairs


@dataclass(frozen=True)
class RawUsers:
    """The raw log of some users.

    Attributes:
      events: user -> (timestamp, item, query), oldest first; rows of one moment in the order of their files. Queries
        as they were typed.
      attributes: user -> `name=value` strings.
    """

    events: Mapping[str, Sequence[tuple[int, str, str]]]
    attributes: Mapping[str, Sequence[str]]


def read_users(path: str | Path, span: int, users: set[str], oldest_ms: int = 0) -> RawUsers:
    """Reads users' events and attributes out of the canonical tables of spans up to `span`.

    Rows that ingestion rejects or erases are left out, events before `oldest_ms` among them: a gateway that is given
    the same --retention-days does not see those either.
    """
    files = [file for n in find_spans(path) if n <= span for file in table_files(path, n, "items")]
    ids = [whole(pq.read_table(file, columns=["item_id"])["item_id"]).cast(pa.string()).drop_null() for file in files]
    names = sorted(users)
    events = user_events(path, span, names, pa.concat_arrays(ids), oldest_ms)
    events = events.take(pa.array(sort_pairs(events).rows))
    by_user: dict[str, list[tuple[int, str, str]]] = {user: [] for user in names}
    columns = (events[name].to_pylist() for name in ("user_id", "timestamp", "item_id", "query"))
    for user, moment, item, query in zip(*columns):
        by_user[user].append((moment, item, query or ""))
    return RawUsers(by_user, user_attributes(path, span, names))
