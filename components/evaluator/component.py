"""TFX's Evaluator, whose baseline may be a ServedModel."""

from __future__ import annotations

from tfx.components import Evaluator as TfxEvaluator
from tfx.dsl.components.base import executor_spec

from components.evaluator.executor import Executor


class Evaluator(TfxEvaluator):
    """Evaluates without a baseline where ServedModel found none; the arguments are those of TFX's Evaluator."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
