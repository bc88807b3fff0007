"""Embeddings and long histories for benchmarks/retrieval.py: trained ones from a PSU's model, or random ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import seminar_tf  # noqa: F401  (settles the Keras version before TensorFlow loads)

# isort: split
from seminar_tf.config import PipelineConfig
from seminar_tf.features.tables import ItemFeatures
from seminar_tf.features.vocabulary import FeatureSizes
from seminar_tf.layers.masking import NEGATIVE
from seminar_tf.models.channel_tables import ChannelTables
from seminar_tf.models.seminar import Seminar
from seminar_tf.retrieval.tables import GsuTables, gsu_tables
from seminar_tf.training.records import concatenate, list_files, read_segments


@dataclass(frozen=True)
class Embeddings:
    """Tables, and the kernels that the unfused method needs.

    Attributes:
      name: as tables show it.
      tables: vectors and gate logits.
      query_kernel, key_kernel: (d, d) W^Q and W^K.
      heads: H.
    """

    name: str
    tables: GsuTables
    query_kernel: np.ndarray
    key_kernel: np.ndarray
    heads: int


def trained(name: str, psu: Path, config: PipelineConfig) -> Embeddings:
    """What SEMINAR starts from: a PSU's tables, gate and <EOS> attention.

    Args:
      name: as tables show it.
      psu: the PSU's model folder (channel_tables.npz, items.npz).
      config: that it was trained with.
    """
    tables, items = ChannelTables.load(psu / "channel_tables.npz"), ItemFeatures.load(psu / "items.npz")
    sizes = FeatureSizes(items=len(tables.item), queries=len(tables.query), tokens=2, attributes=2)
    model = Seminar(config.model, sizes, ("click",), tables, items, seed=1)
    kernels = model.search.query_kernel.numpy(), model.search.key_kernel.numpy()
    return Embeddings(name, gsu_tables(model), *kernels, config.model.heads)


def random(items: int = 4_000, queries: int = 1_000, dim: int = 64, heads: int = 4, seed: int = 0) -> Embeddings:
    """Normal vectors, all channels present: the worst case for quantization."""
    rng = np.random.default_rng(seed)
    kernels = [(rng.normal(size=(dim, dim)) / dim**0.5).astype(np.float32) for _ in range(2)]
    present = np.arange(queries) > 0
    tables = GsuTables(
        channels=("query", "text", "image", "attributes"),
        item=rng.normal(size=(items, 3, dim)).astype(np.float32),
        item_logit=rng.normal(size=(items, 3)).astype(np.float32),
        query=(rng.normal(size=(queries, dim)) * present[:, np.newaxis]).astype(np.float32),
        query_logit=np.where(present, 0.0, NEGATIVE).astype(np.float32),
        fold=np.asarray(kernels[0] @ kernels[1].T / (heads * (dim // heads) ** 0.5), np.float32),
    )
    return Embeddings("random", tables, *kernels, heads)


@dataclass(frozen=True)
class Pairs:
    """All pairs of a split's users, end to end: ids (P,) int32."""

    items: np.ndarray
    queries: np.ndarray


def logged_pairs(examples: Path, tasks: tuple[str, ...]) -> Pairs:
    """The train split's pairs; users follow each other.

    Args:
      examples: folder of transformed `Split-<split>` folders.
      tasks: label tasks of the dataset.
    """
    segments = concatenate(list(read_segments(list_files([str(examples / "Split-train" / "*")]), tasks)))
    return Pairs(segments.item, segments.query)


def random_pairs(embeddings: Embeddings, count: int = 1_000_000, seed: int = 1) -> Pairs:
    """Uniform ids."""
    rng = np.random.default_rng(seed)
    rows = len(embeddings.tables.item), len(embeddings.tables.query)
    return Pairs(*(rng.integers(1, high, count).astype(np.int32) for high in rows))


def request(pairs: Pairs, length: int, candidates: int, seed: int) -> tuple[np.ndarray, ...]:
    """A history of L pairs in a row, and N targets from anywhere.

    A history longer than any user's goes on with the next users': what a site with longer histories would hold.

    Returns:
      item and query ids (1, L), target item and query ids (1, N), int32.
    """
    rng = np.random.default_rng(seed)
    first = rng.integers(0, len(pairs.items) - length + 1)
    places = rng.integers(0, len(pairs.items), candidates)
    history = (pairs.items[first : first + length], pairs.queries[first : first + length])
    return tuple(x[np.newaxis] for x in (*history, pairs.items[places], pairs.queries[places]))
