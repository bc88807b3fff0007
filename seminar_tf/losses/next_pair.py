"""L_next_pair: pick the held-out pair among sampled pairs (spec section 4)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from seminar_tf.layers import replicas


@contextmanager
def _float32() -> Iterator[None]:
    """TFRS' task makes layers of its own, which take on the global policy: a softmax over a pool needs float32."""
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy("float32")
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(before)


class NextPairLoss(tf.keras.layers.Layer):
    """Softmax cross-entropy of the TFRS retrieval task over in-batch and uniform pairs, with logQ correction.

    The pool mixes both sources, so a pair's sampling probability is that of the mixture: (n_b p(item) + n_u / V) /
    (n_b + n_u). Subtracting its log makes the sampled softmax stand for the one over the whole catalog. Pairs of the
    pool with the positive's own item are left out of its softmax. Computed in float32 under any policy.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        with _float32():
            self.task = tfrs.tasks.Retrieval(remove_accidental_hits=True)
        # It asks for the len() of a tensor, which needs autograph; training steps are traced without.
        self._call_task = tf.autograph.to_graph(type(self.task).call, recursive=False)

    def call(
        self,
        users: tf.Tensor,
        pairs: tf.Tensor,
        items: tf.Tensor,
        valid: tf.Tensor,
        uniform_pairs: tf.Tensor,
        uniform_items: tf.Tensor,
        probability: tf.Tensor,
    ) -> tf.Tensor:
        """Mean loss of the valid windows.

        Args:
          users: [n, d] output at <EOS> for each window.
          pairs: [p, d] the held-out pairs of the batch, p = n; where replicas share a batch, those of all replicas,
            this one's n windows first.
          items: [p] int32, their item ids.
          valid: [p] bool, False for windows that are padding; their pair is nobody's negative.
          uniform_pairs: [u, d] pairs with an item drawn uniformly.
          uniform_items: [u] int32.
          probability: [p + u] probability of each pool entry's item under the mixture; a common factor is immaterial.

        Returns:
          A float32 scalar, 0 where no window is valid; this replica's share where several share the batch.
        """
        users, pairs, uniform_pairs = (tf.cast(x, tf.float32) for x in (users, pairs, uniform_pairs))
        own = tf.shape(users)[0]
        pool_valid = tf.concat([valid, tf.ones_like(uniform_items, tf.bool)], axis=0)
        weight = tf.cast(valid[:own], tf.float32)
        # TFRS clips probabilities at 1e-6, so they are scaled up to keep rare items of huge catalogs apart.
        probability = probability / tf.maximum(tf.reduce_max(probability), 1e-30)
        with _float32():
            total = self._call_task(
                self.task,
                users,
                tf.concat([pairs, uniform_pairs], axis=0),
                sample_weight=weight,
                candidate_sampling_probability=probability,
                candidate_ids=tf.concat([items, uniform_items], axis=0),
                compute_metrics=False,
                compute_batch_metrics=False,
                # Padding windows keep their own diagonal entry, so that their (unweighted) loss stays finite.
                score_mask=pool_valid[tf.newaxis] | tf.eye(own, tf.shape(pool_valid)[0], dtype=tf.bool),
            )
        return total / tf.maximum(replicas.total(tf.reduce_sum(weight)), 1.0)


def mixture_probability(items: tf.Tensor, popularity: tf.Tensor, in_batch: tf.Tensor, uniform: int) -> tf.Tensor:
    """Probability of items in a pool of `in_batch` pairs drawn by popularity and `uniform` drawn evenly.

    Args:
      items: [n] int32 ids.
      popularity: [V] float32, share of the training pairs that each item has; sums to 1.
      in_batch: number of valid in-batch pairs, a scalar.
      uniform: number of uniform pairs.

    Returns:
      [n] float32.
    """
    in_batch = tf.cast(in_batch, tf.float32)
    drawn = in_batch * tf.gather(popularity, items) + uniform / popularity.shape[0]
    return drawn / tf.maximum(in_batch + uniform, 1.0)
