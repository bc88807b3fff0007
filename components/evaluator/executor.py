"""The Evaluator's executor, for baselines that may be absent."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.components.evaluator import executor
from tfx.types import standard_component_specs

from components.served_model.executor import is_nothing


class Executor(executor.Executor):
    """Drops a baseline that says that nothing is served; all else is TFX's."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See TFX's Evaluator."""
        key = standard_component_specs.BASELINE_MODEL_KEY
        there = {name: artifacts for name, artifacts in input_dict.items() if name != key}
        baselines = [model for model in input_dict.get(key, []) if not is_nothing(model)]
        super().Do(there | ({key: baselines} if baselines else {}), output_dict, exec_properties)
