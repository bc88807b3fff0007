"""A choice that is made where it is known: while a graph is traced, or in the graph."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def either(choice: bool | tf.Tensor, yes: Callable[[], tf.Tensor], no: Callable[[], tf.Tensor]) -> tf.Tensor:
    """What `yes` gives where the choice is true, else what `no` gives.

    Args:
      choice: a bool traces one of them only, as XLA wants it; a scalar tensor traces both under tf.cond.
      yes, no: what is chosen from.
    """
    if isinstance(choice, bool):
        return yes() if choice else no()
    return tf.cond(choice, yes, no)
