"""The rivals' branches in plain NumPy loops over one candidate at a time, written from the papers' equations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from seminar_tf.models.fused_batch import fuse_batch
from seminar_tf.models.table_ranker import TableRanker
from tests.layers import oracle
from tests.models import toy

import tensorflow as tf  # isort: skip


@dataclass(frozen=True)
class Case:
    """One request and one of its candidates.

    Attributes:
      target, item, query: [d] vectors of the candidate pair, of its item alone, and of the request's query.
      pairs: [n, d] vectors of the real history, oldest first.
      gap: [n] ms. history, history_query: [n] ids. candidate, request_query: ids.
    """

    target: np.ndarray
    item: np.ndarray
    query: np.ndarray
    pairs: np.ndarray
    gap: np.ndarray
    history: np.ndarray
    history_query: np.ndarray
    candidate: int
    request_query: int

    @property
    def position(self) -> np.ndarray:
        """[n], 0 for the newest."""
        return np.arange(len(self.pairs))[::-1]


def cases(model: TableRanker, batch: Mapping[str, np.ndarray]) -> list[list[Case]]:
    """Every request and candidate of a batch, with vectors from the model's own tables."""
    seen = fuse_batch(model.pairs, {name: tf.constant(value) for name, value in batch.items()}, False)
    targets, items, queries, pairs = (
        x.numpy() for x in (seen.targets(), seen.candidate_items(), seen.queries(), seen.keys())
    )
    found = []
    for b, ids in enumerate(batch["history_item_id"]):
        count = int((ids > 0).sum())
        gap = batch["request_timestamp"][b] - batch["history_timestamp"][b, :count]
        typed, request = batch["history_query"][b, :count], int(batch["query"][b])
        shared = (queries[b], pairs[b, :count], gap, ids[:count], typed)
        rows = enumerate(batch["candidate_item_id"][b])
        found.append([Case(targets[b, n], items[b, n], *shared, int(one), request) for n, one in rows])
    return found


def lifelong(model: TableRanker, case: Case) -> np.ndarray:
    """x_lifelong of one candidate, [d]."""
    return _BRANCHES[model.config.ranker](model, case)


def din(model: TableRanker, case: Case) -> np.ndarray:
    """Newest K pairs, or all, weighted by an MLP of [pair, target, pair * target, pair - target]."""
    whole = model.config.ranker == "din_whole"
    pairs = case.pairs if whole else case.pairs[-model.config.top_k :]
    kernel, bias, slope, out, offset = model.activation.get_weights()
    total = np.zeros(len(case.target))
    for pair in pairs:
        hidden = np.concatenate([pair, case.target, pair * case.target, pair - case.target]) @ kernel + bias
        hidden = np.where(hidden > 0, hidden, slope * hidden)
        total += (hidden @ out[:, 0] + offset) * pair
    return total / np.sqrt(model.config.history_length if whole else model.config.top_k)


def _attend(model: TableRanker, case: Case, kept: list[int], keys: np.ndarray, bias: np.ndarray | None = None):
    every = np.ones(len(kept), bool)
    chosen = None if bias is None else bias[:, kept]
    weights = model.attention.get_weights()
    return oracle.attention(case.target, keys[kept], every, chosen, weights, model.config.heads)


def _best(scores: np.ndarray, k: int) -> list[int]:
    return sorted(range(len(scores)), key=lambda n: -scores[n])[:k]


def _with_gap(model: TableRanker, case: Case) -> np.ndarray:
    table = model.gap.get_weights()[0]
    buckets = [oracle.recency_buckets(int(gap), 0)[0] for gap in case.gap]
    return np.concatenate([case.pairs, table[buckets]], axis=1)


def _shares_category(item: int, other: int) -> bool:
    known = toy.categories()
    return bool((set(known[item].tolist()) & set(known[other].tolist())) - {0})


def sim_hard(model: TableRanker, case: Case) -> np.ndarray:
    """The newest K pairs of a category of the target's."""
    same = [n for n, item in enumerate(case.history) if _shares_category(int(item), case.candidate)]
    return _attend(model, case, same[-model.config.top_k :], _with_gap(model, case))


def sim_soft(model: TableRanker, case: Case) -> np.ndarray:
    """The K pairs of largest (W_b e)^T (W_a t)."""
    w_a, w_b = model.index_target.get_weights()[0], model.index_pair.get_weights()[0]
    scores = (case.pairs @ w_b) @ (case.target @ w_a)
    return _attend(model, case, _best(scores, model.config.top_k), _with_gap(model, case))


def eta(model: TableRanker, case: Case) -> np.ndarray:
    """The K pairs of least Hamming distance, the newer first."""
    rotation = model.hash.get_weights()[0]
    mine, theirs = case.target @ rotation > 0, case.pairs @ rotation > 0
    order = sorted(range(len(theirs)), key=lambda n: ((theirs[n] != mine).sum(), case.position[n]))
    return _attend(model, case, order[: model.config.top_k], case.pairs)


def sdim(model: TableRanker, case: Case) -> np.ndarray:
    """Normalised sums of the pairs in the target's bucket, averaged over groups of hashes."""
    rotation, width = model.hash.get_weights()[0], model.config.rivals.sdim_width
    mine, theirs = case.target @ rotation > 0, case.pairs @ rotation > 0
    groups = rotation.shape[1] // width
    total = np.zeros(len(case.target))
    for group in range(groups):
        cut = slice(group * width, (group + 1) * width)
        summed = np.zeros(len(case.target))
        for pair, bits in zip(case.pairs, theirs):
            if (bits[cut] == mine[cut]).all():
                summed += pair
        if summed.any():
            total += summed / np.sqrt((summed**2).sum())
    return total / groups


def twin(model: TableRanker, case: Case) -> np.ndarray:
    """alpha with the cross features' bias, for keeping (mean over heads) and for weighting."""
    heads, attention, cross = model.config.heads, model.attention.get_weights(), model.cross
    gap_values, position_values = cross.gap_values.numpy(), cross.position_values.numpy()
    query_values, category_values, beta = (
        cross.query_values.numpy(),
        cross.category_values.numpy(),
        cross.beta.numpy(),
    )
    bias = []
    for n in range(len(case.pairs)):
        gap, place = oracle.recency_buckets(int(case.gap[n]), int(case.position[n]))
        typed = int(case.request_query > 1 and case.history_query[n] == case.request_query)
        shared = int(_shares_category(int(case.history[n]), case.candidate))
        values = [query_values[typed], gap_values[gap], position_values[place], category_values[shared]]
        bias.append(np.array(values) @ beta)
    bias = np.array(bias).T
    scores = oracle.search_scores(case.target, case.pairs, attention[0], attention[1], heads) + bias.mean(axis=0)
    return _attend(model, case, _best(scores, model.config.top_k), case.pairs, bias)


def _cosine(pairs: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.array([pair @ x / np.sqrt((pair @ pair) * (x @ x)) for pair in pairs])


def qin(model: TableRanker, case: Case) -> np.ndarray:
    """The pairs nearest to the query, then those nearest to the item among them."""
    kept = list(range(len(case.pairs)))
    if case.request_query > 1:
        kept = _best(_cosine(case.pairs, case.query), model.config.rivals.qin_query_k)
    scores = _cosine(case.pairs, case.item)
    best = sorted(kept, key=lambda n: -scores[n])[: model.config.top_k]
    return _attend(model, case, best, case.pairs)


_BRANCHES = {
    "din": din,
    "din_whole": din,
    "sim_hard": sim_hard,
    "sim_soft": sim_soft,
    "eta": eta,
    "sdim": sdim,
    "twin": twin,
    "qin": qin,
}


def sasrec(model: TableRanker, case: Case) -> float:
    """The click logit of one candidate."""
    length = model.config.short_length
    pairs = case.pairs[-length:]
    factor, offset = model.factor.numpy()[0], model.offset.numpy()[0]
    if not len(pairs):
        return float(offset)
    x = pairs + model.positions.numpy()[length - len(pairs) :]
    causal = np.tril(np.ones((len(pairs), len(pairs)), bool))
    for block in model.blocks:
        x = oracle.transformer_block(x, causal, block)
    return float(factor * (oracle.layer_norm(x[-1], *model.norm.get_weights(), 1e-6) @ case.target) + offset)
