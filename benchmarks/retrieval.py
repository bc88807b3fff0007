"""Finding the top K of a long history: every search method, on trained and on random embeddings, beside FAISS.

One request at a time. Recall@K is the share of the K pairs of largest GSU score (without the recency bias) that a
method finds, over several requests; of equal scores any will do. Time is that of indexing the history once, and of
finding the top K for all N targets on an indexed history: medians over rounds in which the methods take turns.
Codebooks are there before. FAISS searches the pre-fused pairs of the same history, by codebooks fitted on all users'.

Run: python -m benchmarks.retrieval [--config pipelines/configs/ml-1m.yaml --psu DIR --examples DIR] [--lengths 1000 ..]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import faiss
import numpy as np

from benchmarks.retrieval_data import Embeddings, Pairs, logged_pairs, random, random_pairs, request, trained

# isort: split
import tensorflow as tf

from seminar_tf.config import PipelineConfig
from seminar_tf.config_io import from_yaml
from seminar_tf.data.dataset import describe
from seminar_tf.retrieval.codes import Adc, CompiledAdc, DecodeMultiply
from seminar_tf.retrieval.exact import ExactFused, ExactUnfused
from seminar_tf.retrieval.hnsw import CascadedHnsw
from seminar_tf.retrieval.lsh import SimHash
from seminar_tf.retrieval.method import SearchMethod
from seminar_tf.retrieval.quantizer import quantize
from seminar_tf.retrieval.rerank import Reranked
from seminar_tf.retrieval.sdc import Sdc

_BUDGET = 2 << 30  # bytes of look-ups that a call may hold at once
_FAISS_SAMPLE = 50_000
_HNSW_LENGTH, _HNSW_TARGETS = 10_000, 16  # a graph is built for each history: beyond this it is hopeless


@dataclass(frozen=True)
class Entry:
    """A method of the table.

    Attributes:
      method: it.
      lookups: floats that it holds for each target and pair.
      graph: whether TensorFlow can run it.
    """

    method: SearchMethod
    lookups: int = 1
    graph: bool = True


def methods(e: Embeddings) -> list[Entry]:
    """All search methods on some embeddings but HNSW, which depends on K."""
    t, exact = e.tables, ExactFused(e.tables)
    width = len(t.channels)
    found = [Entry(ExactUnfused(t, e.query_kernel, e.key_kernel, e.heads), e.heads), Entry(exact)]
    found += [Entry(Sdc(t, 8, collapsed=False), 8 * width), Entry(Sdc(t, 8, collapsed=True), 8 * width)]
    for rotate in (False, True):
        suffix = "_opq" if rotate else ""
        by_channel, fused = (quantize(x, s, rotate=rotate)[0] for x, s in ((t, 8), (t.fused(), 16)))
        found += [
            Entry(Adc(by_channel, t, f"adc{suffix}"), 8 * width),
            Entry(CompiledAdc(by_channel, t, f"adc_xla{suffix}"), 1),
            Entry(DecodeMultiply(by_channel, t, f"decode{suffix}")),
            Entry(DecodeMultiply(fused, t, f"decode_fused{suffix}")),
            Entry(Reranked(DecodeMultiply(fused, t, f"decode_fused{suffix}"), exact, 2)),
        ]
    found += [Entry(CompiledAdc(fused, t, "adc_xla_fused_opq"), 1)]
    found += [Entry(SimHash(t, 256), 256 // 32), Entry(Reranked(SimHash(t, 256), exact, 4), 256 // 32)]
    return found


@dataclass(frozen=True)
class Finder:
    """One row: how a history is indexed, and how an indexed one is searched, both to the end of the computation.

    Attributes:
      name: as tables show it.
      index: (history items, queries, both (1, L)) -> index.
      search: (index, target items, queries, both (1, N)) -> positions (N, K); -1 where none was found.
      bytes: of a pair.
    """

    name: str
    index: Callable[..., Any]
    search: Callable[..., np.ndarray]
    bytes: float


def finder(entry: Entry, k: int) -> Finder:
    """A method's row."""
    method, wrap = entry.method, tf.function if entry.graph else (lambda f: f)
    index = wrap(lambda *ids: method.index(*ids))
    search = wrap(lambda held, *ids: method.top_k(held, *ids, k))

    def indexed(*ids: Any) -> Any:
        held = index(*ids)
        if entry.graph:
            held[0][..., :1].numpy()  # waits: a device works on after the call
        return held

    return Finder(method.name, indexed, lambda held, *ids: search(held, *ids).numpy()[0], method.bytes_per_pair())


def faiss_finders(e: Embeddings, catalog: np.ndarray, k: int) -> Iterator[Finder]:
    """FAISS on pre-fused pairs, its codebooks fitted on pairs of all users."""
    dim, metric = e.tables.dim, faiss.METRIC_INNER_PRODUCT
    makers = {
        "faiss_flat": (faiss.IndexFlat(dim, metric), 4.0 * dim),
        "faiss_pq": (faiss.IndexPQ(dim, 16, 8, metric), 16.0),
        "faiss_fastscan": (faiss.IndexPQFastScan(dim, 16, 4, metric), 8.0),
    }
    for name, (empty, size) in makers.items():
        empty.train(catalog)

        def index(items: Any, queries: Any, empty: Any = empty) -> Any:
            made = faiss.clone_index(empty)
            made.add(np.ascontiguousarray(e.tables.pairs(np.asarray(items), np.asarray(queries))[0]))
            return made

        def search(held: Any, items: Any, queries: Any) -> np.ndarray:
            targets = e.tables.targets(np.asarray(items), np.asarray(queries))[0]
            return np.asarray(held.search(np.ascontiguousarray(targets), k)[1])

        yield Finder(name, index, search, size)


def recall(found: np.ndarray, scores: np.ndarray) -> float:
    """Share of the K best of scores (N, L) that positions (N, K) hold; ties with the K-th are found, -1 is not."""
    k = found.shape[1]
    least = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]
    # Rounding may part equal scores.
    near = 1e-4 * (1e-6 + np.abs(least))
    values = np.take_along_axis(scores, np.maximum(found, 0).astype(np.int64), axis=1)
    return float(((values >= least - near) & (found >= 0)).mean())


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of a call, and its result."""
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result


def measure(
    e: Embeddings, known: list[Entry], pairs: Pairs, shape: tuple[int, int, int], requests: int, rounds: int
) -> list[dict[str, Any]]:
    """Rows of one L, N and K: Recall@K over all requests, times of the first one.

    Args:
      e: embeddings. known: `methods(e)`.
      pairs: histories and targets are drawn from them.
      shape: L, N, K.
      requests, rounds: how many.
    """
    length, candidates, k = shape
    given = [[tf.constant(x) for x in request(pairs, length, candidates, seed)] for seed in range(requests)]
    exact = [e.tables.targets(*map(np.asarray, g[2:]))[0] @ e.tables.pairs(*map(np.asarray, g[:2]))[0].T for g in given]
    entries = [*known, Entry(CascadedHnsw(e.tables, found=k), graph=False)]
    left_out = {
        entry.method.name
        for entry in entries
        if entry.lookups * length * candidates * 4 > _BUDGET
        or (not entry.graph and (length > _HNSW_LENGTH or candidates > _HNSW_TARGETS))
    }
    finders = [finder(entry, k) for entry in entries if entry.method.name not in left_out]
    drawn = np.random.default_rng(0).choice(len(pairs.items), min(len(pairs.items), _FAISS_SAMPLE), replace=False)
    finders += faiss_finders(e, e.tables.pairs(pairs.items[drawn], pairs.queries[drawn]), k)
    found = {f.name: [recall(f.search(f.index(*g[:2]), *g[2:]), s) for g, s in zip(given, exact)] for f in finders}
    taken: dict[str, list[tuple[float, float]]] = {f.name: [] for f in finders}
    for _ in range(rounds):
        for f in finders:
            building, held = timed(lambda f=f: f.index(*given[0][:2]))
            searching, _result = timed(lambda f=f, held=held: f.search(held, *given[0][2:]))
            taken[f.name].append((building, searching))
    rows: list[dict[str, Any]] = [{"method": name, "left_out": True} for name in sorted(left_out)]
    for f in finders:
        building, searching = (median(seconds) for seconds in zip(*taken[f.name]))
        recalled = float(np.mean(found[f.name]))
        times = {"index_seconds": building, "search_seconds": searching}
        rows.append({"method": f.name, "recall": recalled, **times, "bytes": f.bytes})
    return rows


def print_rows(rows: list[dict[str, Any]], name: str, shape: tuple[int, int, int]) -> None:
    """One Markdown table."""
    print(f"\n| {name}, L = {shape[0]:,}, N = {shape[1]}, K = {shape[2]} | Recall@K | search, ms | index, ms | bytes |")
    print("| --- | --- | --- | --- | --- |")
    for row in rows:
        if row.get("left_out"):
            print(f"| {row['method']} | left out: too large | | | |")
            continue
        times = f"{row['search_seconds'] * 1e3:.2f} | {row['index_seconds'] * 1e3:.2f}"
        print(f"| {row['method']} | {row['recall']:.3f} | {times} | {row['bytes']:.0f} |", flush=True)


def main() -> None:
    """Prints a table a shape and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("pipelines/configs/ml-1m.yaml"))
    parser.add_argument("--psu", type=Path, help="a PSU's model folder; without it only random embeddings are measured")
    parser.add_argument("--examples", type=Path, help="transformed examples that the PSU was trained on")
    parser.add_argument("--lengths", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--candidates", type=int, nargs="+", default=[1, 16, 200])
    parser.add_argument("--top-k", type=int, nargs="+", default=[50, 100, 200])
    parser.add_argument("--requests", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/retrieval.json"))
    options = parser.parse_args()
    if (options.psu is None) != (options.examples is None):
        parser.error("--psu and --examples go together")
    sources = [(e := random(), random_pairs(e))]
    if options.psu:
        config = from_yaml(PipelineConfig, options.config)
        tasks = describe(config.data.path).tasks
        sources.insert(0, (trained(config.name, options.psu, config), logged_pairs(options.examples, tasks)))
    found = []
    for embeddings, pairs in sources:
        known = methods(embeddings)
        for shape in ((n, c, k) for n in options.lengths for c in options.candidates for k in options.top_k):
            rows = measure(embeddings, known, pairs, shape, options.requests, options.rounds)
            print_rows(rows, embeddings.name, shape)
            found.append({"embeddings": embeddings.name, "shape": shape, "rows": rows})
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
