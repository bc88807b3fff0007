"""The Trainers' `run_fn` in a Vertex Training job, where artifacts have gs:// addresses and buckets lie at /gcs."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import seminar_tf  # noqa: F401  (settles the Keras version before TensorFlow loads)
from pipelines.kubeflow.storage import Staging, StorageError, local_path


def psu_run_fn(fn_args: Any) -> None:
    """See `pipelines.trainers.psu.run_fn`."""
    from pipelines.trainers import psu

    run_translated(psu.run_fn, fn_args)


def seminar_run_fn(fn_args: Any) -> None:
    """See `pipelines.trainers.seminar.run_fn`."""
    from pipelines.trainers import seminar

    run_translated(seminar.run_fn, fn_args)


def run_translated(run_fn: Callable[[Any], None], fn_args: Any) -> None:
    """Calls a `run_fn` with files in place of addresses, and copies what it wrote to where TFX looks for it.

    Args:
      run_fn: of a Trainer.
      fn_args: tfx.components.FnArgs with gs:// addresses.

    Raises:
      StorageError: the transform graph or the base model is not there, or the chief wrote no model.
    """
    with tempfile.TemporaryDirectory(prefix="seminar-") as scratch:
        staging = Staging(scratch)
        local = copy.copy(fn_args)
        local.train_files = [local_path(pattern) for pattern in fn_args.train_files]
        local.eval_files = [local_path(pattern) for pattern in fn_args.eval_files or []]
        local.transform_graph_path = staging.read(fn_args.transform_graph_path, "transform_graph")
        if fn_args.base_model:
            local.base_model = staging.read(fn_args.base_model, "base_model")
        # Of several machines only the chief writes any.
        local.serving_model_dir = staging.write(fn_args.serving_model_dir)
        local.model_run_dir = staging.write(fn_args.model_run_dir)
        run_fn(local)
        staging.publish()
    _await(local_path(fn_args.serving_model_dir))


def _await(folder: str, seconds: float = 1800.0, pause: float = 5.0) -> None:
    """Waits until the chief's model is there: TFX calls a worker failed that ends before."""
    deadline = time.monotonic() + seconds
    while not Path(folder).exists():
        if time.monotonic() > deadline:
            raise StorageError(f"{folder}: no model after {seconds:.0f} s. Look into the chief's log.")
        time.sleep(pause)
