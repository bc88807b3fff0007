"""Over-fetch by a cheap method, rank what came exactly (spec section 6)."""

from __future__ import annotations

import tensorflow as tf

from seminar_tf.retrieval.exact import ExactFused
from seminar_tf.retrieval.method import Index, SearchMethod, with_bias


class Reranked(SearchMethod):
    """The best `factor` K pairs of a method, of which the best K by exact scores are kept.

    Args:
      method: finds.
      exact: ranks; it looks pairs up by id, so no vector of theirs is kept.
      factor: 2 to 4 is what pays.
    """

    def __init__(self, method: SearchMethod, exact: ExactFused, factor: int = 2) -> None:
        super().__init__(f"{method.name}_x{factor}")
        if factor < 1:
            raise ValueError(f"Reranked: factor {factor}, expected 1 or more.")
        self._method, self._exact, self._factor = method, exact, factor

    def index(self, items: tf.Tensor, queries: tf.Tensor) -> Index:
        """The ids, then the method's own index."""
        return (items, queries, *self._method.index(items, queries))

    def scores(self, index: Index, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """Those of the method."""
        return self._method.scores(index[2:], items, queries)

    def top_k(
        self,
        index: Index,
        items: tf.Tensor,
        queries: tf.Tensor,
        k: int,
        mask: tf.Tensor | None = None,
        bias: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """See SearchMethod."""
        wanted = tf.minimum(self._factor * k, tf.shape(index[0])[1])
        found = self._method.top_k(index[2:], items, queries, wanted, mask, bias)
        pairs = self._exact.pairs(*(tf.gather(ids, found, batch_dims=1) for ids in index[:2]))
        exact = tf.linalg.matvec(pairs, self._exact.targets(items, queries))
        # Each candidate has pairs of its own: the bias and the mask of each.
        flat = tf.reshape(exact, (-1, 1, wanted))
        own_bias = None if bias is None else tf.reshape(tf.gather(bias, found, batch_dims=1), (-1, wanted))
        own_mask = None if mask is None else tf.reshape(tf.gather(mask, found, batch_dims=1), (-1, wanted))
        best = tf.math.top_k(tf.reshape(with_bias(flat, own_mask, own_bias), tf.shape(exact)), k).indices
        return tf.gather(found, best, batch_dims=2)

    def is_exact(self) -> bool:
        """False: what the method did not find is lost."""
        return False

    def bytes_per_pair(self) -> float:
        """The method's, and two ids."""
        return self._method.bytes_per_pair() + 8.0
