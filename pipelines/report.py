"""What a run came to: metrics, times and places, as Markdown for people and JSON for programs."""

from __future__ import annotations

import json
import math
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import tensorflow as tf
import tfx

from components.evaluator.results import read_metrics
from components.quantizer.executor import QUALITY_FILE
from components.recall_evaluator.executor import BLESSED_FILE, REPORT_FILE
from pipelines.local_runner import NodeResult
from pipelines.pipeline import PSU_ID, SEMINAR_ID
from pipelines.rows import RowCounter
from seminar_tf.config import PipelineConfig
from seminar_tf.config_io import to_json


@dataclass(frozen=True)
class RunReport:
    """A finished run.

    Attributes:
      metrics: metric name to value over all test requests.
      slices: slice name to its metrics.
      blessed: whether the Evaluator and the RecallEvaluator passed the model.
      retrieval: what the served tables are and lose: the Quantizer's quality.json, the RecallEvaluator's recall.json.
      pushed: folder of the version that this run's model was pushed to, or None.
      tensorboard: folder of the Trainers' TensorBoard logs, by stage.
      components: for each component its name, seconds, cached, rows_in and rows_out.
      reference: what the dataset's ideal.json says of the ideal and popularity rankers, where there is one.
      environment: versions and the seed.
    """

    metrics: dict[str, float]
    slices: dict[str, dict[str, float]]
    blessed: bool
    pushed: str | None
    tensorboard: dict[str, str]
    components: list[dict[str, Any]] = field(default_factory=list)
    retrieval: dict[str, Any] = field(default_factory=dict)
    reference: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


def build_report(config: PipelineConfig, results: list[NodeResult]) -> RunReport:
    """Collects the report of a finished run from what its components wrote.

    Args:
      config: the run's configuration.
      results: what LocalRunner recorded.

    Raises:
      KeyError: the pipeline lacks a component.
    """
    by_name = {result.name: result for result in results}
    measured = read_metrics(by_name["Evaluator"].outputs["evaluation"][0].uri)
    blessing = by_name["Evaluator"].outputs["blessing"][0]
    pushed = by_name["Pusher"].outputs["pushed_model"][0]
    destination = (
        pushed.get_string_custom_property("pushed_destination") if pushed.has_custom_property("pushed") else ""
    )
    recall = by_name["RecallEvaluator"].outputs
    retrieval = {
        "tables": config.retrieval.tables,
        "codebook": _json(by_name["Quantizer"].outputs["codebook"][0].uri, QUALITY_FILE),
        "recall": _json(recall["recall"][0].uri, REPORT_FILE),
    }
    passed = (Path(blessing.uri) / "BLESSED").exists() and (Path(recall["blessing"][0].uri) / BLESSED_FILE).exists()
    ideal = Path(config.data.path) / "ideal.json"
    rows = RowCounter()
    return RunReport(
        metrics=measured["overall"],
        slices={name: values for name, values in measured["slices"].items() if values.get("requests", 0) > 0},
        blessed=passed,
        pushed=destination or None,
        tensorboard={
            name: by_name[name].outputs["model_run"][0].uri for name in (PSU_ID, SEMINAR_ID) if name in by_name
        },
        components=[_component(result, rows) for result in results],
        retrieval=retrieval,
        reference=json.loads(ideal.read_text()) if ideal.exists() else {},
        environment={
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "tfx": tfx.__version__,
            "seed": str(config.seed),
        },
    )


def _json(folder: str, name: str) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads((Path(folder) / name).read_text(encoding="utf-8"))
    return tree


def served_lines(report: RunReport) -> list[str]:
    """What the served tables are, what they find and what they lose, in words."""
    codebook, recall = report.retrieval["codebook"], report.retrieval["recall"]
    lines = [f"{report.retrieval['tables']}, {codebook['bytes_per_pair']:.0f} bytes a pair"]
    if recall["recall"] is not None:
        lines.append(f"Recall@{recall['top_k']} {recall['recall']:.4f} on {recall['searched']} eval requests")
    lost = recall["ndcg_at_10"]
    if lost["lost"] is not None:
        interval = "" if lost["interval"] is None else " [{:.4f}, {:.4f}]".format(*lost["interval"])
        lines.append(f"NDCG@10 lost against exact attention {lost['lost']:.4f}{interval}")
    if not recall["requests"]:
        lines.append("what they lose was not measured: there is no eval request")
    return [*lines, *recall["refused"]]


def _finite(tree: Any) -> Any:
    """The same tree with null for NaN and infinity, which JSON has no word for."""
    if isinstance(tree, dict):
        return {key: _finite(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_finite(value) for value in tree]
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree


def _component(result: NodeResult, rows: RowCounter) -> dict[str, Any]:
    rows_in, rows_out = rows.count(result)
    return {
        "name": result.name,
        "seconds": round(result.seconds, 2),
        "cached": result.cached,
        "rows_in": rows_in,
        "rows_out": rows_out,
    }


def report_path(config: PipelineConfig) -> Path:
    """The Markdown report of the newest run; report.json lies beside it."""
    return Path(config.root).resolve() / "report" / "report.md"


def write_report(config: PipelineConfig, report: RunReport) -> None:
    """Writes report.json and report.md, beside and renamed."""
    folder = report_path(config).parent
    folder.mkdir(parents=True, exist_ok=True)
    tree = asdict(report) | {"config": json.loads(to_json(config))}
    for name, text in (
        ("report.json", json.dumps(_finite(tree), indent=2, allow_nan=False)),
        ("report.md", _markdown(config, report)),
    ):
        partial = folder / f".{name}.partial"
        partial.write_text(text + "\n", encoding="utf-8")
        os.replace(partial, folder / name)


def _markdown(config: PipelineConfig, report: RunReport) -> str:
    references = {
        name: values
        for name, values in report.reference.items()
        if isinstance(values, dict) and any(metric in values for metric in report.metrics)
    }
    lines = [f"# Run of `{config.name}`", "", f"| metric | SEMINAR | {' | '.join(references)} |"]
    if not references:
        lines[-1] = "| metric | SEMINAR |"
    lines.append("| --- " * (2 + len(references)) + "|")
    for metric, value in sorted(report.metrics.items()):
        cells = [f"{value:,.4f}"]
        for values in references.values():
            known = values.get(metric)
            cells.append("" if known is None else f"{known:,.4f}")
        lines.append(f"| {metric} | {' | '.join(cells)} |")
    if report.slices:
        wanted = ("requests", "ndcg_at_10", "hit_at_10", "mrr", "impressions", "auc", "gauc", "log_loss")
        columns = [c for c in wanted if any(c in values for values in report.slices.values())]
        lines += ["", f"| slice | {' | '.join(columns)} |", "| --- " * (1 + len(columns)) + "|"]
        for name, values in sorted(report.slices.items()):
            lines.append(f"| {name} | {' | '.join(f'{values[c]:,.4f}' if c in values else '' for c in columns)} |")
    lines += [
        "",
        f"Served tables: {'; '.join(served_lines(report))}.",
        f"Search: {report.retrieval['codebook']['search']}.",
    ]
    lines += ["", "| component | seconds | rows in | rows out |", "| --- | --- | --- | --- |"]
    for c in report.components:
        seconds = "cached" if c["cached"] else f"{c['seconds']:.1f}"
        lines.append(f"| {c['name']} | {seconds} | {_count(c['rows_in'])} | {_count(c['rows_out'])} |")
    lines += [
        "",
        f"Blessed: {'yes' if report.blessed else 'no'}. Pushed: {report.pushed or 'no'}.",
        f"Environment: {', '.join(f'{k} {v}' for k, v in report.environment.items())}.",
    ]
    return "\n".join(lines)


def _count(rows: int | None) -> str:
    return "" if rows is None else f"{rows:,}"
