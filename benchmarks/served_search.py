"""What the served search costs in NDCG, and how long it takes beside exact attention, on a trained model.

NDCG: every user's test target ranked by the model with its tables as trained, fused, and as codes of several sizes; the
difference to the tables as trained is paired by user. Recall@K is that of the RecallEvaluator: eval requests, the
model's own K and served L.

Time: one request from ids to the K positions, medians of rounds in which all take turns:
  product and top_k: fused pairs and targets are there before; one matrix product, tf.math.top_k;
  served: ids in, positions out, the recency bias among it; from fused vectors, or from codes; plain, or under XLA;
  channels apart: unfused, every channel of a target with every channel of a pair, as the paper writes it;
  fused at the request: gate, fusion, projections and the heads' inner products of every pair, then tf.math.top_k;
  one by one: that for one candidate after the other, as a model that scores (user, item) rows does.

Run: python -m benchmarks.served_search --model SAVED_MODEL --examples EXAMPLES [--rows ...]
with the SavedModel of a SEMINAR Trainer (float tables) and Transform's examples (seminar-tf experiment leaves both).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.retrieval_data import logged_pairs, request
from benchmarks.retrieval_methods import timed

# isort: split
import tensorflow as tf

from seminar_tf.config import RetrievalConfig
from seminar_tf.evaluation.metrics import ndcg_name
from seminar_tf.evaluation.significance import paired_bootstrap
from seminar_tf.export.inputs import INDEXED
from seminar_tf.export.metadata import ModelMetadata
from seminar_tf.export.restored import restore_seminar
from seminar_tf.features import names
from seminar_tf.layers.distinct import static_shapes
from seminar_tf.models.fused_batch import fuse_batch
from seminar_tf.models.seminar import Seminar
from seminar_tf.retrieval.exact import ExactByChannel, ExactFused, ExactUnfused
from seminar_tf.retrieval.served import Prepared, prepare
from seminar_tf.retrieval.tables import gsu_tables
from seminar_tf.training.ranking import LiveRanker, target_metrics
from seminar_tf.training.records import list_files
from seminar_tf.training.requests import VISIBLE, load_requests, load_users

_CODES = RetrievalConfig(tables="codes", search="decode")
ROWS = {
    "float": RetrievalConfig(tables="float"),
    "fused": RetrievalConfig(tables="fused"),
    "codes 48 + 8": _CODES,
    "codes 32 + 8": replace(_CODES, subvectors=32),
    "codes 16 + 8": replace(_CODES, subvectors=16),
    "codes 8 + 8": replace(_CODES, subvectors=8),
    "codes 16 + 8, opq": replace(_CODES, subvectors=16, rotation="opq"),
    "codes 8 a channel, opq": replace(_CODES, fuse=False, subvectors=8, rotation="opq"),
}
_LENGTH, _CANDIDATES, _TOP_K = 10_000, 200, 100


def prepared(model: Path, config: RetrievalConfig) -> tuple[Seminar, Prepared]:
    """The model with its tables as a configuration says."""
    made = restore_seminar(model)
    trained = ModelMetadata.load(model).retrieval.train_codes
    if config.tables == "codes" and trained:
        config = replace(config, train_codes=True)
    elif trained:
        made.pairs.codes = None
    return made, prepare(made, config, seed=1)


def quality(model: Path, examples: Path, rows: list[str]) -> list[dict[str, Any]]:
    """NDCG@10 on the test split by row, and what is lost against the first one."""
    metadata = ModelMetadata.load(model)
    files = {split: list_files([str(examples / f"Split-{split}" / "*")]) for split in VISIBLE["test"]}
    users = load_users(files, "test", metadata.tasks)
    requests = load_requests(users, metadata.tasks.index(metadata.primary_task), metadata.history_length)
    found: list[dict[str, Any]] = []
    first = None
    for name in rows:
        made, ready = prepared(model, ROWS[name])
        ranker = LiveRanker(made, metadata.primary_task, metadata.history_length)
        ranked = target_metrics(
            ranker, requests, metadata.catalog, metadata.evaluation, metadata.seed, "test", metadata.item_count
        )
        assert ranked is not None
        values = ranked.values[ndcg_name(10)]
        first = values if first is None else first
        lost = paired_bootstrap(first, values)
        errors = {channel: q.error for channel, q in ready.quality.items()}
        row = {"tables": name, "bytes": ready.bytes_per_pair, "ndcg_at_10": float(values.mean()), "error": errors}
        found.append(row | {"lost": lost.mean, "interval": [lost.low, lost.high]})
        print(f"| {name} | {ready.bytes_per_pair:.0f} | {values.mean():.4f} | {lost.mean:+.4f} "
              f"[{lost.low:+.4f}, {lost.high:+.4f}] | {errors} |", flush=True)  # fmt: skip
    return found


def times(model: Path, examples: Path, rounds: int) -> dict[str, float]:
    """Median seconds of one request by way of searching."""
    metadata = ModelMetadata.load(model)
    items, queries, targets, typed = request(logged_pairs(examples, metadata.tasks), _LENGTH, _CANDIDATES, 0)
    moments = 1_600_000_000_000 + 60_000 * np.arange(_LENGTH, dtype=np.int64)
    batch = {
        names.HISTORY_ITEM_ID: items,
        names.HISTORY_QUERY: queries,
        names.HISTORY_TIMESTAMP: moments[np.newaxis],
        names.CANDIDATE_ITEM_ID: targets,
        names.QUERY: typed[:, 0],
        names.REQUEST_TIMESTAMP: moments[-1:] + 60_000,
        names.USER_ATTRIBUTES: np.zeros((1, 1), np.int32),
    }
    given = {name: tf.constant(batch[name]) for name in INDEXED}
    ways: dict[str, Callable[[], Any]] = {}
    for name in ("fused", "codes 48 + 8"):
        made, _ = prepared(model, ROWS[name])
        made.search.top_k = _TOP_K
        ways[f"served, {name}"] = _call(_positions(made), given)
        ways[f"served, {name}, XLA"] = _call(_positions(made, compiled=True), given)
    exact = restore_seminar(model)
    tables = gsu_tables(exact)
    fused = ExactFused(tables)
    pairs, folded = fused.pairs(items, queries), fused.targets(targets, np.repeat(typed[:, :1], _CANDIDATES, axis=1))
    alone = tf.function(lambda a, b: tf.math.top_k(tf.matmul(b, a, transpose_b=True), _TOP_K).indices)
    ways["product and top_k alone"] = lambda: alone(pairs, folded).numpy()
    kernels = (exact.exact if exact.config.share_gsu_esu else exact.search).weights[:2]
    attend, by_channel = (
        _attention(kind(tables, *kernels, exact.config.heads)) for kind in (ExactUnfused, ExactByChannel)
    )
    ids = [tf.constant(x) for x in (items, queries, targets, np.repeat(typed[:, :1], _CANDIDATES, axis=1))]
    ways["exact, channels apart"] = lambda: by_channel(*ids).numpy()
    ways["exact, fused at the request"] = lambda: attend(*ids).numpy()
    each = [(ids[2][:, n : n + 1], ids[3][:, n : n + 1]) for n in range(_CANDIDATES)]
    ways["exact, fused at the request, one by one"] = lambda: [attend(*ids[:2], *one).numpy() for one in each]
    for way in ways.values():
        way()
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            taken[name].append(timed(way)[0])
    found = {name: median(seconds) for name, seconds in taken.items()}
    base = found["product and top_k alone"]
    print(f"\n| L = {_LENGTH:,}, N = {_CANDIDATES}, K = {_TOP_K} | ms | of product and top_k |\n| --- | --- | --- |")
    for name, seconds in found.items():
        print(f"| {name} | {seconds * 1e3:.1f} | {seconds / base:.2f} |", flush=True)
    return found


def _attention(method: ExactUnfused) -> Callable[..., tf.Tensor]:
    return tf.function(lambda i, q, t, s: tf.math.top_k(method.scores(method.index(i, q), t, s), _TOP_K).indices)


def _positions(model: Seminar, compiled: bool = False) -> Callable[..., tf.Tensor]:
    def positions(batch: dict[str, tf.Tensor]) -> tf.Tensor:
        with static_shapes(compiled):
            seen = fuse_batch(model.pairs, batch, training=False)
            return model.lifelong.positions(seen.targets(), seen)

    return tf.function(positions, jit_compile=compiled)


def _call(function: Callable[..., tf.Tensor], given: dict[str, tf.Tensor]) -> Callable[[], np.ndarray]:
    return lambda: function(given).numpy()


def main() -> None:
    """Prints the tables and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--examples", type=Path, required=True)
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path("runs/served_search.json"))
    options = parser.parse_args()
    timed_ways = times(options.model, options.examples, options.rounds) if options.rounds else {}
    print("\n| tables | bytes a pair | NDCG@10 | lost | reconstruction error |\n| --- | --- | --- | --- | --- |")
    found = {"times": timed_ways, "quality": quality(options.model, options.examples, options.rows)}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
