"""The methods of benchmarks/retrieval.py as pairs of calls: index a history, search it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from benchmarks.retrieval_data import Embeddings

# isort: split
import tensorflow as tf

from seminar_tf.layers.distinct import static_shapes
from seminar_tf.retrieval.codes import Adc, CompiledAdc, DecodeMultiply
from seminar_tf.retrieval.exact import ExactFused, ExactUnfused
from seminar_tf.retrieval.hnsw import CascadedHnsw
from seminar_tf.retrieval.lsh import SimHash
from seminar_tf.retrieval.method import SearchMethod
from seminar_tf.retrieval.quantizer import quantize
from seminar_tf.retrieval.rerank import Reranked
from seminar_tf.retrieval.sdc import Sdc


@dataclass(frozen=True)
class Entry:
    """A method of the table.

    Attributes:
      method: it.
      lookups: floats that it holds for each target and pair.
      graph: whether TensorFlow can run it.
      compiled: whether XLA compiles index and search as a whole.
      name: where it is not the method's own.
      built: seconds before any request: rotation and codebooks fitted, catalog and queries encoded.
    """

    method: SearchMethod
    lookups: int = 1
    graph: bool = True
    compiled: bool = False
    name: str = ""
    built: float = 0.0

    @property
    def title(self) -> str:
        """As tables show it."""
        return self.name or self.method.name


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of a call, and its result."""
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result


def methods(e: Embeddings, size: int = 256) -> list[Entry]:
    """All search methods on some embeddings but HNSW, which depends on K.

    Args:
      e: embeddings of width d. Sub-vectors: d / 8 a channel, d / 4 and 3 d / 4 of fused items (48 of 64, the default of
        the configuration), an eighth of that of their queries.
      size: centroids.
    """
    t, exact, dim = e.tables, ExactFused(e.tables), e.tables.dim
    width, few, some, many = len(t.channels), dim // 8, dim // 4, 3 * dim // 4
    found = [Entry(ExactUnfused(t, e.query_kernel, e.key_kernel, e.heads), e.heads), Entry(exact)]
    for collapsed in (False, True):
        built, sdc = timed(lambda collapsed=collapsed: Sdc(t, few, size, collapsed=collapsed))
        found.append(Entry(sdc, few * width, built=built))
    for rotation in ("none", "opq"):
        suffix = "_opq" if rotation == "opq" else ""
        built, (by_channel, _) = timed(lambda rotation=rotation: quantize(t, few, size, rotation))
        built_fused, (fused, _) = timed(lambda rotation=rotation: quantize(t.fused(), some, size, rotation))
        found += [
            Entry(Adc(by_channel, t, f"adc{suffix}"), few * width, built=built),
            Entry(CompiledAdc(by_channel, t, f"adc_xla{suffix}"), built=built),
            Entry(DecodeMultiply(by_channel, t, f"decode{suffix}"), built=built),
            Entry(DecodeMultiply(fused, t, f"decode_fused{some}{suffix}"), built=built_fused),
        ]
    built, (short, _) = timed(lambda: quantize(t.fused(), some, size, "weighted", query_subvectors=few))
    weighted = DecodeMultiply(short, t, f"decode_fused{some}_weighted")
    found += [Entry(weighted, built=built), Entry(Reranked(weighted, exact, 2), built=built)]
    built, (codes, _) = timed(lambda: quantize(t.fused(), many, size, "weighted", query_subvectors=few))
    suffix = f"fused{many}_weighted"
    decode = DecodeMultiply(codes, t, f"decode_{suffix}")
    found += [
        Entry(Adc(codes, t, f"adc_{suffix}"), many + few, built=built),
        Entry(CompiledAdc(codes, t, f"adc_xla_{suffix}"), built=built),
        Entry(decode, built=built),
        Entry(decode, compiled=True, name=f"decode_xla_{suffix}", built=built),
        Entry(SimHash(t, 256), 256 // 32),
        Entry(Reranked(SimHash(t, 256), exact, 4), 256 // 32),
    ]
    return found


def served_names(dim: int) -> dict[str, str]:
    """Rows whose times `auto` chooses by -> their names in its table."""
    many = 3 * dim // 4
    prefixes = {"adc": "adc", "adc_xla": "adc_xla", "decode": "decode", "decode_xla": "decode_xla"}
    return {f"{row}_fused{many}_weighted": name for row, name in prefixes.items()} | {"exact_fused": "exact_fused"}


def hnsw(e: Embeddings, k: int) -> Entry:
    """Cascaded HNSW that brings K pairs a search."""
    return Entry(CascadedHnsw(e.tables, found=k), graph=False)


@dataclass(frozen=True)
class Finder:
    """One row: how a history is indexed, and how an indexed one is searched, both to the end of the computation.

    Attributes:
      name: as tables show it.
      index: (history items, queries, both (1, L)) -> index.
      search: (index, target items, queries, both (1, N)) -> positions (N, K); -1 where none was found.
      bytes: of a pair.
      built: as of Entry; of FAISS, to train its index.
    """

    name: str
    index: Callable[..., Any]
    search: Callable[..., np.ndarray]
    bytes: float
    built: float = 0.0


def finder(entry: Entry, k: int) -> Finder:
    """A method's row."""
    method = entry.method

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        if not entry.graph:
            return function
        graph = _static(function) if entry.compiled else function
        return tf.function(graph, jit_compile=entry.compiled or None, autograph=False)

    index = wrap(lambda *ids: method.index(*ids))
    search = wrap(lambda held, *ids: method.top_k(held, *ids, k))

    def indexed(*ids: Any) -> Any:
        held = index(*ids)
        if entry.graph:
            held[0][..., :1].numpy()  # waits: a device works on after the call
        return held

    return Finder(
        entry.title, indexed, lambda held, *ids: search(held, *ids).numpy()[0], method.bytes_per_pair(), entry.built
    )


def _static(function: Callable[..., Any]) -> Callable[..., Any]:
    def traced(*given: Any) -> Any:
        with static_shapes(True):
            return function(*given)

    return traced


def faiss_finders(e: Embeddings, catalog: np.ndarray, k: int) -> Iterator[Finder]:
    """FAISS on pre-fused pairs, its codebooks fitted on pairs of all users."""
    dim, metric = e.tables.dim, faiss.METRIC_INNER_PRODUCT
    makers = {
        "faiss_flat": (faiss.IndexFlat(dim, metric), 4.0 * dim),
        "faiss_pq": (faiss.IndexPQ(dim, 16, 8, metric), 16.0),
        "faiss_fastscan": (faiss.IndexPQFastScan(dim, 16, 4, metric), 8.0),
    }
    for name, (empty, size) in makers.items():
        built, _ = timed(lambda empty=empty: empty.train(catalog))

        def index(items: Any, queries: Any, empty: Any = empty) -> Any:
            made = faiss.clone_index(empty)
            made.add(np.ascontiguousarray(e.tables.pairs(np.asarray(items), np.asarray(queries))[0]))
            return made

        def search(held: Any, items: Any, queries: Any) -> np.ndarray:
            targets = e.tables.targets(np.asarray(items), np.asarray(queries))[0]
            return np.asarray(held.search(np.ascontiguousarray(targets), k)[1])

        yield Finder(name, index, search, size, built)
