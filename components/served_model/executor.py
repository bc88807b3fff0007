"""The executor of ServedModel."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from seminar_tf.export.versions import list_versions

_LOG = logging.getLogger(__name__)

# In an artifact that holds no model. An empty one could not be told from one that was lost on the way.
NOTHING_FILE = "nothing-is-served.txt"


class Executor(base_executor.BaseExecutor):
    """Copies the newest version, or writes that there is none."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See ServedModel."""
        self._log_startup(input_dict, output_dict, exec_properties)
        base = Path(exec_properties["directory"])
        artifact = artifact_utils.get_single_instance(output_dict["model"])
        versions = list_versions(base)
        if not versions:
            _LOG.warning("%s holds no version yet: the Evaluator has no baseline.", base)
            Path(artifact.uri).mkdir(parents=True, exist_ok=True)
            (Path(artifact.uri) / NOTHING_FILE).write_text(f"no version in {base}\n", encoding="utf-8")
            return
        newest = base / str(versions[-1])
        shutil.copytree(newest, path_utils.serving_model_dir(artifact.uri), copy_function=shutil.copyfile)
        artifact.set_string_custom_property("version", str(versions[-1]))


def is_nothing(model: types.Artifact) -> bool:
    """Whether ServedModel wrote that nothing is served."""
    return (Path(model.uri) / NOTHING_FILE).exists()
