"""The slices of `seminar_tf.evaluation.slices`, as features of TFMA's extracts."""

from __future__ import annotations

import numpy as np

from seminar_tf.evaluation.requests import Request
from seminar_tf.evaluation.slices import SLICE_FEATURES, bucket, slice_values

__all__ = ["SLICE_FEATURES", "bucket", "slice_features"]


def slice_features(request: Request, item_count: int) -> dict[str, np.ndarray]:
    """Slice features of one target.

    Args:
      request: the target's request.
      item_count: times the target's item is a pair of the train segments.

    Returns:
      feature name -> (1,) str.
    """
    return {name: np.array([value]) for name, value in slice_values(request, item_count).items()}
