"""The gateway as our files start, probe and watch it is the gateway that this repository has."""

from __future__ import annotations

import re

from prometheus_client import Counter, Histogram

from seminar_tf.cli import gateway as cli
from serving.gateway import metrics, server
from tests.serving.deploy_files import ENVIRONMENT, compose, containers, one, overlay, table


def commands():
    yield compose("compose.yaml")["services"]["gateway"]["command"]
    (container,) = containers(one(overlay("gpu"), "Deployment", "gateway"))
    yield container["args"]


def test_the_command_is_understood():
    for program, *arguments in commands():
        assert program == "gateway"
        found = cli.command.make_context("gateway", list(arguments)).params
        assert (found["host"], found["port"], found["metrics_port"]) == ("0.0.0.0", 8600, 8601)
        assert (found["kind"], found["redis_url"]) == ("redis", "redis://redis:6379/0")
        assert found["ranker"].endswith("tf-serving:8500") and not found["allow_loss"]


def test_compose_passes_on_the_task_and_the_retention():
    for given, wanted in (({}, ("", 0)), ({"GATEWAY_TASK": "click", "GATEWAY_RETENTION_DAYS": "30"}, ("click", 30))):
        _, *arguments = compose("compose.yaml", environment=ENVIRONMENT | given)["services"]["gateway"]["command"]
        found = cli.command.make_context("gateway", arguments).params
        assert (found["task"], found["retention_days"]) == wanted


def test_liveness_asks_for_a_service_that_the_gateway_has():
    (container,) = containers(one(overlay("gpu"), "Deployment", "gateway"))
    assert container["livenessProbe"]["grpc"]["service"] == server._ALIVE
    assert "service" not in container["readinessProbe"]["grpc"] and "" in server._READY


def test_the_page_lists_the_gateways_metrics_with_their_labels():
    families = [found for found in vars(metrics.Metrics()).values() if isinstance(found, Counter | Histogram)]
    real = {}
    for family in families:
        (described,) = family.describe()
        suffix = "_total" if described.type == "counter" else ""
        real[described.name + suffix] = (described.type, set(family._labelnames))
    rows = [row for row in table("### Metrics") if row[0].startswith("`seminar_gateway_")]
    assert {row[0].strip("`"): (row[1], set(re.findall(r"`(\w+)`", row[2]))) for row in rows} == real
