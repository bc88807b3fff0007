"""RecallEvaluator, between the Quantizer and the Pusher."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import artifact, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.recall_evaluator.executor import Executor
from seminar_tf.config import RetrievalConfig
from seminar_tf.config_io import to_json


class RecallEvaluation(artifact.Artifact):
    """`recall.json`: Recall@K and NDCG@10 lost, over all eval requests asked and by history length."""

    TYPE_NAME = "seminar.RecallEvaluation"


class RecallEvaluatorSpec(ComponentSpec):
    """Parameters: `retrieval`, `seed`, `code`. Inputs: `examples`, `model`, `served_model`. Outputs: `recall`,
    `blessing`."""

    PARAMETERS = {
        "retrieval": ExecutionParameter(type=str),
        "seed": ExecutionParameter(type=int),
        "code": ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "model": ChannelParameter(type=standard_artifacts.Model),
        "served_model": ChannelParameter(type=standard_artifacts.Model),
    }
    OUTPUTS = {
        "recall": ChannelParameter(type=RecallEvaluation),
        "blessing": ChannelParameter(type=standard_artifacts.InfraBlessing),
    }


class RecallEvaluator(base_component.BaseComponent):
    """Asks the served model and exact attention the same eval requests.

    Its blessing is an InfraBlessing, which the Pusher takes beside the Evaluator's: either one withheld, nothing is
    pushed. It is given when Recall@K of requests with more than K visible pairs is at least `retrieval.min_recall` and
    the served model's NDCG@10 at most `retrieval.max_ndcg_lost` below that of exact attention, or the difference within
    chance (its 95% interval over users reaches 0).
    """

    SPEC_CLASS = RecallEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        served_model: types.BaseChannel,
        retrieval: RetrievalConfig,
        seed: int = 0,
        code: str = "",
    ) -> None:
        """Args:
        examples: Transform's.
        model: what the SEMINAR Trainer wrote: exact attention.
        served_model: what the Quantizer wrote.
        retrieval: how many requests and candidates, and the thresholds.
        seed: of the draws.
        code: fingerprint of the code that this component runs.
        """
        super().__init__(
            spec=RecallEvaluatorSpec(
                examples=examples,
                model=model,
                served_model=served_model,
                retrieval=to_json(retrieval),
                seed=seed,
                code=code,
                recall=types.Channel(type=RecallEvaluation),
                blessing=types.Channel(type=standard_artifacts.InfraBlessing),
            )
        )
