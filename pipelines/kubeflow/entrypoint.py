"""What a container runs: TFX's own entrypoint for one component, between two translations.

Before it, artifact URIs become files (`storage`), and the driver of a file-based ExampleGen runs if the platform has
not run it: Vertex does so before it looks into its cache, Kubeflow never does. After it, outputs are copied to where
the platform expects them and their URIs are written back.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import seminar_tf  # noqa: F401  (settles the Keras version before TFX loads TensorFlow)

# isort: split
from tfx.components.example_gen.base_example_gen_executor import BaseExampleGenExecutor
from tfx.orchestration.kubeflow.v2 import compiler_utils
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor
from tfx.orchestration.kubeflow.v2.file_based_example_gen import driver
from tfx.types import standard_component_specs
from tfx.utils import import_utils, name_utils

from components.quantizer.artifacts import Codebook
from components.recall_evaluator.component import RecallEvaluation
from pipelines.kubeflow.storage import Staging, local_path

_LOG = logging.getLogger(__name__)

# TFX takes an unknown type's title for its import path, and allows only one dot in it: no module of a package fits.
ARTIFACT_TYPES = {kind.TYPE_NAME: name_utils.get_full_name(kind) for kind in (Codebook, RecallEvaluation)}


def run(argv: list[str]) -> None:
    """Runs one component.

    Args:
      argv: --executor_class_path, --json_serialized_invocation_args (an ExecutorInput),
        --json_serialized_inputs_spec_args (its ComponentInputsSpec), and Beam's arguments.

    Raises:
      StorageError: an input artifact is not there.
    """
    compiler_utils.TITLE_TO_CLASS_PATH.update(ARTIFACT_TYPES)
    args, beam_args = _parse(argv)
    invocation = json.loads(args.json_serialized_invocation_args)
    with tempfile.TemporaryDirectory(prefix="seminar-") as scratch:
        staging = Staging(scratch)
        output_file = local_path(invocation["outputs"]["outputFile"])
        staged_output = _stage(invocation, staging, Path(scratch), output_file)
        args.json_serialized_invocation_args = json.dumps(invocation)
        executor = import_utils.import_class_by_path(args.executor_class_path)
        if issubclass(executor, BaseExampleGenExecutor) and not staged_output.exists():
            # It writes the span into the file that the next line reads.
            driver.main(args)
        kubeflow_v2_run_executor.main((args, beam_args))
        staging.publish()
        written = staging.remote(json.loads(staged_output.read_text(encoding="utf-8")))
        Path(output_file).parent.mkdir(parents=True, exist_ok=True)
        Path(output_file).write_text(json.dumps(written), encoding="utf-8")


def _parse(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(prog="python -m pipelines.kubeflow.entrypoint", allow_abbrev=False)
    parser.add_argument("--executor_class_path", required=True)
    parser.add_argument("--json_serialized_invocation_args", required=True)
    parser.add_argument("--json_serialized_inputs_spec_args")
    return parser.parse_known_args(argv)


def _stage(invocation: dict[str, Any], staging: Staging, scratch: Path, output_file: str) -> Path:
    """Puts local paths into an ExecutorInput.

    Returns:
      The local file of its ExecutorOutput; it holds what the platform's run of a driver has written.
    """
    for name, listed in invocation.get("inputs", {}).get("artifacts", {}).items():
        for artifact in listed.get("artifacts", []):
            artifact["uri"] = staging.read(artifact["uri"], name)
    for listed in invocation["outputs"].get("artifacts", {}).values():
        for artifact in listed.get("artifacts", []):
            artifact["uri"] = staging.write(artifact["uri"])
    values = invocation.get("inputs", {}).get("parameterValues", {})
    if standard_component_specs.INPUT_BASE_KEY in values:
        values[standard_component_specs.INPUT_BASE_KEY] = local_path(values[standard_component_specs.INPUT_BASE_KEY])
    # TFX takes the folder's name for the execution's id, and puts Beam's temporary files beside.
    staged = scratch / (Path(output_file).parent.name or "execution") / Path(output_file).name
    staged.parent.mkdir(parents=True)
    if Path(output_file).exists():
        shutil.copyfile(output_file, staged)
    invocation["outputs"]["outputFile"] = str(staged)
    return staged


def main() -> None:
    """The container's command."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    run(sys.argv[1:])


if __name__ == "__main__":
    main()
