"""The Kubernetes manifests: each field against the API's models, and the objects against each other."""

from __future__ import annotations

import copy
import itertools

import pytest

from serving.config_files import MonitoringConfig, read
from tests.serving import kubernetes_schema as schema
from tests.serving.deploy_files import (
    COMPONENTS,
    DEPLOY,
    KUBERNETES,
    OVERLAYS,
    containers,
    documents,
    one,
    overlay,
    pod_spec,
)
from tests.serving.test_deploy_protos import models

SITES = [(name, chosen) for name in OVERLAYS for chosen in ((), *((c,) for c in COMPONENTS), COMPONENTS)]
# Of a kustomization, what our files use.
KUSTOMIZATION = {
    "apiVersion": str,
    "kind": str,
    "resources": list,
    "images": list,
    "patches": list,
    "configMapGenerator": list,
    "generatorOptions": dict,
}


@pytest.fixture(params=SITES, ids=lambda site: "+".join((site[0], *site[1])))
def site(request):
    return overlay(*request.param)


def templates(site):
    """(workload, its pods' labels) of a site."""
    found = [(d, d["spec"]["template"]["metadata"]["labels"]) for d in site if pod_spec(d)]
    assert len(found) == 3
    return found


def selects(selector, labels):
    return selector and all(labels.get(key) == value for key, value in selector.items())


def test_every_field_is_one_of_the_api(site):
    for document in site:
        schema.check(document)
    names = [(d["kind"], d["metadata"]["name"]) for d in site]
    assert len(names) == len(set(names))
    # Any namespace, and every object says that it is ours.
    assert not any("namespace" in d["metadata"] for d in site)
    assert all(
        d["metadata"]["labels"]["app.kubernetes.io/part-of"] == "seminar" for d in site if d["kind"] != "ConfigMap"
    )


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("spec", "replica"), 2, "has no field replica"),
        (("spec", "template", "spec", "containers", 0, "image"), 7, "expected str"),
        (("spec", "template", "spec", "containers", 0, "readinessProbe", "grpc"), {"service": ""}, "port"),
        (("spec", "template", "spec", "containers", 0, "resources", "requests", "cpu"), 2, "expected str"),
        (("spec", "template", "spec", "containers", 0, "resources", "limits", "memory"), "8 GB", "quantities"),
        (("spec", "selector"), None, "selector"),
        (("spec", "strategy", "rollingUpdate", "maxUnavailable"), 1.5, "an integer or a string"),
    ],
)
def test_the_check_finds_mistakes(path, value, message):
    broken = copy.deepcopy(one(overlay("cpu"), "Deployment", "tf-serving"))
    parent = broken
    for key in path[:-1]:
        parent = parent[key]
    if value is None:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    with pytest.raises(schema.SchemaError, match=message):
        schema.check(broken)


def test_kustomizations_hold_what_kustomize_knows():
    files = sorted([*KUBERNETES.rglob("kustomization.yaml"), DEPLOY / "config/kustomization.yaml"])
    assert len(files) == 2 + len(OVERLAYS) + len(COMPONENTS)
    for path in files:
        (found,) = documents(path)
        assert all(isinstance(found[key], KUSTOMIZATION[key]) for key in found), path
        component = "components" in path.parts
        assert found["kind"] == ("Component" if component else "Kustomization")
        assert found["apiVersion"] == f"kustomize.config.k8s.io/v1{'alpha1' if component else 'beta1'}"
        # kustomize reads no file from outside of its folder; folders with a kustomization of their own it does.
        for resource in found.get("resources", []):
            target = (path.parent / resource).resolve()
            assert (target / "kustomization.yaml").is_file() or target.parent == path.parent, resource


def test_pods_refer_to_what_is_there(site):
    configs = {d["metadata"]["name"]: d["data"] for d in site if d["kind"] == "ConfigMap"}
    claims = {d["metadata"]["name"] for d in site if d["kind"] == "PersistentVolumeClaim"}
    for workload, labels in templates(site):
        spec = pod_spec(workload)
        assert selects(workload["spec"]["selector"]["matchLabels"], labels)
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        volumes |= {claim["metadata"]["name"]: {} for claim in workload["spec"].get("volumeClaimTemplates", [])}
        mounted = {mount["name"] for c in spec["containers"] for mount in c["volumeMounts"]}
        assert mounted == set(volumes)
        for volume in volumes.values():
            assert volume.get("configMap", {"name": "tf-serving-config"})["name"] in configs
            assert volume.get("persistentVolumeClaim", {"claimName": "models"})["claimName"] in claims


def test_pods_are_locked_down_and_probed(site):
    for workload, _ in templates(site):
        spec = pod_spec(workload)
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        (container,) = spec["containers"]
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"] and "cpu" in container["resources"]["requests"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            (target,) = (
                container[probe][kind] for kind in ("grpc", "httpGet", "tcpSocket", "exec") if kind in container[probe]
            )
            port = target.get("port")
            assert port is None or port in ports or port in ports.values()
            assert container[probe]["timeoutSeconds"] <= container[probe]["periodSeconds"]
        # The liveness probe must be the more patient one, or a busy server is killed before it is spared.
        live, ready = (
            container[p]["periodSeconds"] * container[p]["failureThreshold"]
            for p in ("livenessProbe", "readinessProbe")
        )
        assert live > 5 * ready
        hook = container.get("lifecycle", {}).get("preStop", {}).get("exec", {"command": ["sleep", "0"]})["command"]
        assert hook[0] == "sleep" and int(hook[1]) + 10 <= spec["terminationGracePeriodSeconds"]


def test_a_rollout_takes_no_capacity_away(site):
    for name in ("tf-serving", "gateway"):
        deployment = one(site, "Deployment", name)["spec"]
        assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        assert one(site, "PodDisruptionBudget", name)["spec"]["selector"] == deployment["selector"]
    (container,) = containers(one(site, "Deployment", "tf-serving"))
    startup = container["startupProbe"]
    serving = one(site, "Deployment", "tf-serving")["spec"]
    assert startup["periodSeconds"] * startup["failureThreshold"] < serving["progressDeadlineSeconds"]
    scaler = one(site, "HorizontalPodAutoscaler", "tf-serving")["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "tf-serving"}
    assert 2 <= scaler["minReplicas"] < scaler["maxReplicas"]
    assert "replicas" not in serving, "each `apply` would undo what the autoscaler did"


def test_services_reach_pods_and_are_headless(site):
    for service in (d for d in site if d["kind"] == "Service"):
        spec = service["spec"]
        (workload,) = (w for w, labels in templates(site) if selects(spec["selector"], labels))
        named = {port["name"]: port["containerPort"] for c in containers(workload) for port in c["ports"]}
        assert {port["targetPort"]: port["port"] for port in spec["ports"]} == named
        assert spec["clusterIP"] == "None"


def test_network_policies_fit_the_pods(site):
    policies = [d["spec"] for d in site if d["kind"] == "NetworkPolicy"]
    assert len(policies) == 3
    for policy in policies:
        (workload,) = (w for w, labels in templates(site) if selects(policy["podSelector"]["matchLabels"], labels))
        ports = {port["containerPort"] for c in containers(workload) for port in c["ports"]}
        assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} == ports
        assert all(rule["from"] for rule in policy["ingress"]), "an empty `from` lets in everybody"
    # Who the gateway calls lets it in.
    gateway = dict(templates(site)[1][1])
    assert gateway["app.kubernetes.io/name"] == "gateway"
    for name, port in (("tf-serving", 8500), ("redis", 6379)):
        rules = one(site, "NetworkPolicy", name)["spec"]["ingress"]
        peers = [peer for rule in rules if {"port": port, "protocol": "TCP"} in rule["ports"] for peer in rule["from"]]
        assert any(selects(peer.get("podSelector", {}).get("matchLabels"), gateway) for peer in peers)


def test_the_server_finds_its_files_and_models(site):
    (container,) = containers(one(site, "Deployment", "tf-serving"))
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    (model,) = models().model_config_list.config
    root, _, _ = model.base_path.rpartition("/")
    assert mounts[root]["name"] == "models" and mounts[root]["readOnly"]
    data = one(site, "ConfigMap", "tf-serving-config")["data"]
    assert set(data) == {path.name for path in (DEPLOY / "config").glob("*.config")}
    assert mounts["/config"]["name"] == "config" and "subPath" not in mounts["/config"], "subPath is never updated"
    for word in container["args"]:
        if word.startswith("--") and "=/config/" in word:
            assert word.rpartition("/")[2] in data
    metrics = one(site, "Deployment", "tf-serving")["spec"]["template"]["metadata"]["annotations"]
    path = read(DEPLOY / "config/monitoring.config", MonitoringConfig()).prometheus_config.path
    assert (metrics["prometheus.io/port"], metrics["prometheus.io/path"]) == ("8501", path)


def test_the_gpu_overlay_asks_for_a_gpu_and_the_cpu_one_does_not():
    for name, wanted in (("gpu", {"nvidia.com/gpu": "1", "memory": "8Gi"}), ("cpu", {"memory": "8Gi"})):
        deployment = one(overlay(name), "Deployment", "tf-serving")
        (container,) = containers(deployment)
        assert container["resources"]["limits"] == wanted
        assert container["image"].endswith("-gpu") == (name == "gpu")
        environment = {entry["name"]: entry["value"] for entry in container["env"]}
        assert environment.get("CUDA_CACHE_PATH", "/cache/none").startswith("/cache/")
        assert ("CUDA_CACHE_PATH" in environment) == (name == "gpu")
        assert bool(pod_spec(deployment).get("tolerations")) == (name == "gpu")


def test_components_do_what_they_say():
    plain = containers(one(overlay("cpu"), "Deployment", "tf-serving"))[0]
    tls = containers(one(overlay("cpu", ("tls",)), "Deployment", "tf-serving"))[0]
    assert "grpc" in plain["readinessProbe"] and "grpc" not in tls["readinessProbe"], "gRPC probes speak no TLS"
    (model,) = models().model_config_list.config
    assert tls["readinessProbe"]["httpGet"]["path"] == f"/v1/models/{model.name}"
    metrics = one(overlay("gpu", ("request-rate-scaling",)), "HorizontalPodAutoscaler", "tf-serving")["spec"]["metrics"]
    assert [metric["type"] for metric in metrics] == ["Resource", "Pods"]
    (rule,) = documents(KUBERNETES / "components/request-rate-scaling/adapter-rule.yaml")[0]["rules"]
    assert metrics[1]["pods"]["metric"]["name"] == rule["name"]["as"]
    monitors = [d for d in overlay("cpu", ("metrics-operator",)) if d["kind"] == "ServiceMonitor"]
    for monitor, site in itertools.product(monitors, [overlay("cpu")]):
        service = one(site, "Service", monitor["metadata"]["name"])
        assert selects(monitor["spec"]["selector"]["matchLabels"], service["metadata"]["labels"])
        assert {e["port"] for e in monitor["spec"]["endpoints"]} <= {p["name"] for p in service["spec"]["ports"]}


def test_redis_writes_before_it_says_yes():
    args = containers(one(overlay("cpu"), "StatefulSet", "redis"))[0]["args"]
    settings = dict(zip(args[::2], args[1::2]))
    assert settings["--appendonly"] == "yes" and settings["--appendfsync"] == "always"
    assert settings["--maxmemory-policy"] == "noeviction" and settings["--dir"] == "/data"
    assert one(overlay("cpu"), "StatefulSet", "redis")["spec"]["replicas"] == 1
