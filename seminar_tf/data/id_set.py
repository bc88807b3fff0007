"""Distinct ids of a stream: memory grows with the ids, not with the rows, and no Python object is held for one."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_WAITING_ROWS = 1_000_000


class IdSet:
    """A growing set of string ids, held in Arrow arrays, one for each last character that an id has.

    Arrow's hash table of some ids takes several times the room of the ids themselves. Going through one last character
    at a time keeps that to a tenth or less. New ids wait in batches and are merged when they outnumber what is held,
    so adding n ids takes O(n) in all.
    """

    def __init__(self, waiting_rows: int = _WAITING_ROWS) -> None:
        """Args:
        waiting_rows: ids that may wait before the first merge.
        """
        self._least = waiting_rows
        self._held: dict[str, pa.Array] = {}
        self._held_count = 0
        self._waiting: list[pa.Array] = []
        self._waiting_count = 0

    def add(self, ids: pa.ChunkedArray | pa.Array) -> None:
        """Adds ids; repeated ones change nothing."""
        new = pc.unique(ids)
        self._waiting.append(new)
        self._waiting_count += len(new)
        if self._waiting_count >= max(self._least, self._held_count):
            self._merge()

    def without(self, other: IdSet) -> pa.Array:
        """The ids that `other` lacks: ordered by last character, then by first appearance."""
        self._merge()
        other._merge()
        lacking = [pa.array([], pa.string())]
        for last, ids in sorted(self._held.items()):
            known = other._held.get(last)
            lacking.append(ids if known is None else ids.filter(pc.invert(pc.is_in(ids, value_set=known))))
        return pa.concat_arrays(lacking)

    def __len__(self) -> int:
        self._merge()
        return self._held_count

    def _merge(self) -> None:
        if not self._waiting:
            return
        waiting = pa.concat_arrays(self._waiting)
        self._waiting, self._waiting_count = [], 0
        # The last character and not the first: of numbers and ASINs it is spread evenly.
        lasts = pc.utf8_slice_codeunits(waiting, -1, 2**31 - 1)
        for last in pc.unique(lasts).to_pylist():
            new = waiting.filter(pc.equal(lasts, last))
            held = self._held.get(last)
            self._held[last] = pc.unique(new if held is None else pa.concat_arrays([held, new]))
        self._held_count = sum(len(ids) for ids in self._held.values())
