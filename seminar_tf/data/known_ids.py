"""Whether ids belong to a large, fixed set: the set is hashed once, not once a batch."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seminar_tf.data.columns import whole

_ROWS_AT_ONCE = 65_536
_SEED = 20_260_101


class KnownIds:
    """A set of ids that batches are looked up in.

    Arrow's `is_in` builds a hash table of the whole set at every call: with 7 million items and some hundred batches
    that costs more than all the rest of ingestion. Here every id has a 64-bit hash, sorted once; a look-up is a binary
    search and a comparison of the strings themselves, so a collision cannot make an unknown id known.
    """

    def __init__(self, ids: pa.Array) -> None:
        """Args:
        ids: (m,) strings without null; repeated ones do no harm.
        """
        self._ids = ids.cast(pa.large_string())
        hashes = _hashes(self._ids)
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._place = hashes[order], order

    def contains(self, column: pa.ChunkedArray | pa.Array) -> np.ndarray:
        """(n,) bool: which strings are in the set; null is not."""
        encoded = whole(column).cast(pa.large_string()).dictionary_encode()
        codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
        # The last place is for null.
        return np.append(self._contains_all(encoded.dictionary), False)[codes]

    def _contains_all(self, values: pa.Array) -> np.ndarray:
        if not len(self._hashes) or not len(values):
            return np.zeros(len(values), bool)
        hashes = _hashes(values)
        at = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        found = self._hashes[at] == hashes
        candidates = self._ids.take(pa.array(self._place[at]))
        same = pc.equal(candidates, values).to_numpy(zero_copy_only=False).astype(bool)
        # Equal hashes of different ids: rarer than a failing disk, and settled exactly all the same.
        doubtful = np.flatnonzero(found & ~same)
        if len(doubtful):
            exact = pc.is_in(values.take(pa.array(doubtful)), value_set=self._ids)
            same[doubtful] = exact.to_numpy(zero_copy_only=False)
        return same


def _hashes(values: pa.Array) -> np.ndarray:
    """(n,) uint64: the sum over a string's bytes of (byte + 1) times a random odd number for its place."""
    made = np.zeros(len(values), np.uint64)
    weights = np.zeros(0, np.uint64)
    for start in range(0, len(values), _ROWS_AT_ONCE):
        piece = values.slice(start, _ROWS_AT_ONCE)
        offsets = np.frombuffer(piece.buffers()[1], np.int64)[piece.offset : piece.offset + len(piece) + 1]
        lengths = np.diff(offsets)
        if lengths.max(initial=0) > len(weights):
            # The same seed gives the same numbers, however many are drawn.
            drawn = np.random.default_rng(_SEED).integers(0, 2**63, int(lengths.max()), np.uint64)
            weights = drawn * np.uint64(2) + np.uint64(1)
        if lengths.sum() == 0:
            continue
        data = np.frombuffer(piece.buffers()[2], np.uint8)[offsets[0] : offsets[-1]]
        place = np.arange(len(data)) - np.repeat(offsets[:-1] - offsets[0], lengths)
        terms = (data.astype(np.uint64) + np.uint64(1)) * weights[place]
        held = np.flatnonzero(lengths)
        made[start + held] = np.add.reduceat(terms, (offsets[:-1] - offsets[0])[held])
    return made
