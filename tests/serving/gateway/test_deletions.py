"""One deletions table for ingestion and for stores: read, applied to each kind of store, and through the command."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from seminar_tf.cli.delete_users import command
from serving.gateway import deletions
from serving.gateway.events import Event
from serving.gateway.sqlite_store import SQLiteStore

NOW = 1_700_000_000_000


def write(path, users, moments):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"user_id": users, "timestamp": moments, "reason": ["asked"] * len(users)}), path)
    return path


@pytest.fixture
def dataset(tmp_path):
    write(tmp_path / "data/span-1/deletions/part-0.parquet", ["ann", "bob"], [1000, 1001])
    write(tmp_path / "data/span-2/deletions/part-0.parquet", ["ann", "nobody"], [1002, 5])
    return tmp_path / "data"


def fill(store):
    for user in ("ann", "bob", "cid"):
        store.append(user, [Event(f"e{n}", f"i{n}", "", 1000 + n) for n in range(4)])


def left(store):
    return {user: store.history(user, 9).timestamps.tolist() for user in ("ann", "bob", "cid", "nobody")}


LEFT = {"ann": [1003], "bob": [1002, 1003], "cid": [1000, 1001, 1002, 1003], "nobody": []}


def test_a_dataset_of_deletions_is_applied_once_and_again(store, dataset):
    fill(store)
    found = deletions.read(dataset)
    assert found == {"ann": 1002, "bob": 1001, "nobody": 5}
    assert deletions.apply(found, store.delete_user) == deletions.Applied(3, 2)
    assert left(store) == LEFT
    assert deletions.apply(found, store.delete_user) == deletions.Applied(3, 0)
    fill(store)
    assert left(store) == LEFT, "a replay of older events"


def test_the_command(dataset, tmp_path):
    path = tmp_path / "histories.db"
    with SQLiteStore(path) as store:
        fill(store)
        run = CliRunner().invoke(command, ["--sqlite-path", str(path), "--from", str(dataset)])
        assert run.exit_code == 0 and run.output == "3 users deleted; 2 of them had events\n", run.output
        assert left(store) == LEFT
        run = CliRunner().invoke(command, ["--sqlite-path", str(path), "--until-ms", "1001", "cid", "cid"])
        assert run.output == "1 users deleted; 1 of them had events\n"
        assert left(store)["cid"] == [1002, 1003]
        assert CliRunner().invoke(command, ["--sqlite-path", str(path), "cid"]).exit_code == 0
        assert left(store)["cid"] == []
    for wrong in (["cid", "--from", str(dataset)], [], ["--from", str(dataset), "--until-ms", "5"]):
        run = CliRunner().invoke(command, ["--sqlite-path", str(path), *wrong])
        assert run.exit_code == 2, run.output


def test_the_command_through_a_gateway(asking, tmp_path):
    asking.append_events("leaver", [Event("e", "i", "", NOW)])
    table = write(tmp_path / "deletions.parquet", ["leaver"], [NOW])
    run = CliRunner().invoke(command, ["--gateway", asking.address, "--from", str(table)])
    assert run.output == "1 users deleted; 1 of them had events\n"
    assert asking.append_events("leaver", [Event("e", "i", "", NOW), Event("f", "i", "", NOW + 1)]) == 1


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user_id": ["a"]}, "column 'timestamp' .int64. is missing; it has user_id"),
        ({"user_id": [1], "timestamp": [1]}, "column 'user_id' is int64, expected string"),
        ({"user_id": ["a"], "timestamp": [1.5]}, "column 'timestamp' is double, expected int64"),
        ({"user_id": ["a", " "], "timestamp": [1, 2]}, "row 1 has no user_id"),
        ({"user_id": ["a"], "timestamp": [-1]}, "row 0, timestamp -1: expected ms"),
    ],
)
def test_bad_tables(tmp_path, columns, message):
    path = tmp_path / "deletions.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(deletions.DeletionsError, match=message):
        deletions.read(path)
    with pytest.raises(deletions.DeletionsError, match="no deletions"):
        deletions.read(tmp_path)
