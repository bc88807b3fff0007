"""TFX's Trainer with one more input: the earlier model of its stage that training starts from."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.proto import trainer_pb2
from tfx.types import standard_artifacts, standard_component_specs
from tfx.types.component_spec import ChannelParameter
from tfx.utils import json_utils

from components.trainer.executor import WARM_MODEL, Executor


class TrainerSpec(standard_component_specs.TrainerSpec):  # type: ignore[misc]
    """As TFX's, with the input `warm_model`, which may be absent and may be empty."""

    INPUTS = {
        **standard_component_specs.TrainerSpec.INPUTS,
        WARM_MODEL: ChannelParameter(type=standard_artifacts.Model, optional=True),
    }


class Trainer(base_component.BaseComponent):  # type: ignore[misc]
    """Trains a model by a `run_fn`, as TFX's Trainer does.

    TFX's has one input for an earlier model, `base_model`; that is what SEMINAR's stage takes the PSU by.
    """

    SPEC_CLASS = TrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        run_fn: str,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        custom_config: dict[str, Any],
        base_model: types.BaseChannel | None = None,
        warm_model: types.BaseChannel | None = None,
    ) -> None:
        """Args:
        run_fn: import path of the function.
        examples: transformed.
        transform_graph: whose vocabularies the examples' ids are of.
        custom_config: what `run_fn` reads.
        base_model: the model of the stage before; None for the first.
        warm_model: the earlier model of this stage; its path is `custom_config["warm_model"]` in `run_fn`, where the
          channel is given and not empty.
        """
        super().__init__(
            spec=TrainerSpec(
                run_fn=run_fn,
                examples=examples,
                transform_graph=transform_graph,
                base_model=base_model,
                warm_model=warm_model,
                train_args=trainer_pb2.TrainArgs(splits=["train"]),
                eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
                custom_config=json_utils.dumps(custom_config),
                model=types.Channel(type=standard_artifacts.Model),
                model_run=types.Channel(type=standard_artifacts.ModelRun),
            )
        )
