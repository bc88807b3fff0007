"""The one interface of all search methods: index a history, score it for targets, keep the best K."""

from __future__ import annotations

import abc

import tensorflow as tf

from seminar_tf.layers.largest import largest
from seminar_tf.layers.masking import NEGATIVE

Index = tuple[tf.Tensor, ...]


class SearchMethod(abc.ABC):
    """How the GSU finds the K pairs of a history that matter for a target.

    Ids are those of the model's vocabularies. All that depends on the history alone is computed by `index`, once a
    request however many targets it has.

    Attributes:
      name: as tables show it.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    @abc.abstractmethod
    def index(self, items: tf.Tensor, queries: tf.Tensor) -> Index:
        """What is kept of histories: item and query ids [B, L] int32 -> tensors whose first axis is B."""

    @abc.abstractmethod
    def scores(self, index: Index, items: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """Scores of every pair for targets, item and query ids [B, N] int32 -> [B, N, L] float32.

        They rank; only those of an exact method are the attention's own.
        """

    @abc.abstractmethod
    def is_exact(self) -> bool:
        """Whether the scores are the GSU's own, up to rounding."""

    @abc.abstractmethod
    def bytes_per_pair(self) -> float:
        """What a pair of an indexed history takes."""

    def top_k(
        self,
        index: Index,
        items: tf.Tensor,
        queries: tf.Tensor,
        k: int,
        mask: tf.Tensor | None = None,
        bias: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Positions of the best pairs.

        Args:
          index: of `index`.
          items, queries: [B, N] int32 target ids.
          k: K, at most L.
          mask: [B, L] bool, False is padding, which comes after all that is not; None where there is none.
          bias: [B, L] float32, added to the scores (recency), or None.

        Returns:
          [B, N, K] int32 into L, best first.
        """
        scores = with_bias(self.scores(index, items, queries), mask, bias)
        return largest(scores, k)


def with_bias(scores: tf.Tensor, mask: tf.Tensor | None, bias: tf.Tensor | None) -> tf.Tensor:
    """Scores [B, N, L] plus bias [B, L], NEGATIVE where mask [B, L] is False."""
    if bias is not None:
        scores += bias[:, tf.newaxis]
    if mask is not None:
        scores = tf.where(mask[:, tf.newaxis], scores, NEGATIVE)
    return scores
