"""The contract of `HistoryStore`, held against every store."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from serving.gateway.events import MAX_BYTES, Event, EventConflict, InvalidEvent, StoreUnavailable
from serving.gateway.store import StoreOptions


def event(n, timestamp=None, query="", item=None):
    return Event(f"e{n:05d}", item or f"item{n}", query, 1000 + n if timestamp is None else timestamp)


def pairs(history):
    return list(zip(history.item_ids, history.queries, history.timestamps.tolist()))


def expected(events, limit):
    """What a history must be: each event once, by time and id, the newest `limit`."""
    order = sorted(set(events), key=lambda e: (e.timestamp, e.event_id.encode()))
    return [(e.item_id.encode(), e.query.encode(), e.timestamp) for e in order][len(order) - min(limit, len(order)) :]


@pytest.mark.parametrize("seed", range(6))
def test_any_way_of_arrival_gives_the_same_history(make_store, seed):
    rng = random.Random(seed)
    options = StoreOptions(rng.choice([1, 7, 60, 10_000]), chunk_size=rng.choice([4, 9]), tail_size=rng.choice([1, 4]))
    store = make_store(options)
    every = [event(n, rng.randrange(80), rng.choice(["", "q", "späť"])) for n in range(150)]
    sent = {user: [] for user in ("ann", "bob")}
    for _ in range(40):
        user = rng.choice(list(sent))
        # Also events that were sent before, that are late, or that the cap pushed out long ago.
        batch = rng.choices(every, k=rng.choice([0, 1, 1, 2, 30]))
        new = store.append(user, batch)
        if options.max_history >= len(every):
            assert new == len(set(batch) - set(sent[user]))
        sent[user] += batch
        limit = rng.randrange(200)
        for other, events in sent.items():
            assert pairs(store.history(other, limit)) == expected(events, min(limit, options.max_history))


def test_ten_thousand_pairs_in_one_batch_and_then_some_more(store):
    every = [event(n) for n in range(10_050)]
    assert store.append("u", every[:10_000]) == 10_000
    assert pairs(store.history("u", 20_000)) == expected(every[:10_000], 10_000)
    for n in range(10_000, 10_050, 5):
        assert store.append("u", every[n : n + 5]) == 5
    history = store.history("u", 20_000)
    assert pairs(history) == expected(every, 10_000)
    assert history.timestamps.dtype == np.int64 and len(history) == 10_000
    assert pairs(store.history("u", 3)) == expected(every, 3)


def test_a_known_event_changes_nothing(make_store):
    store = make_store()
    assert store.append("u", [event(1), event(2), event(1)]) == 2
    assert store.append("u", [event(2), event(3)]) == 1
    assert make_store().append("u", [event(3), event(1)]) == 0
    assert store.append("v", [event(1)]) == 1, "ids are unique for a user, not for all"
    assert pairs(store.history("u", 9)) == expected([event(1), event(2), event(3)], 9)


@pytest.mark.parametrize("change", [{"item": "other"}, {"query": "other"}, {"timestamp": 7}])
def test_a_known_id_with_another_content_is_an_error_and_stores_nothing(store, change):
    store.append("u", [event(1)])
    for batch in ([event(5), event(1, **change)], [event(5), event(6), event(5, **change)]):
        with pytest.raises(EventConflict, match=r"event_id 'e0000[15]' comes (again|twice)"):
            store.append("u", batch)
    assert pairs(store.history("u", 9)) == expected([event(1)], 9)


def test_ties_go_by_the_bytes_of_event_id(store):
    ids = ["é", "b", "a", "aa", "\U0001f3a8", "Z", "a\x00", "10", "9"]
    for name in ids:
        store.append("u", [Event(name, "i" + name, "", 5)])
    assert store.history("u", 99).item_ids == [("i" + n).encode() for n in sorted(ids, key=str.encode)]


@pytest.mark.parametrize("text", ["ÿ", "a\x00b", "{x}:y", "日本語 \U0001f600", "'; DROP TABLE user", "\n", "x" * 200])
def test_strings_come_back_as_they_went(make_store, text):
    store = make_store()
    store.append(text, [Event(text, text, text, 3), Event("other", "i", "", 4)])
    store.append(text + "2", [Event(text, "another", "", 9)])
    store.append(text, [Event("third", text, "", 5)])
    found = make_store().history(text, 9)
    assert pairs(found) == [(text.encode(), text.encode(), 3), (b"i", b"", 4), (text.encode(), b"", 5)]
    assert store.delete_user(text)
    assert len(store.history(text, 9)) == 0 and len(store.history(text + "2", 9)) == 1


@pytest.mark.parametrize(
    ("user", "bad", "message"),
    [
        ("", event(1), "user_id is empty"),
        ("u" * 257, event(1), "user_id has 257 bytes of UTF-8; at most 256"),
        ("u", Event("", "i", "", 1), r"events\[1\].event_id is empty"),
        ("u", Event("e", "", "", 1), r"events\[1\].item_id is empty"),
        ("u", Event("e", "é" * 257, "", 1), r"item_id has 514 bytes"),
        ("u", Event("e", "i", "q" * (MAX_BYTES["query"] + 1), 1), "query has 2049 bytes"),
        ("u", Event("e", "i\ud800", "", 1), "cannot be written as UTF-8"),
        ("u", Event("e", b"i", "", 1), "expected a string"),
        ("u", Event("e", "i", "", -1), "timestamp is -1, expected ms"),
        ("u", Event("e", "i", "", 1_700_000_000_000_000), "another unit"),
        ("u", Event("e", "i", "", 1.5), "expected an integer"),
    ],
)
def test_bad_values_name_the_field_and_store_nothing(store, user, bad, message):
    with pytest.raises(InvalidEvent, match=message):
        store.append(user, [event(1), bad])
    assert len(store.history("u", 9)) == 0


def test_longest_strings_are_taken(store):
    store.append("u" * 256, [Event("e" * 256, "i" * 512, "q" * 2048, 0)])
    assert pairs(store.history("u" * 256, 1)) == [(b"i" * 512, b"q" * 2048, 0)]


def test_unknown_users_have_no_history(store):
    history = store.history("nobody", 10)
    assert (history.item_ids, history.queries, history.timestamps.tolist()) == ([], [], [])
    store.append("u", [event(1)])
    assert len(store.history("u", 0)) == 0
    assert store.append("nobody", []) == 0


def test_a_deleted_user_is_forgotten(make_store):
    store = make_store()
    store.append("u", [event(n) for n in range(700)])
    store.append("v", [event(1)])
    assert store.delete_user("u") and not store.delete_user("u")
    assert len(make_store().history("u", 9)) == 0 and len(store.history("v", 9)) == 1
    store = make_store()
    later = store.now_ms() + 1
    assert store.append("u", [event(1)]) == 0
    assert store.append("u", [event(1, later, item="another")]) == 1, "its event ids are free again"
    assert pairs(store.history("u", 9)) == expected([event(1, later, item="another")], 9)


@pytest.mark.parametrize("seed", range(3))
def test_deletions_and_appends_in_any_order(make_store, seed):
    rng = random.Random(seed)
    options = StoreOptions(chunk_size=rng.choice([4, 9]), tail_size=rng.choice([1, 4]))
    store, every = make_store(options), [event(n, rng.randrange(80)) for n in range(120)]
    seen, until = set(), -1
    for _ in range(30):
        if rng.random() < 0.15:
            moment = rng.randrange(60)
            assert store.delete_user("u", moment) == any(e.timestamp <= moment for e in seen)
            until = max(until, moment)
            seen = {e for e in seen if e.timestamp > moment}
        else:
            # Late replays among them.
            batch = rng.choices(every, k=rng.choice([1, 2, 20]))
            new = {e for e in batch if e.timestamp > until} - seen
            assert store.append("u", batch) == len(new)
            seen |= new
        assert pairs(store.history("u", 999)) == expected(seen, 999)
    assert pairs(make_store().history("u", 999)) == expected(seen, 999)


def test_a_deletion_holds_for_users_that_come_later_and_for_events_ahead_of_the_clock(store):
    assert not store.delete_user("u", 1005)
    assert store.append("u", [event(n) for n in range(9)]) == 3
    ahead = store.now_ms() + 10_000
    store.append("u", [event(99, ahead)])
    assert store.delete_user("u")
    assert not store.delete_user("u", 1), "an earlier deletion takes nothing back"
    assert store.append("u", [event(99, ahead), event(8), event(100, ahead + 1)]) == 1
    for moment in (-1, 1.5, 10**15):
        with pytest.raises(InvalidEvent, match="until_ms is"):
            store.delete_user("u", moment)


def test_threads_that_delete_and_append_agree(make_store):
    stores = [make_store(StoreOptions(timeout_s=30.0, chunk_size=4, tail_size=2)) for _ in range(2)]
    every = [event(n) for n in range(40)]

    def work(t):
        for one in every:
            stores[t % 2].append("u", [one]) if t else stores[0].delete_user("u", one.timestamp - 5)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))
    assert pairs(stores[1].history("u", 99)) == expected(every[-5:], 99)


def test_a_smaller_cap_shows_and_keeps_less(make_store):
    make_store().append("u", [event(n) for n in range(1000)])
    store = make_store(StoreOptions(max_history=10))
    assert pairs(store.history("u", 99)) == expected([event(n) for n in range(1000)], 10)
    store.append("u", [event(1000)])
    assert 10 <= len(make_store().history("u", 9999)) < 300


def test_threads_that_append_to_one_user_lose_nothing(make_store):
    stores = [make_store(StoreOptions(timeout_s=30.0, chunk_size=8, tail_size=3)) for _ in range(2)]
    every = {t: [event(100 * t + n, n % 7) for n in range(25)] for t in range(6)}

    def work(t):
        # Every event twice, and by two threads: neighbours send the same ones.
        return sum(stores[n % 2].append("u", [one, every[(t + 1) % 6][n]]) for n, one in enumerate(every[t]))

    with ThreadPoolExecutor(6) as pool:
        new = list(pool.map(work, every))
    flat = [one for events in every.values() for one in events]
    assert sum(new) == len(flat) == 150
    assert pairs(stores[0].history("u", 999)) == expected(flat, 999)


def test_readers_see_whole_batches(make_store):
    store = make_store(StoreOptions(max_history=40, chunk_size=5, tail_size=2))
    seen, stop = [], threading.Event()

    def read():
        while not stop.is_set():
            seen.append(store.history("u", 40).timestamps.tolist())

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(0, 150, 3):
        store.append("u", [event(n), event(n + 1), event(n + 2)])
    stop.set()
    reader.join()
    assert store.history("u", 1).timestamps.tolist() == [1149]
    for times in seen:
        last = times[-1] if times else 999
        assert (last - 1000) % 3 == 2, "half a batch"
        assert times == list(range(max(1000, last - 39), last + 1))


def test_check_and_close(store):
    store.check()
    store.close()
    store.close()
    for call in (lambda: store.append("u", [event(1)]), lambda: store.history("u", 1), store.check):
        with pytest.raises(StoreUnavailable, match="closed"):
            call()


@pytest.mark.parametrize(
    "options",
    [
        {"max_history": 0},
        {"max_history": 10**6},
        {"tail_size": 0},
        {"chunk_size": 3},
        {"timeout_s": 0.0},
        {"retention_days": -1},
    ],
)
def test_options_out_of_range(options):
    with pytest.raises(ValueError, match="expected"):
        StoreOptions(**options)
