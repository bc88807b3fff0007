"""Events past the retention window: not seen, not taken in, and off the disk after `expire`, in each kind of store."""

from __future__ import annotations

import random
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from click.testing import CliRunner

from seminar_tf.cli.expire_events import command
from serving.gateway import sqlite_store
from serving.gateway.events import Event, InvalidEvent, StoreDamaged, StoreUnavailable
from serving.gateway.sqlite_store import SQLiteStore
from serving.gateway.store import Expired, HistoryStore, StoreOptions

DAY = 86_400_000


def event(n, timestamp=None):
    return Event(f"e{n:05d}", f"item{n}", "", 1000 + n if timestamp is None else timestamp)


def times(store, user="u"):
    return store.history(user, 9999).timestamps.tolist()


def test_old_events_are_neither_seen_nor_taken_in(make_store, monkeypatch):
    now = 100 * DAY
    monkeypatch.setattr(HistoryStore, "now_ms", staticmethod(lambda: now))
    everything = make_store()
    everything.append("u", [event(n, now - n * DAY) for n in range(5)])
    everything.append("u", [event(5, now - 2 * DAY - 1)])
    store = make_store(StoreOptions(retention_days=2))
    # The window's first moment is inside, as it is at ingestion.
    assert times(store) == [now - 2 * DAY, now - DAY, now]
    assert store.append("u", [event(9, now - 3 * DAY), event(10, now - DAY // 2)]) == 1
    assert len(times(everything)) == 7, "nothing has left the disk, and the late one is not there"
    assert store.append("u", [event(11, now - 9 * DAY)]) == 0
    assert times(everything)[0] == now - 4 * DAY


@pytest.mark.parametrize("seed", range(3))
def test_expired_events_are_gone_and_all_others_stay(make_store, seed):
    rng = random.Random(seed)
    store = make_store(StoreOptions(chunk_size=rng.choice([4, 9]), tail_size=rng.choice([1, 4])))
    sent = {}
    for user in ("ann", "b*b", "[c]", "d}:pairs", "é", "old", "new"):
        low, high = {"old": (0, 40), "new": (60, 90)}.get(user, (0, 90))
        sent[user] = [event(n, rng.randrange(low, high)) for n in range(rng.choice([1, 30]))]
        store.append(user, sent[user])
    for before in (0, 45, 50):
        left = {user: sorted(e.timestamp for e in events if e.timestamp >= before) for user, events in sent.items()}
        gone = sum(len(times(store, user)) - len(kept) for user, kept in left.items())
        found = store.expire(before)
        assert (found.events, found.damaged) == (gone, ())
        assert {user: times(make_store(), user) for user in sent} == left
    assert store.expire(50).events == 0
    # No tombstone: without a retention window an event may come again, under its old id.
    assert store.append("old", sent["old"]) == len(sent["old"]) == len(times(store, "old"))


def test_expiring_looks_at_more_users_than_one_transaction_or_scan_holds(make_store, monkeypatch):
    # Several pages of users, and several transactions of each.
    monkeypatch.setattr(sqlite_store, "_LOOKED_AT_ONCE", 200)
    monkeypatch.setattr(sqlite_store, "_EVENTS_AT_ONCE", 70)
    store = make_store()
    for n in range(700):
        store.append(f"user{n}", [event(1, 10), event(2, 20)] if n % 2 else [event(1, 10)])
    assert store.expire(15) == Expired(users=700, events=700)
    assert times(store, "user0") == [] and times(store, "user1") == [20]
    # Users without an event are gone.
    assert store.expire(15) == Expired(users=350)


def test_appends_go_on_meanwhile(make_store):
    store, other = make_store(StoreOptions(timeout_s=30.0)), make_store(StoreOptions(timeout_s=30.0))
    for n in range(300):
        store.append(f"user{n}", [event(0, 10)])
    with ThreadPoolExecutor(1) as pool:
        expiring = pool.submit(store.expire, 15)
        for n in range(300):
            assert other.append(f"user{n}", [event(1, 20)]) == 1
        # A user who came back under a new number may be looked at again.
        assert expiring.result().events == 300
    assert all(times(other, f"user{n}") == [20] for n in range(300))


def test_a_moment_out_of_range_and_a_closed_store(store):
    for moment in (-1, 1.5, 10**15):
        with pytest.raises(InvalidEvent, match="before_ms is"):
            store.expire(moment)
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        store.expire(5)


def test_the_command(tmp_path):
    path = tmp_path / "histories.db"
    with SQLiteStore(path) as store:
        now = store.now_ms()
        store.append("u", [event(n, now - n * DAY - DAY // 2) for n in range(4)])
        run = CliRunner().invoke(command, ["--sqlite-path", str(path), "--retention-days", "2"])
        assert (run.exit_code, run.output) == (0, "2 events deleted; 1 users looked at\n")
        assert len(times(store)) == 2
        run = CliRunner().invoke(command, ["--sqlite-path", str(path), "--before-ms", str(now + DAY)])
        assert run.exit_code == 1 and "lies ahead of the clock" in run.output and len(times(store)) == 2
        run = CliRunner().invoke(command, ["--sqlite-path", str(path), "--before-ms", str(now)])
        assert run.output == "2 events deleted; 1 users looked at\n" and times(store) == []
    for wrong in ([], ["--retention-days", "2", "--before-ms", "5"], ["--retention-days", "0"]):
        assert CliRunner().invoke(command, ["--sqlite-path", str(path), *wrong]).exit_code == 2
    run = CliRunner().invoke(command, ["--sqlite-path", str(tmp_path / "none.db"), "--retention-days", "2"])
    assert run.exit_code == 1 and "there is no store" in run.output and not (tmp_path / "none.db").exists()


def test_the_deleted_bytes_and_a_damaged_history(tmp_path):
    path = tmp_path / "histories.db"
    with SQLiteStore(path) as store:
        store.append("bad", [event(1, 10)])
        store.append("good", [Event("e", "unmistakable-item", "", 10), event(2, 20)])
    with sqlite3.connect(path) as db:
        db.execute("UPDATE user SET head = x'63' WHERE user_id = ?", (b"bad",))
    db.close()
    run = CliRunner().invoke(command, ["--sqlite-path", str(path), "--before-ms", "15"])
    assert run.exit_code == 1 and "1 events deleted; 2 users looked at" in run.output
    assert "the history of user 'bad' is damaged" in run.output
    for file in tmp_path.glob("histories.db*"):
        assert b"unmistakable-item" not in file.read_bytes()


def test_a_damaged_history_is_named_and_keeps_no_other(make_store):
    store = make_store()
    for user in ("ann", "bad", "cid"):
        store.append(user, [event(1, 10), event(2, 20)])
    if isinstance(store, SQLiteStore):
        with store._file.connection() as db:
            db.execute("UPDATE user SET head = x'63' WHERE user_id = ?", (b"bad",))
    else:
        store._redis.hset(store._keys.of(b"bad")[0], b"head", b"c")
    with pytest.raises(StoreDamaged, match="a head of format 99"):
        store.history("bad", 9)
    assert store.expire(15) == Expired(users=3, events=2, damaged=("bad",))
    assert times(store, "ann") == times(store, "cid") == [20]
    assert store.delete_user("bad") and store.expire(15) == Expired(users=2)


@pytest.mark.parametrize(
    "url", ["redis://h:x/0", "redis://:pa/ss@host:6379/0", "redis://:p#ss@host:1/0", "redis://[::1"]
)
def test_a_malformed_address_is_an_error_that_shows_no_password(url):
    run = CliRunner().invoke(command, ["--store", "redis", "--redis-url", url, "--before-ms", "5"])
    assert run.exit_code == 1 and "the Redis URL is malformed" in run.output, run.output
    assert "ss@" not in run.output and "pa" not in run.output.replace("password", "").replace("path", "")
