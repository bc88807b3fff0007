"""Choices between two ways to compute the same: made while a graph is traced where they are known, or in the graph."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

# Fewer candidates than this are always served by gathering K pairs each.
_MANY_CANDIDATES = 16


def either(choice: bool | tf.Tensor, yes: Callable[[], tf.Tensor], no: Callable[[], tf.Tensor]) -> tf.Tensor:
    """What `yes` gives where the choice is true, else what `no` gives.

    Args:
      choice: a bool traces one of them only, as XLA wants it; a scalar tensor traces both under tf.cond.
      yes, no: what is chosen from.
    """
    if isinstance(choice, bool):
        return yes() if choice else no()
    return tf.cond(choice, yes, no)


def dense_pays(heads: int, length: tf.Tensor, gathered: int, candidates: tf.Tensor) -> tf.Tensor:
    """Whether attention over the whole history under a mask takes less than gathering K pairs for each candidate.

    Args:
      heads: H.
      length: L, an int32 scalar.
      gathered: values that are gathered for a candidate, K d (H K d where each head keeps its own).
      candidates: N, an int32 scalar.

    Returns:
      A bool scalar: one weight a head and pair, H L, against the gathered values, for many candidates.
    """
    return (heads * length <= 2 * gathered) & (candidates >= _MANY_CANDIDATES)
