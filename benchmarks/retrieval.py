"""Finding the top K of a long history: every search method, on trained and on random embeddings, beside FAISS.

One request at a time. Recall@K is the share of the K pairs of largest GSU score (without the recency bias) that a
method finds, over several requests; of equal scores any will do. Time is that of indexing the history once, and of
finding the top K for all N targets on an indexed history: medians over rounds in which the methods take turns.
Building is what comes before any request: codebooks are fitted, items encoded. FAISS searches the pre-fused pairs of
the same history, by codebooks fitted on all users'.

Run: python -m benchmarks.retrieval --src ml-1m
trains the PSUs of MovieLens 1M and of generated data, whichever are missing under runs/, and measures all three
embeddings. With --trained CONFIG PSU EXAMPLES instead of --src, models that are there; with --measured, the table that
retrieval.search: auto chooses by is written again.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.prepared import prepare_demo, prepare_movielens
from benchmarks.retrieval_data import Embeddings, Pairs, logged_pairs, random, random_pairs, request, trained
from benchmarks.retrieval_methods import Entry, Finder, faiss_finders, finder, hnsw, methods, served_names, timed
from benchmarks.retrieval_report import PLOTTED_K, commit, draw, print_rows, write_measured, write_tables

# isort: split
import tensorflow as tf

from pipelines.experiment.ingestion import ingested
from pipelines.experiment.stages import pretrained
from seminar_tf.config import PipelineConfig
from seminar_tf.config_io import from_yaml
from seminar_tf.data.dataset import describe
from seminar_tf.evaluation.search_recall import found_share

_BUDGET = 2 << 30  # bytes of look-ups that a call may hold at once
_FAISS_SAMPLE = 50_000
_HNSW_LENGTH, _HNSW_TARGETS = 10_000, 16  # a graph is built for each history: beyond this only with --graphs
_CONFIGS = Path(__file__).resolve().parents[1] / "pipelines" / "configs"


def recall(found: np.ndarray, scores: np.ndarray) -> float:
    """Share of the K best of scores (N, L) that positions (N, K) hold; ties with the K-th are found, -1 is not."""
    return float(found_share(found, scores, np.full(len(scores), scores.shape[1])).mean())


def measure(
    e: Embeddings,
    known: list[Entry],
    pairs: Pairs,
    shape: tuple[int, int, int],
    requests: int,
    rounds: int,
    graphs: bool = False,
) -> list[dict[str, Any]]:
    """Rows of one L, N and K: Recall@K over all requests, times of the first one.

    Args:
      e: embeddings. known: `methods(e)`.
      pairs: histories and targets are drawn from them.
      shape: L, N, K.
      requests, rounds: how many.
      graphs: cascaded HNSW at every L and N.
    """
    length, candidates, k = shape
    given = [[tf.constant(x) for x in request(pairs, length, candidates, seed)] for seed in range(requests)]
    exact = [e.tables.targets(*map(np.asarray, g[2:]))[0] @ e.tables.pairs(*map(np.asarray, g[:2]))[0].T for g in given]
    entries = [*known, hnsw(e, k)]
    left_out = {
        entry.title
        for entry in entries
        if entry.lookups * length * candidates * 4 > _BUDGET
        or (not entry.graph and not graphs and (length > _HNSW_LENGTH or candidates > _HNSW_TARGETS))
    }
    finders = [finder(entry, k) for entry in entries if entry.title not in left_out]
    drawn = np.random.default_rng(0).choice(len(pairs.items), min(len(pairs.items), _FAISS_SAMPLE), replace=False)
    finders += faiss_finders(e, e.tables.pairs(pairs.items[drawn], pairs.queries[drawn]), k)
    found = {f.name: [recall(f.search(f.index(*g[:2]), *g[2:]), s) for g, s in zip(given, exact)] for f in finders}
    taken: dict[str, list[tuple[float, float]]] = {f.name: [] for f in finders}
    for _ in range(rounds):
        for f in finders:
            taken[f.name].append(_once(f, given[0]))
    rows: list[dict[str, Any]] = [{"method": name, "left_out": True} for name in sorted(left_out)]
    for f in finders:
        building, searching = (median(seconds) for seconds in zip(*taken[f.name]))
        recalled = float(np.mean(found[f.name]))
        times = {"index_seconds": building, "search_seconds": searching}
        rows.append({"method": f.name, "recall": recalled, **times, "bytes": f.bytes, "built_seconds": f.built})
    return rows


def _once(f: Finder, given: list[Any]) -> tuple[float, float]:
    building, held = timed(lambda: f.index(*given[:2]))
    return building, timed(lambda: f.search(held, *given[2:]))[0]


def sources(options: argparse.Namespace) -> Iterator[tuple[Embeddings, Pairs]]:
    """What is measured: trained embeddings, then random ones."""
    given = [(Path(c), Path(p), Path(x)) for c, p, x in options.trained]
    if options.src:
        given = [_pretrained("ml-1m", options.src), _pretrained("demo", None)]
    for path, psu, examples in given:
        config = from_yaml(PipelineConfig, path)
        tasks = ("click",) if not config.data.path or not Path(config.data.path).exists() else None
        yield (
            trained(config.name, psu, config),
            logged_pairs(examples, tasks or describe(config.data.path).tasks),
        )
    made = random()
    yield made, random_pairs(made)


def _pretrained(name: str, source: Path | None) -> tuple[Path, Path, Path]:
    """Configuration, PSU folder and examples of a dataset; trained where they are missing."""
    path = _CONFIGS / f"{name}.yaml"
    root = Path(from_yaml(PipelineConfig, path).root)
    dataset = prepare_movielens(source, root) if source else prepare_demo(root)
    config = from_yaml(PipelineConfig, path, [f"data.path={dataset.resolve()}"])
    data = ingested(config, root)
    return path, pretrained(config, data, root / "models"), data.examples


def main() -> None:
    """Prints a table a shape, writes the JSON and the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--src", type=Path, help="the published ml-1m folder")
    parser.add_argument("--trained", nargs=3, action="append", default=[], metavar=("CONFIG", "PSU", "EXAMPLES"))
    parser.add_argument("--lengths", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--candidates", type=int, nargs="+", default=[1, 16, 200])
    parser.add_argument("--top-k", type=int, nargs="+", default=[50, 100, 200])
    parser.add_argument("--requests", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--graphs", action="store_true", help="cascaded HNSW at every L and N, minutes each")
    parser.add_argument("--out", type=Path, default=Path("runs/retrieval.json"))
    parser.add_argument("--docs", type=Path, help="folder that tables and plot are written to")
    parser.add_argument("--measured", action="store_true", help="write seminar_tf/retrieval/measured.json")
    options = parser.parse_args()
    if (options.measured or options.docs) and PLOTTED_K not in options.top_k:
        parser.error(f"--measured and --docs want K = {PLOTTED_K} among --top-k")
    found: list[dict[str, Any]] = []
    for embeddings, pairs in sources(options):
        building, known = timed(lambda embeddings=embeddings: methods(embeddings))
        print(f"{embeddings.name}: all methods built in {building:.0f} s", flush=True)
        for shape in ((n, c, k) for n in options.lengths for c in options.candidates for k in options.top_k):
            rows = measure(embeddings, known, pairs, shape, options.requests, options.rounds, options.graphs)
            print_rows(rows, embeddings.name, shape)
            found.append({"embeddings": embeddings.name, "shape": shape, "rows": rows})
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        if options.measured:
            write_measured(found, served_names(embeddings.tables.dim))
            options.measured = False  # by the first embeddings
    if options.docs:
        draw(found, options.docs / "images" / "retrieval.png")
        each = f"{options.requests} requests a shape, {options.rounds} rounds"
        what = f"commit {commit()}, {os.cpu_count()} cores, {each}"
        write_tables(found, options.docs / "retrieval-tables.md", what)


if __name__ == "__main__":
    main()
