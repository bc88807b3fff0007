"""The gateway's image: versions of the locks, files that are there, nothing of TensorFlow; and its health probe."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent import futures

import grpc
import pytest
from click.testing import CliRunner
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from setuptools import find_packages

from serving.deploy import health_probe
from tests.serving.deploy_files import DEPLOY, ROOT

DOCKERFILE = (DEPLOY / "gateway/Dockerfile").read_text(encoding="utf-8")
LOCKS = sorted((ROOT / "locks").glob("*.txt"))


def pins(text):
    return dict(re.findall(r"^([\w.-]+)==(\S+)$", text.lower(), re.MULTILINE))


def test_versions_are_those_of_the_lock_of_the_images_python():
    python = re.search(r"^FROM python:(\d+)\.(\d+)-slim$", DOCKERFILE, re.MULTILINE)
    (lock,) = (path for path in LOCKS if path.stem.endswith(f"-py{python[1]}{python[2]}"))
    wanted, locked = pins((DEPLOY / "gateway/requirements.txt").read_text()), pins(lock.read_text())
    assert wanted == {name: locked[name] for name in wanted}
    assert not [name for name in wanted if name.startswith(("tensor", "tf-", "tfx", "keras"))]
    assert {"grpcio", "redis", "prometheus-client", "numpy"} <= set(wanted)


def test_what_the_image_copies_is_there_and_not_ignored():
    ignored = (DEPLOY / "gateway/Dockerfile.dockerignore").read_text().split()
    sources = [word for line in re.findall(r"^COPY (.*)$", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]]
    assert {"setup.py", "pyproject.toml", "seminar_tf", "serving"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source.split('/')[0]}" in ignored, source
    assert re.search(r"^USER 65532:65532$", DOCKERFILE, re.MULTILINE), "the manifests' runAsUser"


def test_the_package_carries_the_files_of_deploy():
    text = (ROOT / "setup.py").read_text(encoding="utf-8")
    patterns = re.findall(r'"([^"]+)"', re.search(r'"serving\.deploy": \[(.*?)\]', text, re.DOTALL)[1])
    carried = {path for pattern in patterns for path in DEPLOY.glob(pattern) if path.is_file()}
    files = {path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert files and carried == files, files ^ carried
    assert "serving.deploy" in find_packages(str(ROOT), include=["serving*"])


@pytest.mark.parametrize("module", ["serving.deploy.ssl_config", "serving.deploy.health_probe", "serving.config_files"])
def test_no_tensorflow_is_imported(module):
    code = f"import sys, {module}; print(sorted({{'tensorflow', 'keras', 'tfx'}} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.fixture
def health_server():
    server = grpc.server(futures.ThreadPoolExecutor(2), options=(("grpc.so_reuseport", 0),))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"127.0.0.1:{port}"
    server.stop(0).wait()


def test_probe(health_server):
    servicer, address = health_server
    run = CliRunner().invoke
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    servicer.set("other", health_pb2.HealthCheckResponse.NOT_SERVING)
    assert run(health_probe.command, [address]).exit_code == 0
    result = run(health_probe.command, [address, "--service", "other"])
    assert (result.exit_code, result.output) == (1, f"{address}: NOT_SERVING\n")
    result = run(health_probe.command, [address, "--service", "unheard"])
    assert result.exit_code == 1 and "NOT_FOUND" in result.output


def test_probe_of_a_server_that_is_not_there():
    result = CliRunner().invoke(health_probe.command, ["127.0.0.1:1", "--timeout", "0.2"])
    assert result.exit_code == 1
    assert "DEADLINE_EXCEEDED" in result.output or "UNAVAILABLE" in result.output
