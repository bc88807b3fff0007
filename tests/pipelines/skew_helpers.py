"""Both roads of the skew check for the random dataset that Trainers are tested on."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from seminar_tf.features import names
from serving.skew import Skew, check_skew
from tests.training.corpus import ITEMS, User


def write_raw(path: Path, users: list[User]) -> None:
    """The canonical tables that the random dataset would have come from."""
    events, people = [], []
    for user in users:
        name = user.user_id.decode()
        people.append({"user_id": name, "attributes": [f"a={a - 1}" for a in user.attributes]})
        for item, query, moment in user.pairs:
            text = None if query < names.FIRST_QUERY_ID else f"  query   {query - names.FIRST_QUERY_ID} "
            row = {"user_id": name, "timestamp": moment, "kind": "search" if text else "browse", "query": text}
            events.append({**row, "item_id": f"item-{item - 1}", "action": "click"})
    events.append({**events[0], "item_id": "rejected"})
    events.append(dict(events[3]))
    tables = {"events": events, "users": people, "items": [{"item_id": f"item-{n}"} for n in range(ITEMS)]}
    for table, rows in tables.items():
        folder = path / "span-1" / table
        folder.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows), folder / "part-0.parquet")


def skew_of(trained: Path, path: Path, oldest_ms: int = 0) -> Skew:
    """The skew check of the model and examples in a folder, against canonical tables."""
    files = {
        split: sorted(map(str, (trained / "examples" / f"Split-{split}").glob("*"))) for split in names.SEGMENT_SPLITS
    }
    return check_skew(
        trained / "seminar" / "model" / "Format-Serving", files, path, span=1, requests=8, oldest_ms=oldest_ms
    )
