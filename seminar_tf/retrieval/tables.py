"""What a search method knows: channel vectors and gate logits of every item and query, and the GSU's matrix."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from seminar_tf.layers.channel_gate import ChannelGate
from seminar_tf.layers.masking import NEGATIVE, masked_softmax
from seminar_tf.models.pair_table import PairTable
from seminar_tf.models.seminar import Seminar

import tensorflow as tf  # isort: skip


@dataclass(frozen=True)
class GsuTables:
    """Rows by id, in the model's id spaces, M item channels.

    A pair of item i and query q has gamma, the softmax of (query_logit[q], item_logit[i]), the vector
    x = sum_m gamma_m x^(m) over its M+1 channels, and for a target x_t the score x_t A x: the mean of the GSU's heads
    without the recency bias.

    Attributes:
      channels: names of the M+1 channels, query first.
      item: (V, M, d) float32, x^(m) = E_PSU^(m) G_m; zeros where the item lacks the channel.
      item_logit: (V, M) float32 gate logits, NEGATIVE where the item lacks the channel.
      query: (Q, d) float32.
      query_logit: (Q,) float32, NEGATIVE where there is no query (padding, or a model without the query channel).
      fold: (d, d) float32, A = W^Q W^K^T / (H sqrt(d_h)).
    """

    channels: tuple[str, ...]
    item: np.ndarray
    item_logit: np.ndarray
    query: np.ndarray
    query_logit: np.ndarray
    fold: np.ndarray

    def __post_init__(self) -> None:
        rows, modalities, dim = self.item.shape
        wanted = {
            "item_logit": (rows, modalities),
            "query": (len(self.query), dim),
            "query_logit": (len(self.query),),
            "fold": (dim, dim),
        }
        for name, shape in wanted.items():
            found = getattr(self, name).shape
            if found != shape:
                raise ValueError(f"GsuTables: {name} has shape {found}, item {self.item.shape} goes with {shape}.")
        if len(self.channels) != modalities + 1:
            raise ValueError(
                f"GsuTables: {len(self.channels)} channel names for {modalities} item channels and a query."
            )

    @property
    def dim(self) -> int:
        """d, width of a channel."""
        return int(self.item.shape[2])

    def gamma(self, items: np.ndarray, queries: np.ndarray) -> np.ndarray:
        """Weights of the channels of pairs: ids [...] and [...] -> [..., M+1] float32, query first."""
        logits = np.concatenate([self.query_logit[queries][..., np.newaxis], self.item_logit[items]], axis=-1)
        return np.asarray(masked_softmax(logits, logits > NEGATIVE))

    def channel_vectors(self, items: np.ndarray, queries: np.ndarray) -> np.ndarray:
        """x^(m) of pairs: ids [...] and [...] -> [..., M+1, d]."""
        return np.concatenate([self.query[queries][..., np.newaxis, :], self.item[items]], axis=-2)

    def pairs(self, items: np.ndarray, queries: np.ndarray) -> np.ndarray:
        """x of pairs: ids [...] and [...] -> [..., d]."""
        vectors: np.ndarray = np.einsum(
            "...m,...md->...d", self.gamma(items, queries), self.channel_vectors(items, queries)
        )
        return vectors

    def targets(self, items: np.ndarray, queries: np.ndarray) -> np.ndarray:
        """x_t A of target pairs: ids [...] and [...] -> [..., d]; a score is its inner product with a pair."""
        return np.asarray(self.pairs(items, queries) @ self.fold, np.float32)

    def fused(self) -> GsuTables:
        """The same scores with the item channels of each item fused to one.

        The gate's logits depend on nothing but the channel itself, so the fused item and the log of its channels'
        total weight are known before any request.
        """
        shares, log_weight = ChannelGate.shares(self.item_logit, self.item_logit > NEGATIVE)
        return replace(
            self,
            channels=(self.channels[0], "item"),
            item=np.einsum("vm,vmd->vd", shares, self.item)[:, np.newaxis],
            item_logit=np.asarray(log_weight)[:, np.newaxis],
        )


def gsu_tables(model: Seminar, ranks: bool = True) -> GsuTables:
    """The tables of a trained model.

    Args:
      model: with float tables.
      ranks: whether `fold` is to rank pairs, so that the heads must share one choice of K.

    Raises:
      ValueError: each head keeps K pairs of its own, so that no one matrix ranks the pairs; or the model's tables are
        not as trained.
    """
    if ranks and model.config.top_k_per_head:
        raise ValueError(
            "model.top_k_per_head: each head ranks the history by a matrix of its own. Search methods need the heads' "
            "mean; set model.top_k_per_head to false."
        )
    pairs, search = model.pairs, model.search
    if not isinstance(pairs, PairTable):
        raise ValueError(f"the model holds a {type(pairs).__name__} already: tables are read from a model as trained.")
    item = tf.einsum("vmd,mde->vme", tf.convert_to_tensor(pairs.item_table), pairs.projections[1:])
    mask = tf.convert_to_tensor(pairs.item_mask)
    query, query_logit = pairs.projected_queries(tf.range(pairs.query_rows))
    kernels = (model.exact.query_kernel, model.exact.key_kernel)
    if not model.config.share_gsu_esu:
        kernels = (search.query_kernel, search.key_kernel)
    fold = tf.matmul(*kernels, transpose_b=True) / (search.heads * (search.dim // search.heads) ** 0.5)
    return GsuTables(
        channels=("query", *pairs.channels),
        item=tf.where(mask[..., tf.newaxis], item, 0.0).numpy(),
        item_logit=tf.where(mask, pairs.gate.logits(item, first=1), NEGATIVE).numpy(),
        query=query.numpy(),
        query_logit=query_logit.numpy(),
        fold=fold.numpy(),
    )
