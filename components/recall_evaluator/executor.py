"""The RecallEvaluator's executor: the same requests to both models, a report, a blessing."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.json_file import write_json
from seminar_tf.config import RetrievalConfig
from seminar_tf.config_io import from_json
from seminar_tf.evaluation.metrics import ndcg_name
from seminar_tf.evaluation.requests import Request
from seminar_tf.evaluation.saved_model import SavedModelRanker
from seminar_tf.evaluation.search_recall import Found, exact_model, search_recall
from seminar_tf.evaluation.significance import paired_bootstrap, user_means
from seminar_tf.evaluation.slices import bucket
from seminar_tf.export.metadata import ModelMetadata
from seminar_tf.models.seminar import Seminar
from seminar_tf.training.ranking import LiveRanker, target_metrics
from seminar_tf.training.records import RecordError, list_files
from seminar_tf.training.requests import VISIBLE, load_requests, load_users

_LOG = logging.getLogger(__name__)

SPLIT = "eval"
REPORT_FILE = "recall.json"
BLESSED_FILE, NOT_BLESSED_FILE = "INFRA_BLESSED", "INFRA_NOT_BLESSED"
GATE = ndcg_name(10)


class Executor(base_executor.BaseExecutor):
    """Writes the report, then the blessing."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See RecallEvaluator.

        Raises:
          RecordError: there is no eval or train split.
          MetadataError: a model is not what it should be.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        config = from_json(RetrievalConfig, exec_properties["retrieval"])
        exact, served = (
            path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict[key]))
            for key in ("model", "served_model")
        )
        files = _files(artifact_utils.get_single_instance(input_dict["examples"]))
        report = evaluate(exact, served, files, config, int(exec_properties["seed"]))
        write_json(Path(artifact_utils.get_single_uri(output_dict["recall"])) / REPORT_FILE, report)
        bless(artifact_utils.get_single_instance(output_dict["blessing"]), report["refused"])


def evaluate(
    exact: str, served: str, files: dict[str, list[str]], config: RetrievalConfig, seed: int
) -> dict[str, Any]:
    """The report.

    Args:
      exact, served: SavedModel folders.
      files: transformed files by split; eval may have none.
      config: how many requests and candidates, and the thresholds.
      seed: of the draws.

    Returns:
      `top_k`; `requests`, of them `searched`, those with more than K visible pairs; `recall` over the searched ones;
      `ndcg_at_10` of `exact` and `served`, what is `lost` and its 95% `interval` over users; `slices` by history
      length; `refused`: what is beyond a threshold, empty for a blessing. A figure of no request is null.
    """
    metadata = ModelMetadata.load(exact)
    top_k = metadata.model.top_k
    length = metadata.model.serving_history_length
    requests: list[Request] = []
    if files[SPLIT]:
        users = load_users({s: files[s] for s in VISIBLE[SPLIT]}, SPLIT, metadata.tasks, config.requests, seed)
        requests = load_requests(users, metadata.tasks.index(metadata.primary_task), length)
    trained, ranker = exact_model(exact), SavedModelRanker(served)
    # A rival is served as it was trained, with no search that could miss a pair.
    found = Found.nothing(len(requests))
    if isinstance(trained, Seminar):
        found = search_recall(trained, ranker, requests, config.candidates, seed, SPLIT)
    by_length: dict[str, list[int]] = defaultdict(list)
    for n, request in enumerate(requests):
        by_length[bucket(request.position)].append(n)
    ranker.history_length = length  # what is served, not what the Evaluator asks
    rankers = (LiveRanker(trained, metadata.primary_task, length), ranker)
    slices, values = {}, []
    for name, rows in sorted(by_length.items()):
        some = [requests[n] for n in rows]
        # Both rank the same targets: either both or neither has any.
        one, other = (
            target_metrics(r, some, metadata.catalog, metadata.evaluation, metadata.seed, SPLIT, metadata.item_count)
            for r in rankers
        )
        searched = np.array(rows)[found.pairs[rows] > top_k]
        slices[name] = {"requests": len(rows), "searched": len(searched), "recall": _mean(found.recall[searched])}
        if one is not None and other is not None:
            slices[name][f"{GATE}_lost"] = float((one.values[GATE] - other.values[GATE]).mean())
            values.append((one.users, one.values[GATE], other.values[GATE]))
    searched = found.pairs > top_k
    report: dict[str, Any] = {
        "top_k": top_k,
        "requests": len(requests),
        "searched": int(searched.sum()),
        "recall": _mean(found.recall[searched]),
        GATE: _lost(values),
        "slices": slices,
        "thresholds": {"min_recall": config.min_recall, "max_ndcg_lost": config.max_ndcg_lost},
    }
    return report | {"refused": refused(report, config)}


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _lost(values: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> dict[str, Any]:
    if not values:
        return {"exact": None, "served": None, "lost": None, "interval": None}
    users, exact, served = (np.concatenate(part) for part in zip(*values))
    result = {"exact": float(exact.mean()), "served": float(served.mean()), "lost": float((exact - served).mean())}
    by_user = [user_means(x, users)[1] for x in (exact, served)]
    if len(by_user[0]) < 2:
        return result | {"interval": None}
    difference = paired_bootstrap(*by_user)
    return result | {"interval": [difference.low, difference.high]}


def refused(report: dict[str, Any], config: RetrievalConfig) -> list[str]:
    """What is beyond its threshold, in words. Where nothing had to be searched, nothing can be lost.

    The mean NDCG lost of some hundred requests is noisy, so it has to be beyond the threshold and no chance: its 95%
    interval lies above 0. Where so few users were asked that there is no interval, the mean alone decides.
    """
    said = []
    if not report["requests"]:
        _LOG.warning("no eval request: what the served search loses was not measured.")
    recall, lost, interval = report["recall"], report[GATE]["lost"], report[GATE]["interval"]
    if recall is not None and recall < config.min_recall:
        said.append(f"Recall@{report['top_k']} is {recall:.4f}, retrieval.min_recall is {config.min_recall}")
    if lost is not None and lost > config.max_ndcg_lost and (interval is None or interval[0] > 0):
        spread = "" if interval is None else " [{:.4f}, {:.4f}]".format(*interval)
        said.append(f"{GATE} loses {lost:.4f}{spread}, retrieval.max_ndcg_lost is {config.max_ndcg_lost}")
    return said


def bless(blessing: types.Artifact, reasons: list[str]) -> None:
    """Marks the blessing as TFX's InfraValidator does, so that any Pusher understands it."""
    folder = Path(blessing.uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / (NOT_BLESSED_FILE if reasons else BLESSED_FILE)).write_text("\n".join(reasons), encoding="utf-8")
    blessing.set_int_custom_property("blessed", int(not reasons))
    for reason in reasons:
        _LOG.warning("not to be pushed: %s", reason)


def _files(examples: types.Artifact) -> dict[str, list[str]]:
    found = {}
    for split in VISIBLE[SPLIT]:
        try:
            found[split] = list_files([os.path.join(examples.uri, f"Split-{split}", "*")])
        except RecordError:
            if split != SPLIT:
                raise
            found[split] = []
    return found
