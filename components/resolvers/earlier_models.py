"""The models that a warm start starts from: those behind the last blessed model of an earlier span."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy

from components.resolvers.lineage import inputs_of, span_of

_BLESSED, _MODEL_ID = "blessed", "current_model_id"


class EarlierBlessedStrategy(ResolverStrategy):  # type: ignore[misc]
    """LatestBlessedModelStrategy among the models of earlier spans, and the trained models that it was made of.

    Only earlier spans: a run that is started again for the same span finds the same models, takes the Trainers from
    the cache and never goes on from its own result.

    Inputs: `examples` (BehaviorExampleGen's, of the span that runs), `model`, `model_blessing`, `psu` and `seminar`
    (any Model). Outputs: `model` and `model_blessing` as found; `seminar` and `psu`, the Trainers' models that `model`
    was made of; all empty where there is none.
    """

    def resolve_artifacts(
        self, store: Any, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """See ResolverStrategy."""
        examples = input_dict["examples"]
        none: dict[str, list[types.Artifact]] = {key: [] for key in input_dict} | {"examples": examples}
        span = span_of(examples[0].mlmd_artifact) if examples else None
        if span is None:
            return none
        blessed = {
            blessing.get_int_custom_property(_MODEL_ID)
            for blessing in input_dict["model_blessing"]
            if blessing.get_int_custom_property(_BLESSED) == 1
        }
        origins = {model.id: _origin(store, model.id) for model in input_dict["model"] if model.id in blessed}
        earlier = {key: found for key, found in origins.items() if found and found["span"] < span}
        latest = LatestBlessedModelStrategy().resolve_artifacts(
            store,
            {
                "model": [model for model in input_dict["model"] if model.id in earlier],
                "model_blessing": list(input_dict["model_blessing"]),
            },
        )
        if not latest["model"]:
            return none
        origin = earlier[latest["model"][0].id]
        trained = {
            stage: [model for model in input_dict[stage] if model.id == origin[stage]] for stage in ("psu", "seminar")
        }
        if not all(trained.values()):
            return none
        return {"examples": examples, **latest, **trained}


def _origin(store: Any, model_id: int) -> dict[str, int]:
    """Of a served model: ids of the trained models behind it and the span; {} where one of them is not known."""
    made_of = inputs_of(store, model_id)
    for seminar in made_of.get("model", []):
        read = inputs_of(store, seminar.id)
        psu, transformed = read.get("base_model", []), read.get("examples", [])
        if psu and transformed:
            raw = inputs_of(store, transformed[0].id).get("examples", [])
            span = span_of(raw[0]) if raw else None
            if span is not None:
                return {"seminar": int(seminar.id), "psu": int(psu[0].id), "span": span}
    return {}
