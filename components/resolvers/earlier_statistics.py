"""What a span's statistics are held against: those of the newest earlier span."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.dsl.components.common.resolver import ResolverStrategy

from components.resolvers.lineage import span_of


class EarlierSpanStrategy(ResolverStrategy):  # type: ignore[misc]
    """The newest artifact of the newest span before the one that runs.

    Inputs: `examples` (BehaviorExampleGen's, of the span that runs) and `statistics` (any). Outputs: the same, with at
    most one of the statistics.
    """

    def resolve_artifacts(
        self, store: Any, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """See ResolverStrategy."""
        examples = input_dict["examples"]
        span = span_of(examples[0].mlmd_artifact) if examples else None
        spans = {artifact.id: span_of(artifact.mlmd_artifact) for artifact in input_dict["statistics"]}
        earlier = [
            artifact
            for artifact in input_dict["statistics"]
            if span is not None and (of := spans[artifact.id]) is not None and of < span
        ]
        newest = sorted(earlier, key=lambda artifact: (spans[artifact.id] or 0, artifact.id))[-1:]
        return {"examples": examples, "statistics": newest}
