"""The lifelong branch: the GSU finds K pairs of a long history, the ESU attends over them (spec section 5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from seminar_tf.config import ModelConfig
from seminar_tf.layers.branching import dense_pays, either
from seminar_tf.layers.distinct import are_shapes_static
from seminar_tf.layers.exact_search_unit import ExactSearchUnit
from seminar_tf.layers.recency_bias import RecencyBias
from seminar_tf.layers.search_unit import Products, SearchUnit
from seminar_tf.models.fused_batch import FusedBatch


class LifelongBranch:
    """What the two units compute together; their weights are the model's.

    Args:
      config: sizes and switches.
      search: the GSU. exact: the ESU.
      recency: the bias that both share, or None.
    """

    def __init__(
        self, config: ModelConfig, search: SearchUnit, exact: ExactSearchUnit, recency: RecencyBias | None
    ) -> None:
        self._config, self._search, self._exact, self._recency = config, search, exact, recency
        self._lists = config.heads if config.top_k_per_head else 1

    def __call__(self, target: tf.Tensor, seen: FusedBatch, training: bool) -> tf.Tensor:
        """x_lifelong of candidates: [B, N, d] -> [B, N, d].

        Args:
          target: candidate pairs.
          seen: the batch.
          training: gather for each candidate, as training must; in inference the cheaper way is taken.
        """

        def by_look_up(products: Products) -> tf.Tensor:
            return self._gathered(target, seen, products)

        def by_product() -> tf.Tensor:
            keys = seen.keys()
            if training or are_shapes_static():
                return self._gathered(target, seen, keys)
            values = self._lists * self._config.top_k * self._config.dim
            pays = dense_pays(self._config.heads, tf.shape(keys)[1], values, tf.shape(target)[1])
            return tf.cond(pays, lambda: self._dense(target, seen, keys), lambda: self._gathered(target, seen, keys))

        return self._by_keys(seen, by_look_up, by_product)

    def scores(self, target: tf.Tensor, seen: FusedBatch) -> tf.Tensor:
        """The GSU's scores of every pair, recency in them: [B, N, L], [B, N, H, L] with top_k_per_head; NEGATIVE at
        padding."""
        return self._search.scores(target, seen.keys(), seen.mask, self._search_bias(seen), self._kernels())

    def positions(self, target: tf.Tensor, seen: FusedBatch) -> tf.Tensor:
        """Which pairs the GSU keeps, and nothing of the ESU: [B, N, K'] int32 into L, best first, padding among them
        where the history is shorter ([B, N, H, K'] with top_k_per_head)."""

        def with_keys(keys: tf.Tensor | Products) -> tf.Tensor:
            return self._search(target, keys, seen.mask, self._search_bias(seen), self._kernels())[0]

        return self._by_keys(seen, with_keys, lambda: with_keys(seen.keys()))

    def found(self, target: tf.Tensor, seen: FusedBatch) -> tuple[tf.Tensor, tf.Tensor]:
        """What the GSU keeps for each candidate, and how the ESU weights it.

        Returns:
          positions: [B, N, K'] int32 into L, best first, -1 where the history has fewer than K' pairs ([B, N, H, K']
            with top_k_per_head).
          weights: float32 of the same shape: the heads' mean attention weight; each head's own with top_k_per_head.
        """

        def with_keys(keys: tf.Tensor | Products) -> tuple[tf.Tensor, tf.Tensor]:
            chosen, valid, recent = self._kept(target, seen, keys)
            weights = tf.cast(self._exact.weights_of(target, seen.picked(chosen), valid, recent), tf.float32)
            if not self._config.top_k_per_head:
                weights = tf.reduce_mean(weights, axis=2)
            return tf.where(valid, chosen, -1), tf.where(valid, weights, 0.0)

        return self._by_keys(seen, with_keys, lambda: with_keys(seen.keys()))

    def _kept(
        self, target: tf.Tensor, seen: FusedBatch, keys: tf.Tensor | Products
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
        """Positions of the kept pairs, which of them are any, and their recency bias."""
        chosen, valid = self._search(target, keys, seen.mask, self._search_bias(seen), self._kernels())
        if self._recency is None:
            return chosen, valid, None
        recent = self._recency(seen.pick(seen.gap, chosen), seen.pick(seen.position, chosen))
        # A head that has pairs of its own, [B, N, H, K], needs its own column of [B, N, H, K, H] only.
        own = self._config.top_k_per_head
        return chosen, valid, tf.einsum("bnhkh->bnhk", recent) if own else tf.transpose(recent, (0, 1, 3, 2))

    def _gathered(self, target: tf.Tensor, seen: FusedBatch, keys: tf.Tensor | Products) -> tf.Tensor:
        chosen, valid, recent = self._kept(target, seen, keys)
        return self._exact(target, seen.picked(chosen), valid, recent)

    def _dense(self, target: tf.Tensor, seen: FusedBatch, keys: tf.Tensor) -> tf.Tensor:
        keep = self._search.keep(target, keys, seen.mask, self._search_bias(seen), self._kernels())
        recent = None if self._recency is None else tf.transpose(self._recency(seen.gap, seen.position), (0, 2, 1))
        return self._exact.over_history(target, keys, keep, recent)

    def _kernels(self) -> tuple[tf.Tensor, tf.Tensor] | None:
        return (self._exact.query_kernel, self._exact.key_kernel) if self._config.share_gsu_esu else None

    def _search_bias(self, seen: FusedBatch) -> tf.Tensor | None:
        """The GSU's recency bias: [B, L] averaged over heads, [B, L, H] where each head keeps its own K."""
        if self._recency is None:
            return None
        bias = self._recency(seen.gap, seen.position)
        return tf.stop_gradient(bias if self._config.top_k_per_head else tf.reduce_mean(bias, axis=-1))

    def _by_keys(self, seen: FusedBatch, by_look_up: Callable[[Products], Any], by_product: Callable[[], Any]) -> Any:
        """What one of the two gives: by look-ups where the batch holds codes and that is the faster way."""
        products = seen.products()
        if products is None:
            return by_product()
        return either(seen.look_up(self._lists), lambda: by_look_up(products), by_product)
