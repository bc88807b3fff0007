"""Whether a configuration has what an engine needs, asked before anything is compiled."""

from __future__ import annotations

from seminar_tf.config import KubeflowConfig, PipelineConfig
from seminar_tf.config_io import check

ENGINES = ("kubeflow", "vertex")
_SCHEMES = {"kubeflow": ("gs://", "s3://", "minio://"), "vertex": ("gs://",)}


def check_config(config: PipelineConfig, engine: str) -> None:
    """Refuses a configuration that could be compiled but not run.

    Raises:
      ConfigError: a key lacks a value that the engine needs, or has one that it cannot use.
    """
    check(engine in ENGINES, "engine", engine, f"one of {', '.join(ENGINES)}")
    legal = config.name == config.name.lower() and "_" not in config.name and config.name[0].isalnum()
    check(legal, "name", config.name, f"small letters, digits and - for engine {engine}")
    kubeflow = config.kubeflow
    for key in ("image", "data_path"):
        check(bool(getattr(kubeflow, key)), f"kubeflow.{key}", getattr(kubeflow, key), f"a value for engine {engine}")
    schemes = _SCHEMES[engine]
    rooted = kubeflow.pipeline_root.startswith(schemes)
    check(rooted, "kubeflow.pipeline_root", kubeflow.pipeline_root, f"an address with {' or '.join(schemes)}")
    wanted = "direct: components read files that only their own container sees"
    check(config.beam.runner == "direct", "beam.runner", config.beam.runner, wanted)
    # TFX compiles no resolver strategies of our own.
    refused = (
        ("continuous.warm_start", config.continuous.warm_start, "off"),
        ("drift.action", config.drift.action, "off"),
    )
    for key, value, only in refused:
        check(value == only, key, value, f"{only}, as engine is {engine}: it is for the local runner")
    if engine == "kubeflow":
        _check_kubeflow(kubeflow)
    else:
        _check_vertex(kubeflow)


def _check_kubeflow(kubeflow: KubeflowConfig) -> None:
    for key in ("data_path", "push_dir"):
        path = getattr(kubeflow, key)
        on_volume = any(path == v.path or path.startswith(v.path.rstrip("/") + "/") for v in kubeflow.volumes)
        check(on_volume, f"kubeflow.{key}", path, "a folder below one of kubeflow.volumes")
    unused = (
        ("training.enabled", kubeflow.vertex.training.enabled),
        ("prediction.endpoint", kubeflow.vertex.prediction.endpoint),
    )
    for key, value in unused:
        check(not value, f"kubeflow.vertex.{key}", value, "nothing, as engine is kubeflow")


def _check_vertex(kubeflow: KubeflowConfig) -> None:
    check(kubeflow.data_path.startswith("gs://"), "kubeflow.data_path", kubeflow.data_path, "gs:// and a path")
    check(not kubeflow.volumes, "kubeflow.volumes", [v.claim for v in kubeflow.volumes], "none, as engine is vertex")
    if not kubeflow.vertex.prediction.endpoint:
        sound = kubeflow.push_dir.startswith("gs://")
        check(sound, "kubeflow.push_dir", kubeflow.push_dir, "gs:// and a path, or vertex.prediction.endpoint")
