"""The compiled pipeline for Kubeflow and Vertex, and its containers' entrypoint, run on components of it."""

from __future__ import annotations

import functools
import importlib
import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

import seminar_tf  # noqa: F401

# isort: split
from tfx.components.evaluator import executor as tfx_evaluator
from tfx.orchestration.kubeflow.v2 import compiler_utils
from tfx.types import standard_artifacts
from tfx.utils import import_utils

from components.evaluator.executor import Executor as EvaluatorExecutor
from components.served_model.executor import NOTHING_FILE
from pipelines.beam_arguments import beam_arguments
from pipelines.kubeflow import spec as specification
from pipelines.kubeflow import vertex
from pipelines.kubeflow.entrypoint import ARTIFACT_TYPES
from pipelines.kubeflow.storage import ROOT_VARIABLE, StorageError
from pipelines.kubeflow_runner import compile_pipeline, write_package
from pipelines.pipeline import create_pipeline
from seminar_tf.cli.compile import command
from seminar_tf.config import PipelineConfig
from seminar_tf.config.kubeflow import COMPONENTS
from seminar_tf.config_io import from_yaml
from tests.components.ingest_tables import EVENTS, ITEMS, event, write
from tests.pipelines.kubeflow_launcher import Launcher

CONFIGS = Path(__file__).parents[2] / "pipelines" / "configs"
SERVICES = (
    "kubeflow.vertex.training={enabled: true, machine_type: n1-highmem-16, accelerator_type: NVIDIA_TESLA_V100,"
    " accelerator_count: 2, replicas: 3}",
    "kubeflow.vertex.prediction={endpoint: ranker, image: tf2-cpu, max_replicas: 4}",
    "kubeflow.vertex.service_account=robot",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A dataset of two spans, four users and three items."""
    path = tmp_path_factory.mktemp("data")
    for span in (1, 2):
        rows = [event(f"u{u}", 1000 * span + 10 * n + u, f"i{(u + n) % 3}") for u in range(4) for n in range(4)]
        write(path, span, "events", rows, EVENTS)
    items = [{"item_id": f"i{n}", "title": f"item {n}", "numeric_price": float(n)} for n in range(3)]
    write(path, 1, "items", items, ITEMS)
    return path


@pytest.fixture(scope="module")
def compiled(data):
    """Engine, overrides -> (configuration, PipelineJob as JSON), compiled once."""

    @functools.cache
    def make(engine, *overrides):
        config = from_yaml(PipelineConfig, CONFIGS / f"{engine}.yaml", (f"data.path={data}", *overrides))
        return config, compile_pipeline(config, engine)

    return make


CASES = pytest.mark.parametrize("engine, overrides", [("kubeflow", ()), ("vertex", ()), ("vertex", SERVICES)])


def spec_of(job):
    # ParseDict refuses what the protos do not have.
    json_format.ParseDict(job, pb.PipelineJob())
    return json_format.ParseDict(job["pipelineSpec"], pb.PipelineSpec())


@CASES
def test_components_and_their_order(compiled, engine, overrides):
    _, job = compiled(engine, *overrides)
    spec = spec_of(job)
    assert (spec.pipeline_info.name, spec.schema_version) == ("seminar", "2.1.0")
    expected = list(COMPONENTS)
    if engine == "vertex":
        at = expected.index("ServedModel")
        resolvers = ["LatestBlessedModel-model-blessing-resolver", "LatestBlessedModel-model-resolver"]
        expected[at : at + 1] = resolvers
    tasks = spec.root.dag.tasks
    assert set(tasks) == set(expected)
    for name, task in tasks.items():
        producers = {given.task_output_artifact.producer_task for given in task.inputs.artifacts.values()}
        assert producers <= {*task.dependent_tasks, *(p for p in producers if "resolver" in p)}, name
        assert all(expected.index(producer) < expected.index(name) for producer in producers), name
    assert {"SEMINAR", "PSU", "Transform"} <= closure(tasks, "Quantizer")
    assert {"Evaluator", "RecallEvaluator", "Quantizer"} <= closure(tasks, "Pusher")
    assert "ServedModel" in closure(tasks, "Evaluator") or engine == "vertex"


def closure(tasks, name):
    direct = {given.task_output_artifact.producer_task for given in tasks[name].inputs.artifacts.values()}
    return direct.union(*(closure(tasks, producer) for producer in direct))


@CASES
def test_what_containers_name_can_be_imported(compiled, engine, overrides):
    _, job = compiled(engine, *overrides)
    spec = spec_of(job)
    for name, container in specification.containers(spec):
        module = container.command[-1]
        assert list(container.command[:2]) == ["python", "-m"]
        assert importlib.util.find_spec(module) is not None, module
        path = specification.executor_class(container)
        assert hasattr(import_utils.import_class_by_path(path), "Do"), path
        translated = module == specification.COMMAND[-1]
        assert translated != path.startswith(vertex.EXTENSION), name
        parameters = spec.root.dag.tasks[name].inputs.parameters
        for key in ("run_fn", "preprocessing_fn", "module_path"):
            if key in parameters and parameters[key].runtime_value.constant.string_value:
                dotted = parameters[key].runtime_value.constant.string_value
                parent, _, last = dotted.rpartition(".")
                found = importlib.import_module(parent if key != "module_path" else dotted)
                assert key == "module_path" or callable(getattr(found, last)), dotted
        driver = list(container.lifecycle.pre_cache_check.command)
        assert bool(driver) == (engine == "vertex" and name == "BehaviorExampleGen")
        assert not driver or importlib.util.find_spec(driver[-1]) is not None


@CASES
def test_arguments_are_complete(compiled, engine, overrides):
    config, job = compiled(engine, *overrides)
    spec = spec_of(job)
    for name, container in specification.containers(spec):
        arguments = list(container.args)
        assert arguments[arguments.index("--json_serialized_invocation_args") + 1] == "{{$}}"
        assert set(beam_arguments(config.beam)) <= set(arguments) or name not in ("BehaviorExampleGen", "StatisticsGen")
        component = spec.components[name]
        declared = json.loads(arguments[arguments.index("--json_serialized_inputs_spec_args") + 1])
        assert declared == json_format.MessageToDict(component.input_definitions), name
        task = spec.root.dag.tasks[name]
        assert set(task.inputs.parameters) == set(component.input_definitions.parameters), name
        for key, given in task.inputs.parameters.items():
            kind = given.WhichOneof("kind")
            if kind == "component_input_parameter":
                assert given.component_input_parameter in spec.root.input_definitions.parameters
            else:
                assert given.runtime_value.WhichOneof("value") == "constant", (name, key)
        definitions = [
            *component.input_definitions.artifacts.values(),
            *component.output_definitions.artifacts.values(),
        ]
        for definition in definitions:
            title = yaml.safe_load(definition.artifact_type.instance_schema)["title"]
            assert title in compiler_utils.TITLE_TO_CLASS_PATH or title in ARTIFACT_TYPES, title
    for path in ARTIFACT_TYPES.values():
        import_utils.import_class_by_path(path)


def test_images_resources_retries_and_cache(compiled):
    config, job = compiled("kubeflow")
    spec = spec_of(job)
    found = dict(specification.containers(spec))
    assert set(found) == set(COMPONENTS)
    for name, container in found.items():
        given = config.kubeflow.resources_of(name)
        on_gpu = name in ("PSU", "SEMINAR")
        assert container.image == ("seminar-pipeline-gpu:latest" if on_gpu else "seminar-pipeline:latest")
        assert (container.resources.cpu_limit, container.resources.cpu_request) == (given.cpu, given.cpu)
        assert (container.resources.memory_limit, container.resources.memory_request) == (given.memory_gb,) * 2
        accelerator = container.resources.accelerator
        assert (accelerator.type, accelerator.count) == (("nvidia.com/gpu", 1) if on_gpu else ("", 0))
        assert {variable.name: variable.value for variable in container.env} == {"TF_USE_LEGACY_KERAS": "1"}
        policy = spec.root.dag.tasks[name].retry_policy
        assert (policy.max_retry_count, policy.backoff_duration.seconds, policy.backoff_factor) == (2, 60, 2.0)
        assert policy.backoff_max_duration.seconds == 3600
        cached = spec.root.dag.tasks[name].caching_options.enable_cache
        assert cached == (name not in ("BehaviorExampleGen", "ServedModel")), name
    accelerator = dict(specification.containers(spec_of(compiled("vertex")[1])))["PSU"].resources.accelerator
    assert (accelerator.type, accelerator.count) == ("NVIDIA_TESLA_T4", 1)


def test_parameters_of_a_run(compiled, data):
    for engine, path in (("kubeflow", "/mnt/seminar/data"), ("vertex", "gs://my-bucket/seminar/data")):
        config, job = compiled(engine)
        parameters = job["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]
        assert {name: given["defaultValue"] for name, given in parameters.items()} == {
            "data_path": path,
            "span_range": "",
        }
        assert job["runtimeConfig"]["gcsOutputDirectory"] == config.kubeflow.pipeline_root
        # Nothing of the machine that compiled.
        assert str(data) not in json.dumps(job)
        assert str(CONFIGS.parents[1]) not in json.dumps(job)


def test_the_package_for_kubeflow_is_a_pipeline_and_a_platform(compiled, tmp_path):
    config, job = compiled("kubeflow")
    path = write_package(job, config, "kubeflow", tmp_path / "deep" / "pipeline.yaml")
    first, second = yaml.safe_load_all(path.read_text())
    spec = json_format.ParseDict(first, pb.PipelineSpec())
    assert spec.default_pipeline_root == "minio://mlpipeline/seminar"
    platform = json_format.ParseDict(second, pb.PlatformSpec())
    executors = json_format.MessageToDict(platform.platforms["kubernetes"].deployment_spec)["executors"]
    labels = {spec.components[name].executor_label for name in COMPONENTS}
    assert set(executors) == labels == set(specification.deployment_of(spec).executors)
    for name in COMPONENTS:
        settings = executors[spec.components[name].executor_label]
        assert settings["pvcMount"] == [{"constant": "seminar", "mountPath": "/mnt/seminar"}]
        tolerated = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
        assert settings.get("tolerations", []) == (tolerated if name in ("PSU", "SEMINAR") else [])


def test_vertex_services(compiled):
    config, job = compiled("vertex", *SERVICES)
    spec = spec_of(job)
    constants = importlib.import_module(f"{vertex.EXTENSION}constants")
    trainer = importlib.import_module(f"{vertex.EXTENSION}trainer.executor")
    assert vertex.ENABLE_KEY == constants.ENABLE_VERTEX_KEY and vertex.REGION_KEY == constants.VERTEX_REGION_KEY
    assert vertex.SERVING_KEY == constants.SERVING_ARGS_KEY and vertex.TRAINING_KEY == trainer.TRAINING_ARGS_KEY
    assert vertex.SERVING_IMAGE_KEY == constants.VERTEX_CONTAINER_IMAGE_URI_KEY

    def custom(name):
        return json.loads(
            spec.root.dag.tasks[name].inputs.parameters["custom_config"].runtime_value.constant.string_value
        )

    job_spec = custom("PSU")[vertex.TRAINING_KEY]["job_spec"]
    machine = {"machine_type": "n1-highmem-16", "accelerator_type": "NVIDIA_TESLA_V100", "accelerator_count": 2}
    assert [pool["replica_count"] for pool in job_spec["worker_pool_specs"]] == [1, 2]
    for pool in job_spec["worker_pool_specs"]:
        assert pool["machine_spec"] == machine
        assert pool["container_spec"]["image_uri"] == "seminar-pipeline-gpu:latest"
    assert job_spec["service_account"] == "robot"
    assert custom("SEMINAR")[vertex.REGION_KEY] == "europe-west4"
    serving = custom("Pusher")
    assert serving[vertex.SERVING_IMAGE_KEY] == "tf2-cpu"
    assert serving[vertex.SERVING_KEY] == vertex.serving_arguments(config.kubeflow.vertex)
    assert (serving[vertex.SERVING_KEY]["project"], serving[vertex.SERVING_KEY]["max_replica_count"]) == (
        "my-project",
        4,
    )


def test_the_command_writes_a_package(data, tmp_path):
    out = tmp_path / "package.json"
    options = ["--engine", "vertex", "--config", str(CONFIGS / "vertex.yaml"), "--data", str(data), "--out", str(out)]
    result = CliRunner().invoke(command, [*options, "--set", "kubeflow.image=mine:1"])
    assert result.exit_code == 0, result.output
    assert "13 tasks, image mine:1" in result.output
    job = json.loads(out.read_text())
    assert spec_of(job).sdk_version.startswith("tfx-")
    assert job["runtimeConfig"]["gcsOutputDirectory"] == "gs://my-bucket/seminar/root"


def test_the_local_pipeline_has_the_nodes_that_only_one_machine_can_run(data, tmp_path):
    config = from_yaml(PipelineConfig, CONFIGS / "tiny.yaml", (f"data.path={data}", f"root={tmp_path}"))
    nodes = [node.id for node in create_pipeline(config).components]
    local = {"DatasetSchema": "ImportSchemaGen", "ServedModel": "LatestBlessedModel"}
    assert sorted(nodes) == sorted(local.get(name, name) for name in COMPONENTS)


@pytest.fixture
def mounts(monkeypatch, tmp_path):
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "mounts"))
    return tmp_path / "mounts"


def test_components_run_through_the_containers_command(compiled, data, mounts, tmp_path):
    newest = json.dumps({"staticRange": {"startSpanNumber": 1, "endSpanNumber": 1}})
    _, job = compiled("kubeflow", f"kubeflow.push_dir=/mnt/seminar/none-{tmp_path.name}", "data.partitions=2")
    launcher = Launcher(job, "minio://bucket/root", tmp_path, data_path=str(data), span_range=newest)
    schema = launcher.run("DatasetSchema")["schema_file"]
    assert schema["uri"] == "minio://bucket/root/DatasetSchema/schema_file"
    assert "history_item_id" in (mounts / "minio/bucket/root/DatasetSchema/schema_file/schema.pbtxt").read_text()
    examples = launcher.run("BehaviorExampleGen")["examples"]
    assert examples["uri"] == "minio://bucket/root/BehaviorExampleGen/examples"
    # The driver ran, and took the span that the run asked for: 16 events of 4 users, not 32.
    assert examples["metadata"]["accepted_events"] == 16
    folder = mounts / "minio/bucket/root/BehaviorExampleGen/examples"
    assert {f"Split-{split}" for split in ("train", "eval", "test", "catalog", "queries")} <= {
        child.name for child in folder.iterdir()
    }
    model = launcher.run("ServedModel")["model"]
    assert (mounts / "minio/bucket/root/ServedModel/model" / NOTHING_FILE).exists() and model["uri"].startswith("minio")
    launcher.outputs["BehaviorExampleGen"]["examples"]["uri"] += "-gone"
    with pytest.raises(StorageError, match="input examples: minio://bucket/root/BehaviorExampleGen/examples-gone is"):
        launcher.run("StatisticsGen")


def test_the_evaluator_drops_a_baseline_that_is_nothing(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(tfx_evaluator.Executor, "Do", lambda self, inputs, outputs, properties: seen.append(inputs))
    baseline = standard_artifacts.Model()
    baseline.uri = str(tmp_path)
    inputs = {"model": [standard_artifacts.Model()], "baseline_model": [baseline]}
    executor = EvaluatorExecutor()
    executor.Do(inputs, {}, {})
    (tmp_path / NOTHING_FILE).write_text("")
    executor.Do(inputs, {}, {})
    executor.Do({"model": inputs["model"]}, {}, {})
    assert [sorted(given) for given in seen] == [["baseline_model", "model"], ["model"], ["model"]]
