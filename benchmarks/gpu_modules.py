"""The served graph as XLA modules, to be timed on a machine that has a GPU but no TensorFlow (benchmarks/gpu_run.py).

What `rank_indexed_xla` compiles, a whole SEMINAR with random weights, is lowered to HLO for batches of fixed sizes and
written beside its variables, its inputs and the logits that TensorFlow computes on this CPU. As there is no GPU here,
TensorFlow lowers it for the CPU's XLA; a GPU's compiler is given that HLO as it is before any optimization. Speed does
not depend on what was learned; the histories are full.

Run: python -m benchmarks.gpu_modules FOLDER [--tables fused codes-decode codes-lookup --batches 1 8 32]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.random_ranker import Sizes, served_seminar
from seminar_tf.config import ModelConfig, PipelineConfig, RetrievalConfig
from seminar_tf.features import names
from seminar_tf.features.vocabulary import FeatureSizes

# isort: split
import tensorflow as tf

from seminar_tf.layers.distinct import static_shapes
from seminar_tf.models.seminar import Seminar

_TASK = "click"


def make_model(sizes: Sizes, tables: str, search: str, seed: int) -> Seminar:
    """A random SEMINAR with the tables as they are served."""
    retrieval = RetrievalConfig(tables=tables, search=search) if tables == "codes" else RetrievalConfig(tables=tables)
    model = ModelConfig(serving_history_length=sizes.length, top_k=sizes.top_k, dim=sizes.dim, heads=sizes.heads)
    config = PipelineConfig(name="random", model=model, retrieval=retrieval)
    rows = FeatureSizes(items=sizes.items, queries=sizes.queries, tokens=10, attributes=60)
    return served_seminar(rows, seed, config, (_TASK,))


def request_batch(sizes: Sizes, requests: int, seed: int) -> dict[str, np.ndarray]:
    """Requests with full histories, a pair a minute, two in three of them searched."""
    rng = np.random.default_rng(seed)
    moments = 1_700_000_000_000 + 60_000 * np.arange(sizes.length, dtype=np.int64)
    pairs = (requests, sizes.length)
    return {
        names.HISTORY_ITEM_ID: rng.integers(1, sizes.items, pairs, dtype=np.int32),
        names.HISTORY_QUERY: rng.integers(1, sizes.queries, pairs, dtype=np.int32) * (rng.random(pairs) < 2 / 3),
        names.HISTORY_TIMESTAMP: np.tile(moments, (requests, 1)),
        names.CANDIDATE_ITEM_ID: rng.integers(1, sizes.items, (requests, sizes.candidates), dtype=np.int32),
        names.QUERY: rng.integers(1, sizes.queries, requests, dtype=np.int32),
        names.REQUEST_TIMESTAMP: np.full(requests, moments[-1] + 60_000),
        names.USER_ATTRIBUTES: rng.integers(1, 50, (requests, 4), dtype=np.int32),
    }


Arrays = list[np.ndarray]


def lower(model: Seminar, batch: Mapping[str, np.ndarray]) -> tuple[bytes, Arrays, Arrays]:
    """The HLO of one call, and its parameters: the batch's arrays by name, then what the graph captures.

    Args:
      model: to be called.
      batch: inputs.
    """
    order = sorted(batch)

    def static(*given: tf.Tensor) -> tf.Tensor:
        with static_shapes(True):
            return model(dict(zip(order, given)), training=False)[_TASK]

    compiled = tf.function(static, jit_compile=True, autograph=False)
    given = [tf.constant(batch[name]) for name in order]
    traced = compiled.get_concrete_function(*given)
    variables = {id(v.handle): v for v in traced.variables}
    captured = [variables.get(id(x), x) for x in traced.captured_inputs]
    module = compiled.experimental_get_compiler_ir(*given)(stage="hlo_serialized")
    return module, [x.numpy() for x in given], [x.numpy() for x in captured]


def write(folder: Path, sizes: Sizes, tables: str, search: str, batches: list[int], seed: int) -> None:
    """Writes `<way>.npz`, what the graph captures, and for every B `<way>-<B>.hlo` and `.npz`: inputs and logits."""
    way = tables if tables != "codes" else f"codes-{search}"
    model = make_model(sizes, tables, search, seed)
    held: Arrays | None = None
    for requests in batches:
        batch = request_batch(sizes, requests, seed + requests)
        module, given, captured = lower(model, batch)
        logits: Any = model({name: tf.constant(x) for name, x in batch.items()}, training=False)[_TASK]
        stem = folder / f"{way}-{requests}"
        stem.with_suffix(".hlo").write_bytes(module)
        np.savez(stem.with_suffix(".npz"), logits=logits.numpy(), **_numbered(given))
        if held is not None and not all(np.array_equal(a, b) for a, b in zip(held, captured, strict=True)):
            raise RuntimeError(f"{way}: the graph of {requests} requests captures other values than the one before.")
        held = captured
        np.savez(folder / f"{way}.npz", **_numbered(captured))
        told = sum(x.nbytes for x in captured) / 1e6
        print(f"{stem.name}: {len(module) / 1e3:.0f} kB of HLO, {told:.1f} MB of variables", flush=True)


def _numbered(arrays: Arrays) -> dict[str, np.ndarray]:
    return {f"p{n}": x for n, x in enumerate(arrays)}


def main() -> None:
    """Writes the modules."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tables", nargs="+", default=["fused", "codes-decode", "codes-lookup"])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--length", type=int, default=10_000)
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sizes = Sizes(items=options.items, length=options.length, candidates=options.candidates)
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.tables:
        tables, _, search = name.partition("-")
        if tables == "codes" and search not in ("decode", "lookup"):
            parser.error("--tables: codes-decode or codes-lookup; which is faster on a GPU is what is asked.")
        write(options.folder, sizes, tables, search, options.batches, options.seed)
    (options.folder / "sizes.json").write_text(
        json.dumps({"length": sizes.length, "candidates": sizes.candidates, "top_k": sizes.top_k, "dim": sizes.dim})
    )


if __name__ == "__main__":
    main()
