"""Rows in and out of a component, read from what it recorded: artifact properties, training.json, metrics."""

from __future__ import annotations

import json
from pathlib import Path

from tfx.types import Artifact

from components.evaluator.results import read_metrics
from pipelines.local_runner import NodeResult

_ROWS_PREFIX = "rows_"


class RowCounter:
    """Counts rows as components finish, in their order.

    Transform writes a row for each row it reads but records no count, so counts are remembered by artifact.
    """

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def count(self, result: NodeResult) -> tuple[int | None, int | None]:
        """Rows that a component read and wrote.

        Args:
          result: a finished component; those before it have been counted.

        Returns:
          (in, out): examples, for BehaviorExampleGen table rows in, for a Trainer requests trained on as out, for the
          Evaluator requests measured as out. None where there is nothing to count.
        """
        read, written = result.inputs.get("examples", []), result.outputs.get("examples", [])
        rows_in = table_rows(written) if written else self._sum(read)
        for artifact in (*written, *result.outputs.get("transformed_examples", [])):
            counts = split_rows(artifact)
            total = sum(counts.values()) if counts else rows_in
            if total is not None:
                self._known[artifact.uri] = total
        return rows_in, self._written(result)

    def _sum(self, artifacts: list[Artifact]) -> int | None:
        counts = [self._known[a.uri] for a in artifacts if a.uri in self._known]
        return sum(counts) if counts else None

    def _written(self, result: NodeResult) -> int | None:
        for key in ("examples", "transformed_examples"):
            if key in result.outputs:
                return self._sum(result.outputs[key])
        for run in result.outputs.get("model_run", []):
            report = Path(run.uri) / "training.json"
            if report.exists():
                return int(json.loads(report.read_text())["rows"])
        for evaluation in result.outputs.get("evaluation", []):
            return int(read_metrics(evaluation.uri)["overall"]["requests"])
        return None


def split_rows(artifact: Artifact) -> dict[str, int]:
    """Rows of each split, as the component that wrote the examples counted them."""
    properties = artifact.mlmd_artifact.custom_properties
    return {
        name.removeprefix(_ROWS_PREFIX): value.int_value
        for name, value in properties.items()
        if name.startswith(_ROWS_PREFIX)
    }


def table_rows(artifacts: list[Artifact]) -> int | None:
    """Rows of the canonical tables that ingestion read: those accepted and those in the dead letter."""
    counts = [
        value.int_value
        for artifact in artifacts
        for name, value in artifact.mlmd_artifact.custom_properties.items()
        if name.startswith("accepted_") or name == "rejected_total"
    ]
    return sum(counts) if counts else None
