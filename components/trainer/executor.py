"""TFX's generic Trainer executor, which tells `run_fn` where the earlier model is."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.components.trainer.executor import GenericExecutor
from tfx.types import artifact_utils
from tfx.utils import path_utils

WARM_MODEL = "warm_model"


class Executor(GenericExecutor):  # type: ignore[misc]
    """See `component.Trainer`."""

    def _GetFnArgs(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> Any:
        fn_args = super()._GetFnArgs(input_dict, output_dict, exec_properties)
        found = input_dict.get(WARM_MODEL)
        if found:
            path = path_utils.serving_model_path(artifact_utils.get_single_uri(found))
            fn_args.custom_config = {**(fn_args.custom_config or {}), WARM_MODEL: path}
        return fn_args
