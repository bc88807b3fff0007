"""The metrics page, as Prometheus reads it, and monitoring.config."""

from __future__ import annotations

import urllib.error
import urllib.request

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from seminar_tf.export import versions
from serving.client import Client, ServingError
from serving.config_files import ConfigError
from serving.monitoring import read_monitoring_config
from serving.options import METRICS_PATH, ModelSource, ServerOptions
from serving.server import Server, ServerError
from tests.serving import fake_ranker as fake


@pytest.fixture(scope="module")
def running(exported, tmp_path_factory):
    """A server of version 3, after three good calls and three bad ones."""
    base = tmp_path_factory.mktemp("metrics") / "ranker"
    versions.publish(exported[0] / "one", base, 3)
    (base / "4").mkdir()
    options = ServerOptions(port=0, poll_s=3600.0, monitoring_port=0)
    with Server((ModelSource("ranker", str(base), num_versions=2),), options) as server:
        ids = fake.batch(np.random.default_rng(0), 1, 3, 2)
        with Client(server.address, "ranker", timeout_s=120) as client:
            for _ in range(3):
                client.predict(ids, "rank_indexed")
            for choice in ({"signature": "made up"}, {"signature": "rank_indexed", "version": 9}):
                with pytest.raises(ServingError):
                    client.predict(ids, **choice)
        with Client(server.address, "made up", timeout_s=120) as client, pytest.raises(ServingError):
            client.predict(ids)
        yield server


def scrape(server, accept="text/plain") -> str:
    request = urllib.request.Request(server.monitoring_url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.read().decode()


@pytest.fixture
def samples(running):
    """(name, labels as sorted pairs) -> value."""
    families = text_string_to_metric_families(scrape(running))
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def value(samples, name, **labels):
    return samples.get((name, tuple(sorted(labels.items()))))


def test_calls_are_counted_by_status(samples):
    name = ":tensorflow:serving:request_count"
    assert value(samples, name, model_name="ranker", signature="rank_indexed", status="OK") == 3
    assert value(samples, name, model_name="ranker", signature="", status="FAILED_PRECONDITION") == 1
    assert value(samples, name, model_name="", signature="", status="NOT_FOUND") == 2
    assert "made up" not in str(samples), "what clients make up is no label: there is no end of it"


def test_latencies_add_up(samples):
    whole = value(
        samples, ":tensorflow:serving:request_latency_sum", model_name="ranker", API="Predict", entrypoint="GRPC"
    )
    count = ":tensorflow:serving:runtime_latency_count"
    assert value(samples, count, model_name="ranker", API="Predict", runtime="TF1") == 3
    stages = {
        stage: value(samples, "seminar_serving_stage_latency_microseconds_sum", model_name="ranker", stage=stage)
        for stage in ("wait", "decode", "run", "encode")
    }
    assert all(seconds > 0 for seconds in stages.values())
    assert sum(stages.values()) <= whole
    buckets = [v for (n, _), v in samples.items() if n == ":tensorflow:serving:request_latency_bucket"]
    assert len(buckets) == 34 and buckets == sorted(buckets)


def test_versions_loads_and_the_process(samples):
    assert value(samples, "seminar_serving_version_available", model_name="ranker", version="3") == 1
    assert value(samples, "seminar_serving_version_available", model_name="ranker", version="4") is None
    assert value(samples, "seminar_serving_version_loads_total", model_name="ranker", status="OK") == 1
    assert value(samples, "seminar_serving_version_loads_total", model_name="ranker", status="INTERNAL") == 1
    assert value(samples, "seminar_serving_calls_in_flight") == 0
    assert value(samples, "seminar_serving_queue_refusals_total") == 0
    assert value(samples, "process_resident_memory_bytes") > 1e6


@pytest.mark.parametrize("accept", ["application/openmetrics-text; version=1.0.0", "text/plain; version=1.0.0", "*/*"])
def test_names_are_the_same_for_every_scraper(running, accept):
    assert '\n:tensorflow:serving:request_count{model_name="ranker"' in scrape(running, accept)


def test_only_its_own_path(running):
    assert running.monitoring_url.endswith(METRICS_PATH)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(running.monitoring_url + "x", timeout=60)
    assert caught.value.code == 404


def test_off_unless_asked_for(server):
    assert server.monitoring_url is None


def test_a_taken_port(running, tmp_path):
    port = int(running.monitoring_url.split(":")[2].partition("/")[0])
    source = ModelSource("ranker", str(tmp_path))
    with pytest.raises(ServerError, match="cannot serve metrics on 127"):
        Server((source,), ServerOptions(port=0, monitoring_port=port)).start()


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("prometheus_config { enable: true }", METRICS_PATH),
        ('prometheus_config { enable: true path: "/m" }', "/m"),
        ('prometheus_config { path: "/m" }', None),
        ("", None),
    ],
)
def test_monitoring_config(tmp_path, text, path):
    (tmp_path / "monitoring.config").write_text(text, encoding="utf-8")
    assert read_monitoring_config(tmp_path / "monitoring.config") == path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('prometheus_config { enable: true path: "m" }', "path is 'm', expected a path that starts with a slash"),
        ("prometheus_config { enabled: true }", r'monitoring\.config:1:\d+ : .*"enabled"'),
    ],
)
def test_monitoring_configs_of_no_use(tmp_path, text, message):
    (tmp_path / "monitoring.config").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_monitoring_config(tmp_path / "monitoring.config")
