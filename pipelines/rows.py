"""Rows in and out of a component, read from what it recorded: artifact properties, training.json, metrics."""

from __future__ import annotations

import json
from pathlib import Path

from tfx.types import Artifact

from pipelines.local_runner import NodeResult

_ROWS_PREFIX = "rows_"


def rows_in(result: NodeResult) -> int | None:
    """Examples that the component read, or None where it reads none or nobody counted them."""
    if result.name == "BehaviorExampleGen":
        return _table_rows(result.outputs.get("examples", []))
    return _sum_rows(result.inputs.get("examples", []))


def rows_out(result: NodeResult) -> int | None:
    """Examples that the component wrote or, for a Trainer, requests that it trained on."""
    for key in ("examples", "transformed_examples"):
        if key in result.outputs:
            counted = _sum_rows(result.outputs[key])
            # Transform writes a row for each row it reads.
            return counted if counted is not None else rows_in(result)
    for run in result.outputs.get("model_run", []):
        report = Path(run.uri) / "training.json"
        if report.exists():
            return int(json.loads(report.read_text())["rows"])
    return None


def _sum_rows(artifacts: list[Artifact]) -> int | None:
    counts = [
        value
        for artifact in artifacts
        for name, value in split_rows(artifact).items()
    ]  # fmt: skip
    return sum(counts) if counts else None


def split_rows(artifact: Artifact) -> dict[str, int]:
    """Rows of each split, as the component that wrote the examples counted them."""
    properties = artifact.mlmd_artifact.custom_properties
    return {
        name.removeprefix(_ROWS_PREFIX): value.int_value
        for name, value in properties.items()
        if name.startswith(_ROWS_PREFIX)
    }


def _table_rows(artifacts: list[Artifact]) -> int | None:
    """Rows of the canonical tables that ingestion read: those accepted and those in the dead letter."""
    counts = [
        value.int_value
        for artifact in artifacts
        for name, value in artifact.mlmd_artifact.custom_properties.items()
        if name.startswith("accepted_") or name == "rejected_total"
    ]
    return sum(counts) if counts else None
