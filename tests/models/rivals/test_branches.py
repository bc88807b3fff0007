"""What each rival reads from a history, against loops written from its paper."""

from __future__ import annotations

import numpy as np
import pytest

from seminar_tf.layers import activation_unit
from seminar_tf.models.fused_batch import fuse_batch
from tests.models import toy
from tests.models.rivals import oracle
from tests.models.rivals.helpers import RIVALS, moved, scores, tensors

import tensorflow as tf  # isort: skip

BRANCHES = [name for name in RIVALS if name != "sasrec"]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", BRANCHES)
def test_the_branch_is_that_of_the_paper(name: str, seed: int) -> None:
    """Twenty candidates take inference's way without gathering, the first three and training the other."""
    model, batch = moved(name, seed), toy.batch(seed, rows=6, candidates=20)
    batch["query"][:3] = [1, 4, 5]
    wanted = np.array([[oracle.lifelong(model, case) for case in row] for row in oracle.cases(model, batch)])
    for candidates, training in ((20, False), (3, False), (20, True)):
        part = tensors(dict(batch, candidate_item_id=batch["candidate_item_id"][:, :candidates]))
        seen = fuse_batch(model.pairs, part, training)
        found = model.read_history(seen.targets(), seen, part, training)
        np.testing.assert_allclose(found, wanted[:, :candidates], rtol=1e-4, atol=2e-5)
    assert np.abs(wanted).max() > 0.1


@pytest.mark.parametrize("name", ["din", "din_whole"])
def test_din_one_hidden_unit_at_a_time_is_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = moved(name), toy.batch(3, candidates=6)
    whole = scores(model, batch)
    monkeypatch.setattr(activation_unit, "_HELD", 0)
    np.testing.assert_allclose(scores(model, batch), whole, atol=1e-5)
    graph = tf.function(lambda batch: model(batch)["click"], autograph=False)
    np.testing.assert_allclose(graph(tensors(batch)), whole, atol=1e-5)


@pytest.mark.parametrize("seed", [1, 2])
def test_sasrec_is_that_of_the_paper(seed: int) -> None:
    model, batch = moved("sasrec", seed), toy.batch(seed, rows=6)
    batch["history_item_id"][1:3, 3:] = 0
    batch["history_item_id"][3] = 0
    wanted = [[oracle.sasrec(model, case) for case in row] for row in oracle.cases(model, batch)]
    np.testing.assert_allclose(scores(model, batch), wanted, rtol=1e-4, atol=1e-4)


def test_what_is_kept_is_told_with_its_weights() -> None:
    for name in ("sim_hard", "sim_soft", "eta", "twin", "qin"):
        model, batch = moved(name), tensors(toy.batch(4, rows=6))
        places, weights = (x.numpy() for x in model.search_history(batch))
        kept = places >= 0
        length = (batch["history_item_id"].numpy() > 0).sum(1)[:, np.newaxis, np.newaxis]
        assert (places < length).all() and (weights[~kept] == 0).all(), name
        np.testing.assert_allclose(weights.sum(-1), kept.any(-1), atol=1e-5)
        best = np.take_along_axis(model.search_scores(batch).numpy(), np.maximum(places, 0), axis=-1)
        assert (np.diff(np.where(kept, best, -np.inf)[kept.all(-1)], axis=-1) <= 0).all(), name


def test_the_search_by_the_query_is_left_out_where_there_is_none() -> None:
    model, batch = moved("qin"), toy.batch(5, rows=6)
    batch["history_item_id"][:] = np.maximum(batch["history_item_id"], 1)
    eligible = []
    for query in (1, 4):
        found = model.search_scores(tensors(dict(batch, query=np.full(6, query, np.int32)))).numpy()
        eligible.append((found > -1e8).sum(-1))
    assert (eligible[0] == 9).all() and (eligible[1] == model.config.rivals.qin_query_k).all()


def test_items_without_a_category_share_none() -> None:
    model = moved("sim_hard")
    known = toy.categories()
    without = np.flatnonzero(~known.any(1))[1:3].astype(np.int32)
    assert len(without) == 2
    same = model.categories.same(tf.constant([without]), tf.constant([without])).numpy()
    assert not same.any()
    ids = np.arange(1, 40, dtype=np.int32)
    found = model.categories.same(tf.constant([ids]), tf.constant([ids])).numpy()[0]
    wanted = [[bool(set(known[a]) & set(known[b]) - {0}) for b in ids] for a in ids]
    np.testing.assert_array_equal(found, wanted)
