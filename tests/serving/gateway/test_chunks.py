"""Packing, and that an append writes little of a long history."""

from __future__ import annotations

import pytest

from serving.gateway import chunks, packing
from serving.gateway.events import Stored


def event(n):
    return Stored(n, b"e%06d" % n, b"i%d" % n, b"" if n % 2 else b"q")


class Memory:
    """Chunks in a dict, and how many events each insert wrote."""

    def __init__(self):
        self.head, self.chunks, self.written, self.read = [], {}, [], []

    def insert(self, events, max_history=10**9):
        read = []

        def load(number):
            read.append(len(self.chunks[number]))
            return self.chunks[number]

        change = chunks.insert(self.head, load, events, max_history, 256, 32)
        self.head = packing.unpack_head(packing.pack_head(change.head))
        assert self.head == change.head
        for number, chunk in change.put.items():
            self.chunks[number] = packing.unpack_chunk(packing.pack_pairs(chunk), packing.pack_ids(chunk))
            assert self.chunks[number] == chunk
        for number in change.drop:
            del self.chunks[number]
        self.written.append(sum(map(len, change.put.values())))
        self.read.append(sum(read))
        assert set(self.chunks) == {entry.number for entry in self.head}
        for entry in self.head:
            assert (entry.size, entry.first) == (len(self.chunks[entry.number]), self.chunks[entry.number][0][:2])
        return change

    def all(self):
        return [event for entry in self.head for event in self.chunks[entry.number]]


def test_one_by_one_writes_little_and_leaves_full_chunks():
    memory = Memory()
    for n in range(3000):
        memory.insert([event(n)])
    assert memory.all() == [event(n) for n in range(3000)]
    assert max(memory.written) <= 256 + 1
    assert sum(memory.written) / 3000 < 32
    assert len(memory.head) < 16


@pytest.mark.parametrize("batch", [2, 31, 33, 100, 200, 255, 256, 257, 1000])
def test_batches_leave_few_chunks(batch):
    memory = Memory()
    for start in range(0, 10_000, batch):
        memory.insert([event(n) for n in range(start, min(start + batch, 10_000))])
    assert memory.all() == [event(n) for n in range(10_000)]
    assert len(memory.head) <= 2 * 10_000 / 256 + 2
    assert max(entry.size for entry in memory.head) <= 256


def test_backwards_and_in_the_middle():
    memory = Memory()
    for n in range(1500, 0, -3):
        memory.insert([event(n)])
    memory.insert([event(n) for n in range(1501) if n % 3])
    memory.insert([event(0)])
    assert memory.all() == [event(n) for n in range(1501)]
    assert len(memory.head) <= 2 * 1501 / 256 + 2


def test_a_late_event_reads_one_chunk():
    memory = Memory()
    memory.insert([event(2 * n) for n in range(10_000)])
    memory.insert([event(7001)])
    assert memory.read[-1] <= 256 and memory.written[-1] <= 257


def test_the_cap_drops_whole_chunks_and_names_their_ids():
    memory = Memory()
    memory.insert([event(n) for n in range(10_000)], 10_000)
    gone = []
    for n in range(10_000, 10_600):
        gone += memory.insert([event(n)], 10_000).forgotten
        assert 10_000 <= len(memory.all()) < 10_000 + 256
    assert gone == [b"e%06d" % n for n in range(512)]
    early = Stored(-5, b"early", b"i", b"")
    assert early not in memory.all() and memory.insert([early], 1).forgotten[0] == b"early"


def test_needed_chunks():
    head = [packing.Entry(5, 10, (0, b"a")), packing.Entry(2, 10, (1, b"a")), packing.Entry(9, 3, (2, b"a"))]
    found = {limit: chunks.needed(head, limit) for limit in (0, 1, 3, 4, 13, 14, 99)}
    assert found == {0: [], 1: [9], 3: [9], 4: [2, 9], 13: [2, 9], 14: [5, 2, 9], 99: [5, 2, 9]}


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"", lambda b: b"\x09" + b[1:], lambda b: b[:20]])
def test_damaged_bytes_are_told(damage):
    chunk = [event(n) for n in range(5)]
    pairs, ids = packing.pack_pairs(chunk), packing.pack_ids(chunk)
    with pytest.raises(packing.DamagedHistory):
        packing.unpack_chunk(pairs, ids.rpartition(b"\xff")[0])
    with pytest.raises(packing.DamagedHistory):
        packing.unpack_chunk(damage(pairs[: 9 + 40 + 3]), ids)
    head = packing.pack_head([packing.Entry(1, 5, chunk[0][:2]), packing.Entry(2, 5, chunk[1][:2])])
    if damage(head) and damage(head) != head[:-1]:
        with pytest.raises(packing.DamagedHistory):
            packing.unpack_head(damage(head))
