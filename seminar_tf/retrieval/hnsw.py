"""Cascaded HNSW, the paper's rival of quantization: graphs of a history's queries and items, searched four times.

Offline only: a graph is built for every history, outside TensorFlow.
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import tensorflow as tf

from seminar_tf.layers.masking import NEGATIVE
from seminar_tf.retrieval.method import SearchMethod
from seminar_tf.retrieval.tables import GsuTables


class CascadedHnsw(SearchMethod):
    """Two graphs a history, one of query vectors and one of fused items; target query and item search both.

    Scores are exact for the union of what the four searches find, NEGATIVE for all other pairs.

    Args:
      tables: of the model.
      found: pairs that each search brings.
      links: M of HNSW, links of a node.
      breadth: efSearch, at least `found`, and efConstruction.
    """

    def __init__(self, tables: GsuTables, found: int, links: int = 16, breadth: int = 128) -> None:
        super().__init__("hnsw_cascaded")
        self._tables, self._fused = tables, tables.fused()
        self._found, self._links, self._breadth = found, links, max(breadth, found)

    def index(self, items: Any, queries: Any) -> Any:
        """Item and query ids [B, L] -> for each history its pairs (L, d) and its two graphs."""
        return [self._graphs(i, q) for i, q in zip(np.asarray(items), np.asarray(queries))]

    def _graphs(self, items: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, list[Any]]:
        graphs = []
        for vectors in (self._fused.query[queries], self._fused.item[items, 0]):
            graph = faiss.IndexHNSWFlat(vectors.shape[1], self._links, faiss.METRIC_INNER_PRODUCT)
            graph.hnsw.efConstruction = graph.hnsw.efSearch = self._breadth
            graph.add(np.ascontiguousarray(vectors, np.float32))
            graphs.append(graph)
        return self._fused.pairs(items, queries), graphs

    def scores(self, index: Any, items: Any, queries: Any) -> tf.Tensor:
        """See SearchMethod."""
        items, queries = np.asarray(items), np.asarray(queries)
        parts = (self._fused.query[queries] @ self._fused.fold, self._fused.item[items, 0] @ self._fused.fold)
        targets = self._fused.targets(items, queries)
        scores = np.full((*items.shape, len(index[0][0])), NEGATIVE, np.float32)
        for request, (pairs, graphs) in enumerate(index):
            for graph in graphs:
                for part in parts:
                    _, found = graph.search(
                        np.ascontiguousarray(part[request], np.float32), min(self._found, len(pairs))
                    )
                    for target, places in enumerate(found):
                        places = places[places >= 0]
                        scores[request, target, places] = pairs[places] @ targets[request, target]
        return tf.constant(scores)

    def is_exact(self) -> bool:
        """False."""
        return False

    def bytes_per_pair(self) -> float:
        """The pair, the vectors of two graphs, and their links (2 M on the lowest level, each an int32)."""
        return 4.0 * self._tables.dim + 2.0 * (4 * self._tables.dim + 4 * 2 * self._links)
