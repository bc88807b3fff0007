"""ESU: exact multi-head target attention over the pairs that the GSU kept (spec section 5)."""

from __future__ import annotations

import tensorflow as tf

from seminar_tf.layers.target_attention import TargetAttention


@tf.keras.utils.register_keras_serializable(package="seminar_tf")
class ExactSearchUnit(TargetAttention):
    """x_lifelong = Concat(head_1 .. head_H) W^ESU over the K kept pairs of each candidate, weights of its own.

    Args:
      dim, heads, seed: as in TargetAttention.
    """

    def call(self, target: tf.Tensor, selected: tf.Tensor, mask: tf.Tensor, bias: tf.Tensor | None = None) -> tf.Tensor:
        """Attention over pairs gathered for each candidate.

        Args:
          target: [B, N, d] candidate pairs.
          selected: [B, N, K, d] kept pairs; [B, N, H, K, d] where each head has its own.
          mask: [B, N, K] bool, False for places of the K that hold no pair, wherever they are; [B, N, H, K] where each
            head has its own.
          bias: [B, N, H, K] recency bias of the kept pairs, or None.

        Returns:
          [B, N, d] x_lifelong.
        """
        return self.gathered(target, selected, mask, bias)

    def over_history(
        self, target: tf.Tensor, keys: tf.Tensor, keep: tf.Tensor, bias: tf.Tensor | None = None
    ) -> tf.Tensor:
        """The same result without gathering: for many candidates on a history that is not long.

        Args:
          target: [B, N, d] candidate pairs.
          keys: [B, L, d] all pairs.
          keep: [B, N, L] bool, the pairs kept (SearchUnit.keep); [B, N, H, L] where each head keeps its own.
          bias: [B, H, L] recency bias, or None.

        Returns:
          [B, N, d] x_lifelong.
        """
        if len(keep.shape) == 4:
            keep = tf.transpose(keep, (0, 2, 1, 3))
        return super().call(target, keys, keep, None if bias is None else bias[:, :, tf.newaxis])
