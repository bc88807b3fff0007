"""`seminar-tf serve`: what it refuses, how it serves a models.config, and that SIGTERM fails no call."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import threading
import urllib.request

import grpc
import numpy as np
import pytest
from click.testing import CliRunner
from grpc_health.v1 import health_pb2, health_pb2_grpc

from seminar_tf.cli.serve import command
from seminar_tf.export import versions
from serving import logs, protos
from serving.client import Client
from serving.server import Server
from tests.serving import blocking_model
from tests.serving import fake_ranker as fake
from tests.serving.request_bytes import call


@pytest.fixture(autouse=True)
def keep_logging(monkeypatch):
    """The command sets up the process's log, which in tests is pytest's."""
    monkeypatch.setattr(logs, "set_up", lambda *arguments: None)
    before = logging.getLogger("tensorflow").level
    yield
    logging.getLogger("tensorflow").setLevel(before)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give one of --model-dir and --model-config"),
        (["--model-dir", "a", "--model-config", "b"], 2, "give one of --model-dir and --model-config"),
        (["--model-dir", "a", "--monitoring-config-file", "b"], 2, "give --monitoring-port"),
        (["--model-config", "absent.config"], 1, "absent.config: cannot be read"),
        (["--model-dir", "a", "--ssl-config", "absent.config"], 1, "absent.config: cannot be read"),
    ],
)
def test_what_it_refuses(tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == code
    assert message in result.output


def test_it_serves_a_models_config(exported, tmp_path, monkeypatch):
    root, _ = exported
    for name, folder, version in (("a", "one", 1), ("a", "two", 2), ("b", "two", 7)):
        versions.publish(root / folder, tmp_path / name, version)
    models, monitoring = tmp_path / "models.config", tmp_path / "monitoring.config"
    text = 'config {{ name: "{0}" base_path: "{1}/{0}" model_platform: "tensorflow" {2} }}'
    policy = 'model_version_policy { all {} } version_labels { key: "stable" value: 1 }'
    entries = text.format("a", tmp_path, policy) + text.format("b", tmp_path, "")
    models.write_text(f"model_config_list {{ {entries} }}", encoding="utf-8")
    monitoring.write_text('prometheus_config { enable: true path: "/metrics" }', encoding="utf-8")
    arguments = ["--model-config", str(models), "--port", "0"]
    refused = CliRunner().invoke(command, arguments)
    assert refused.exit_code == 1
    assert "--allow-version-labels-for-unavailable-models" in refused.output

    seen = {}

    def ask(server):
        ids = fake.batch(np.random.default_rng(0), 1, 3, 2)
        for name, choice in (("a", {}), ("a", {"label": "stable"}), ("b", {})):
            with Client(server.address, name, timeout_s=120) as client:
                seen[(name, *choice)] = client.predict(ids, "rank_indexed", **choice).version
        seen["metrics"] = urllib.request.urlopen(server.monitoring_url, timeout=60).status

    monkeypatch.setattr(Server, "wait_for_signal", ask)
    more = ["--allow-version-labels-for-unavailable-models", "--monitoring-port", "0"]
    result = CliRunner().invoke(command, [*arguments, *more, "--monitoring-config-file", str(monitoring)])
    assert result.exit_code == 0, result.output
    assert "a, b are served on 127.0.0.1:" in result.output
    assert "metrics are on http://127.0.0.1:" in result.output and "/metrics\n" in result.output
    assert seen == {("a",): 2, ("a", "label"): 1, ("b",): 7, "metrics": 200}


def test_a_folder_without_versions_is_not_said_to_be_served(tmp_path, monkeypatch):
    monkeypatch.setattr(Server, "wait_for_signal", lambda server: None)
    result = CliRunner().invoke(command, ["--model-dir", str(tmp_path), "--model-name", "later", "--port", "0"])
    assert result.exit_code == 0, result.output
    assert "listening on 127.0.0.1:" in result.output and "later not yet served" in result.output
    assert f"no usable version of every model yet, under {tmp_path}; looking every 1 s" in result.output


def test_sigterm_fails_no_call(tmp_path):
    blocking_model.export(tmp_path / "models" / "1")
    pipe = blocking_model.make_pipe(tmp_path)
    arguments = ["--model-dir", str(tmp_path / "models"), "--model-name", "blocking", "--port", "0", "--drain", "600"]
    arguments += ["--monitoring-port", "0", "--log-format", "json", "--access-log", "-v"]
    log = tmp_path / "log"
    with log.open("w", encoding="utf-8") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "seminar_tf.cli.serve", *arguments], stdout=subprocess.PIPE, stderr=stderr, text=True
        )
    try:
        address, metrics = process.stdout.readline().split()[-1], process.stdout.readline().split()[-1]
        with grpc.insecure_channel(address) as channel:
            health = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=300)
            assert next(health).status == health_pb2.HealthCheckResponse.SERVING
            waiting = [call(channel, protos.PREDICT, blocking_model.request(pipe), 600) for _ in range(4)]
            while b"seminar_serving_calls_in_flight 4.0" not in urllib.request.urlopen(metrics, timeout=60).read():
                threading.Event().wait(0.01)
            process.send_signal(signal.SIGTERM)
            assert next(health).status == health_pb2.HealthCheckResponse.NOT_SERVING
            assert not any(future.done() for future in waiting)
            with blocking_model.let_go(pipe):
                assert all(future.result() for future in waiting)
        assert process.wait(timeout=120) == 0
    finally:
        process.kill()
        process.communicate()
    text = log.read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    events = [line["event"] for line in lines]
    assert [e for e in events if e in ("version_available", "listening", "draining", "call", "stopped")] == [
        "version_available", "listening", "draining", *["call"] * 4, "stopped",
    ]  # fmt: skip
    calls = [line for line in lines if line["event"] == "call"]
    for line in calls:
        assert (line["model"], line["version"], line["status"]) == ("blocking", 1, "OK")
        assert line["latency_ms"] > 0 and line["signature"] == "serving_default"
    assert str(pipe) not in text, "what a request holds is not logged"
