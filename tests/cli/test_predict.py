"""`seminar-tf predict`, with a real server behind it, and `seminar-tf serve`'s errors."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from seminar_tf.cli import predict, serve
from seminar_tf.data.dataset import DatasetError
from seminar_tf.data.one_user import Pair, busiest_user, read_catalog, read_user, user_events
from seminar_tf.export import versions
from serving.options import ModelSource, ServerOptions
from serving.server import Server
from tests.serving import fake_ranker as fake

START = 1_600_000_000_000


def event(user, minute, item, query=None, request=None):
    kind = "browse" if query is None else "search"
    moment = START + minute * 60_000
    return dict(user_id=user, timestamp=moment, kind=kind, query=query, item_id=item, action="view", request_id=request)


EVENTS = [
    event("u1", 3, "item3", "query 1", "r1"),
    event("u1", 1, "item1"),
    event("u1", 2, "item2"),
    event("u1", 2, "item2"),  # a duplicate
    event("u1", 4, "gone"),  # not in the catalog
    event("u1", 5, "item5", "query  2 ", "r2"),
    event("u1", 6, "item6", "query 2", "r2"),
    event("u2", 1, "item7"),
    event("u3", 1, "item1"),
    event("u3", 2, "item2"),
]


def write(root: Path, tables: dict[str, list[dict]]) -> Path:
    for folder, rows in tables.items():
        (root / folder).mkdir(parents=True)
        table = pa.Table.from_pylist(rows)
        if "events" in folder:
            table = table.set_column(3, "query", table["query"].cast(pa.string()))
            table = table.set_column(6, "request_id", table["request_id"].cast(pa.string()))
        pq.write_table(table, root / folder / "part-0.parquet")
    return root


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("dataset")
    items = [dict(item_id=i, title=f"Title [{n}]", attributes=[f"genre=g{n % 3}"]) for n, i in enumerate(fake.ITEMS)]
    tables = {
        "span-1/events": EVENTS,
        "span-1/items": items,
        "span-1/users": [dict(user_id="u1", attributes=["age=old"])],
        "span-2/events": [event("u2", 9, "item8")],
        "span-2/items": [dict(item_id="item6", title="Second title", attributes=["genre=g9"])],
        "span-2/users": [dict(user_id="u1", attributes=["age=young"])],
    }
    return write(root, tables)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("model")
    fake.export(root / "model", fake.write_vocabularies(root / "transform"), seed=1)
    versions.publish(root / "model", root / "ranker", 3)
    return root / "ranker"


def run(command, *arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_the_user_is_at_the_last_request(dataset):
    catalog = read_catalog(dataset)
    user = read_user(dataset, "u1", list(catalog))
    assert [pair.item_id for pair in user.history] == ["item1", "item2", "item3"]
    assert user.held_out == Pair("item6", "query 2", START + 6 * 60_000)
    assert user.attributes == ("age=young",)
    assert catalog["item6"].title == "Second title"
    assert busiest_user(dataset) == "u2"  # the newest span's


def test_events_before_a_moment_are_left_out(dataset):
    known = pa.array(list(read_catalog(dataset)), pa.string())
    whole = user_events(dataset, 2, ["u1", "u2"], known)
    late = user_events(dataset, 2, ["u1", "u2"], known, oldest_ms=START + 3 * 60_000)
    assert late.num_rows == 4 and whole.num_rows == 7
    assert min(late["timestamp"].to_pylist()) == START + 3 * 60_000


def test_a_user_over_two_spans(dataset):
    user = read_user(dataset, "u2", fake.ITEMS)
    assert [pair.item_id for pair in user.history] == ["item7"]
    assert user.held_out.item_id == "item8"


def test_pairs_past_the_retention_window_are_not_sent(tmp_path, model_dir):
    events = [event("u1", 24 * 60 * day, f"item{day + 1}") for day in range(4)]
    events += [event("u2", 0, "item1"), event("u2", 24 * 60 * 9, "item2")]
    write(tmp_path, {"span-1/events": events, "span-1/items": [dict(item_id=item) for item in fake.ITEMS]})

    def history(user: str, days: int) -> list[str]:
        return [pair.item_id for pair in read_user(tmp_path, user, fake.ITEMS, days).history]

    assert history("u1", 0) == history("u1", 3) == ["item1", "item2", "item3"]
    # The window's first moment is inside, as in a gateway's store.
    assert history("u1", 2) == ["item2", "item3"]
    assert history("u1", 1) == ["item3"]
    with pytest.raises(DatasetError, match=r"'u2' has no pair in the 8 days before the last target; name another"):
        history("u2", 8)
    arguments = ("--dataset", tmp_path, "--model-dir", model_dir, "--user", "u1", "--json", "--retention-days", 2)
    found = json.loads(run(predict.command, *arguments).output)
    assert found["request"]["history_pairs"] == 2
    assert [pair["item_id"] for pair in found["recent"]] == ["item2", "item3"]


def test_json_of_a_served_request(dataset, model_dir):
    result = run(predict.command, "--dataset", dataset, "--model-dir", model_dir, "--user", "u1", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert found["query"] == "query 2"
    assert found["model"] == {"name": "ranker", "version": 3, "signature": "serving_default"}
    assert found["request"]["candidates"] == len(fake.ITEMS)
    assert found["request"]["history_pairs"] == 3
    assert [row["rank"] for row in found["results"]] == list(range(1, 11))
    scores = [row["score"] for row in found["results"]]
    assert scores == sorted(scores, reverse=True)
    assert found["held_out"]["item_id"] == "item6"
    assert 1 <= found["held_out"]["rank"] <= len(fake.ITEMS)


def test_tables_from_a_running_server(dataset, model_dir):
    with Server((ModelSource("ranker", str(model_dir)),), ServerOptions(port=0)) as server:
        arguments = ("--dataset", dataset, "--address", server.address, "--candidates", 8, "--query", "", "--top", 3)
        result = run(predict.command, *arguments, "--user", "u1")
        again = run(predict.command, *arguments, "--user", "u1", "--json")
        wrong = run(predict.command, *arguments, "--model-name", "other", "--user", "u1")
        task = run(predict.command, *arguments, "--task", "buy", "--user", "u1")
    assert result.exit_code == 0, result.output
    for text in ("Ranked for recommendation, by click", "Title [", "genre=g", "one Predict call", "of 8."):
        assert text in result.output
    found = json.loads(again.output)
    assert len(found["results"]) == 3 and found["held_out"]["rank"] is not None
    assert wrong.exit_code == 1 and "NOT_FOUND: Servable not found" in wrong.output
    assert task.exit_code == 1 and "no task 'buy'; it scores click, like" in task.output


@pytest.mark.parametrize(("user", "message"), [("nobody", "no usable event"), ("u4", "no usable event")])
def test_no_such_user(dataset, model_dir, user, message):
    result = run(predict.command, "--dataset", dataset, "--model-dir", model_dir, "--user", user)
    assert isinstance(result.exception, DatasetError)
    assert message in str(result.exception)


def test_no_model_version(dataset, tmp_path):
    result = run(predict.command, "--dataset", dataset, "--model-dir", tmp_path, "--user", "u1")
    assert result.exit_code == 1
    assert "no model version found" in result.output


def test_a_model_that_does_not_load(dataset, tmp_path):
    (tmp_path / "1").mkdir()
    result = run(predict.command, "--dataset", dataset, "--model-dir", tmp_path, "--user", "u1")
    assert result.exit_code == 1
    assert "does not load" in result.output


def test_nobody_listens(dataset, monkeypatch):
    from serving import client

    wait = client.Client.wait_until_ready
    monkeypatch.setattr(client.Client, "wait_until_ready", lambda self, timeout_s: wait(self, 0.2))
    result = run(predict.command, "--dataset", dataset, "--address", "127.0.0.1:1", "--user", "u1")
    assert result.exit_code == 1
    assert "no server answers at 127.0.0.1:1" in result.output


@pytest.mark.parametrize("arguments", [(), ("--model-dir", "x", "--address", "y:1")])
def test_either_a_folder_or_an_address(dataset, arguments):
    result = run(predict.command, "--dataset", dataset, *arguments)
    assert result.exit_code == 2
    assert "--model-dir" in result.output


def test_serve_says_that_its_port_is_taken(model_dir):
    with Server((ModelSource("ranker", str(model_dir)),), ServerOptions(port=0)) as server:
        result = run(serve.command, "--model-dir", model_dir, "--port", server.port)
    assert result.exit_code == 1
    assert "cannot listen on" in result.output
