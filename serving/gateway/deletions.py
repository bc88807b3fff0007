"""Deletion requests of users, as the dataset's `deletions` tables hold them (docs/data.md), applied to a store.

Ingestion takes the same tables, so one file deletes a user from what models are trained on and from what they are
served with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PATTERN = "span-*/deletions/*.parquet"


class DeletionsError(ValueError):
    """A table of deletions that cannot be used; the message names the file, the column and the row."""


@dataclass(frozen=True)
class Applied:
    """What came of a table.

    Attributes:
      users: whose events up to the deletion are gone, and stay away.
      with_events: of these, users of whom the store had such events.
    """

    users: int
    with_events: int


def read(source: str | Path) -> dict[str, int]:
    """Reads deletions.

    Args:
      source: a Parquet file with columns `user_id` (string) and `timestamp` (int64, ms since 1970: events up to then
        go), or a dataset's folder, of which all spans' deletions are read.

    Returns:
      user_id -> the newest moment of a deletion.

    Raises:
      DeletionsError: no such file or table, a column is missing or of another type, or a value is missing.
    """
    source = Path(source)
    files = sorted(source.glob(_PATTERN)) if source.is_dir() else [source]
    if not files:
        raise DeletionsError(f"{source} has no {_PATTERN}: no deletions. Name a Parquet file or a dataset's folder.")
    found: dict[str, int] = {}
    for file in files:
        for user, moment in _rows(file):
            found[user] = max(moment, found.get(user, 0))
    return found


def apply(deletions: Mapping[str, int], delete_user: Callable[[str, int], bool]) -> Applied:
    """Deletes users one after the other; may be stopped and done again, for it changes nothing the second time.

    Args:
      deletions: as `read` gives them.
      delete_user: a store's, or a gateway client's; (user_id, until_ms) -> whether there was anything.
    """
    return Applied(len(deletions), sum(delete_user(user, moment) for user, moment in sorted(deletions.items())))


def _rows(file: Path) -> Iterable[tuple[str, int]]:
    # Only this command needs it: a gateway runs without.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file, partitioning=None)
    except (OSError, pa.ArrowInvalid) as error:
        raise DeletionsError(f"{file} is no readable Parquet file: {error}") from error
    wanted = {"user_id": pa.string(), "timestamp": pa.int64()}
    columns = {}
    for name, kind in wanted.items():
        if name not in table.column_names:
            raise DeletionsError(
                f"{file}: column {name!r} ({kind}) is missing; it has {', '.join(table.column_names)}."
            )
        found = table[name].type
        fits = pa.types.is_integer(found) if kind == pa.int64() else pa.types.is_string(found) or _is_other_text(found)
        if not fits:
            raise DeletionsError(f"{file}: column {name!r} is {found}, expected {kind}.")
        columns[name] = table[name].cast(kind).to_pylist()
    for row, (user, moment) in enumerate(zip(columns["user_id"], columns["timestamp"])):
        if user is None or not user.strip():
            raise DeletionsError(f"{file}: row {row} has no user_id. Nothing was deleted.")
        if moment is None or moment < 0:
            raise DeletionsError(f"{file}: row {row}, timestamp {moment}: expected ms since 1970. Nothing was deleted.")
        yield user, moment


def _is_other_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_large_string(kind)) or (
        pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type)
    )
