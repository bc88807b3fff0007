"""Look-ups in a large set of ids against Python's own set."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from seminar_tf.data import known_ids
from seminar_tf.data.known_ids import KnownIds


def _random_ids(rng: np.random.Generator, count: int) -> list[str | None]:
    lengths = rng.choice([0, 1, 2, 3, 300], count, p=[0.05, 0.3, 0.4, 0.2, 0.05])
    return ["".join(rng.choice(list("ab12é日"), length)) for length in lengths]


@pytest.mark.parametrize("at_once", [7, 65_536])
@pytest.mark.parametrize("seed", range(3))
def test_equals_a_set(seed: int, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_ids, "_ROWS_AT_ONCE", at_once)
    rng = np.random.default_rng(seed)
    known = _random_ids(rng, 60)
    asked = [*_random_ids(rng, 200), None, *known[:5]]
    ids = KnownIds(pa.array(known, pa.string()).slice(3))
    pieces = pa.chunked_array([pa.array(asked[:50]), pa.array([], pa.string()), pa.array(asked[50:])])
    expected = [value in set(known[3:]) for value in asked]
    assert ids.contains(pieces).tolist() == expected
    assert ids.contains(pa.array(asked).dictionary_encode()).tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_colliding_hashes_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_ids, "_hashes", lambda values: np.full(len(values), 5, np.uint64))
    ids = KnownIds(pa.array(["a", "b", "c"]))
    assert ids.contains(pa.array(["c", "x", None, "a", "b", ""])).tolist() == [True, False, False, True, True, False]


def test_nothing_known_or_nothing_asked() -> None:
    empty = pa.array([], pa.string())
    assert KnownIds(empty).contains(pa.array(["a", None])).tolist() == [False, False]
    assert KnownIds(pa.array(["a"])).contains(empty).tolist() == []
