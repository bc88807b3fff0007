"""Log lines for programs and for people; the access log says nothing of what a call holds."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from seminar_tf.export import versions
from serving import logs
from serving.client import Client, ServingError
from serving.options import ModelSource, ServerOptions
from serving.server import Server
from tests.serving import fake_ranker as fake


def record(message="two\nlines %s", arguments=("é",), **extra):
    made = logging.getLogger("serving.x").makeRecord(
        "serving.x", logging.INFO, "x.py", 1, message, arguments, None, extra=extra
    )
    made.created = 1_700_000_000.25
    return made


def test_json_lines():
    line = logs.JsonFormatter().format(record(event="call", model="ranker", version=0, signature="", latency_ms=1.5))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "INFO",
        "event": "call",
        "message": "two\nlines é",
        "logger": "serving.x",
        "model": "ranker",
        "version": 0,
        "latency_ms": 1.5,
    }
    assert json.loads(logs.JsonFormatter().format(record()))["event"] == "log"


def test_text_lines():
    line = logs.TextFormatter().format(record("done", (), model="ranker", version=3))
    assert line.endswith("INFO serving.x: done model=ranker version=3")


@pytest.mark.parametrize("formatter", [logs.JsonFormatter(), logs.TextFormatter()])
def test_errors_come_with_their_traceback(formatter):
    try:
        raise ValueError("broken")
    except ValueError as error:
        made = record("failed", ())
        made.exc_info = (type(error), error, error.__traceback__)
    assert "ValueError: broken" in formatter.format(made)


def test_set_up(monkeypatch, capsys):
    root, access = logging.getLogger(), logging.getLogger("serving.access")
    monkeypatch.setattr(root, "handlers", [])
    level, access_level = root.level, access.level
    try:
        logs.set_up("json", verbose=False, access_log=True)
        logging.getLogger("serving.y").info("not shown")
        access.info("shown", extra={"event": "call"})
    finally:
        root.setLevel(level)
        access.setLevel(access_level)
    lines = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["shown"]


@pytest.mark.parametrize("asked", [True, False])
def test_access_log(exported, tmp_path, caplog, asked):
    versions.publish(exported[0] / "one", tmp_path / "ranker", 3)
    caplog.set_level(logging.INFO, "serving.access")
    options = ServerOptions(port=0, poll_s=3600.0, warm_up=False, access_log=asked)
    ids = fake.batch(np.random.default_rng(0), 1, 3, 2)
    with Server((ModelSource("ranker", str(tmp_path / "ranker")),), options) as server:
        with Client(server.address, timeout_s=120) as client:
            client.predict({**fake.to_raw(ids), "user_id": ["somebody"]})
            with pytest.raises(ServingError):
                client.predict({**ids, "somebody": [1]}, "rank_indexed")
        with Client(server.address, "somebody", timeout_s=120) as client, pytest.raises(ServingError):
            client.predict(ids)
    found = [r for r in caplog.records if r.name == "serving.access"]
    assert [(r.model, r.version, r.signature, r.status) for r in found] == [
        ("ranker", 3, "serving_default", "OK"),
        ("ranker", 3, "rank_indexed", "INVALID_ARGUMENT"),
        ("", None, "", "NOT_FOUND"),
    ][: 3 if asked else 0]
    assert all(r.latency_ms > 0 and r.request_bytes > 100 for r in found)
    assert "somebody" not in " ".join(logs.JsonFormatter().format(r) for r in found)
