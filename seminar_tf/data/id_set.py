"""Distinct ids of a stream: memory grows with the ids, not with the rows, and no Python object is held for one."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_WAITING_ROWS = 1_000_000


class IdSet:
    """A growing set of string ids, held as one Arrow array.

    New ids wait in batches and are merged when they outnumber what is held, so adding n ids takes O(n) in all.
    """

    def __init__(self, waiting_rows: int = _WAITING_ROWS) -> None:
        """Args:
        waiting_rows: ids that may wait before the first merge.
        """
        self._least = waiting_rows
        self._held = pa.array([], pa.string())
        self._waiting: list[pa.Array] = []
        self._count = 0

    def add(self, ids: pa.ChunkedArray | pa.Array) -> None:
        """Adds ids; repeated ones change nothing."""
        new = pc.unique(ids)
        self._waiting.append(new)
        self._count += len(new)
        if self._count >= max(self._least, len(self._held)):
            self._merge()

    def values(self) -> pa.Array:
        """The distinct ids, in order of first appearance."""
        self._merge()
        return self._held

    def without(self, other: IdSet) -> pa.Array:
        """The ids that `other` lacks, in order of first appearance."""
        mine = self.values()
        return mine.filter(pc.invert(pc.is_in(mine, value_set=other.values())))

    def __len__(self) -> int:
        return len(self.values())

    def _merge(self) -> None:
        if self._waiting:
            self._held = pc.unique(pa.concat_arrays([self._held, *self._waiting]))
            self._waiting, self._count = [], 0
