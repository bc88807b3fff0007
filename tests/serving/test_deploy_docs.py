"""What docs/deployment.md says of files, ports and versions is so, and its one long command gives what it should."""

from __future__ import annotations

import re
import subprocess

import yaml

from tests.serving.deploy_files import DEPLOY, PAGE, ROOT, alert_rules, compose, one, overlay, table


def test_paths_exist():
    paths = set(re.findall(r"(?<![\w/])(serving/deploy/[\w./-]*\w)", PAGE))
    assert {"serving/deploy/gateway/Dockerfile", "serving/deploy/kubernetes/overlays/gpu"} <= paths
    assert all((ROOT / path).exists() for path in paths), [path for path in paths if not (ROOT / path).exists()]
    for link in re.findall(r"\]\(([\w./-]+)\)", PAGE):
        assert (ROOT / "docs" / link).is_file(), link
    modules = {row[2].strip("`") for row in table("## What was run here, and what was not")}
    assert {path.stem for path in (ROOT / "tests/serving").glob("test_deploy_*.py")} - {"test_deploy_docs"} == modules
    for name in re.findall(r"python -m (serving\.[\w.]+)", PAGE):
        assert (ROOT / (name.replace(".", "/") + ".py")).is_file()


def test_the_table_of_ports_is_what_compose_opens():
    published = {
        int(port.split(":")[1])
        for service in compose("compose.yaml")["services"].values()
        for port in service.get("ports", [])
    }
    assert {int(row[0]) for row in table("## One host, with a GPU")} == published


def test_the_server_is_as_new_as_the_newest_exporter():
    inputs = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "locks").glob("*.in"))
    exporters = [tuple(map(int, found)) for found in re.findall(r"^tensorflow-cpu==(\d+)\.(\d+)", inputs, re.MULTILINE)]
    assert len(exporters) == 2
    image = compose("compose.yaml")["services"]["tf-serving"]["image"]
    found = re.fullmatch(r"tensorflow/serving:(\d+)\.(\d+)\.\d+", image)
    assert tuple(map(int, found.groups())) >= max(exporters)
    assert found[0].partition(":")[2] in PAGE


def test_the_times_of_a_pods_end_are_those_of_the_page():
    spec = one(overlay("gpu"), "Deployment", "tf-serving")["spec"]["template"]["spec"]
    ends = spec["terminationGracePeriodSeconds"]
    assert f"the kill after {ends} s" in PAGE
    _, slept = spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert f"longer than {ends - int(slept)} s" in PAGE


def test_the_command_for_the_operator_makes_a_rule_object():
    block = re.search(r"^    (\(printf .*?) \| kubectl apply", PAGE, re.DOTALL | re.MULTILINE)[1]
    result = subprocess.run(["bash", "-c", block], cwd=ROOT, capture_output=True, text=True, check=True)
    made = yaml.safe_load(result.stdout)
    assert (made["apiVersion"], made["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert [rule for group in made["spec"]["groups"] for rule in group["rules"]] == alert_rules()


def test_no_key_and_no_address_of_a_registry_in_the_files():
    for path in (p for p in DEPLOY.rglob("*") if p.is_file() and p.suffix != ".pyc"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"-----BEGIN [A-Z ]*KEY-----\n", text), path
        assert not re.search(r"\b[\w-]+(\.[\w-]+)*\.(io|com|dev)/[\w-]+/[\w-]+[:@]", text), path
