"""Every search method against scores computed pair by pair in NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from seminar_tf.layers.masking import NEGATIVE
from seminar_tf.retrieval.codes import Adc, CompiledAdc, DecodeMultiply
from seminar_tf.retrieval.exact import ExactByChannel, ExactFused, ExactUnfused
from seminar_tf.retrieval.hnsw import CascadedHnsw
from seminar_tf.retrieval.lsh import SimHash
from seminar_tf.retrieval.quantizer import quantize
from seminar_tf.retrieval.rerank import Reranked
from seminar_tf.retrieval.sdc import Sdc, halves
from seminar_tf.retrieval.tables import gsu_tables
from tests.models import toy
from tests.retrieval import oracle

SEEDS = [0, 1, 2]
HEADS = 4


def scored(method, history, targets) -> np.ndarray:
    return method.scores(method.index(*history), *targets).numpy()


def drawn(seed, clusters=0):
    t = oracle.tables(seed, clusters=clusters)
    given = oracle.ids(seed + 10, t)
    return t, given[:2], given[2:]


@pytest.mark.parametrize("seed", SEEDS)
def test_exact_methods_give_the_scores_of_the_heads_mean(seed):
    t, history, targets = drawn(seed)
    rng = np.random.default_rng(seed)
    query_kernel, key_kernel = (rng.normal(size=(16, 16)).astype(np.float32) / 4 for _ in range(2))
    t = replace(t, fold=query_kernel @ key_kernel.T / (HEADS * (16 / HEADS) ** 0.5))
    wanted = oracle.scores(t, history, targets)
    unfused, fused = ExactUnfused(t, query_kernel, key_kernel, HEADS), ExactFused(t)
    apart = ExactByChannel(t, query_kernel, key_kernel, HEADS)
    np.testing.assert_allclose(scored(apart, history, targets), wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scored(unfused, history, targets), wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scored(fused, history, targets), wanted, rtol=1e-4, atol=1e-5)
    assert unfused.is_exact() and fused.is_exact()
    assert (unfused.bytes_per_pair(), fused.bytes_per_pair()) == (4 * 17 * 4, 64)


@pytest.mark.parametrize("seed", SEEDS)
def test_fusing_the_item_channels_beforehand_changes_no_score(seed):
    t, history, targets = drawn(seed)
    np.testing.assert_allclose(t.fused().pairs(*history), t.pairs(*history), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(t.fused().targets(*targets), t.targets(*targets), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rotation", ["none", "opq", "weighted"])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_codes_give_the_scores_of_the_vectors_they_stand_for(seed, fused, rotation):
    t, history, targets = drawn(seed)
    codes, _ = quantize(t.fused() if fused else t, subvectors=4, size=16, rotation=rotation, query_subvectors=2)
    decoded = codes.decoded()
    # Targets are not quantized.
    wanted = np.einsum("bnd,bld->bnl", t.targets(*targets), decoded.pairs(*history))
    for method in (Adc(codes, t), CompiledAdc(codes, t), DecodeMultiply(codes, t)):
        assert not method.is_exact()
        # gamma is kept in float16.
        np.testing.assert_allclose(scored(method, history, targets), wanted, rtol=5e-3, atol=5e-3, err_msg=method.name)
        assert method.bytes_per_pair() == (4 + 2 + 4 if fused else 3 * 4 + 2 + 8)


@pytest.mark.parametrize("seed", SEEDS)
def test_sdc_is_the_same_collapsed_or_as_published(seed):
    t, history, targets = drawn(seed)
    target, past = halves(t)
    np.testing.assert_allclose(
        np.einsum("bnd,bld->bnl", target.pairs(*targets), past.pairs(*history)),
        oracle.scores(t, history, targets),
        rtol=1e-3,
        atol=1e-4,
    )
    own, codes = (quantize(side, subvectors=4, size=16)[0].decoded() for side in (target, past))
    wanted = np.einsum("bnd,bld->bnl", own.pairs(*targets), codes.pairs(*history))
    for collapsed in (False, True):
        found = scored(Sdc(t, subvectors=4, size=16, collapsed=collapsed), history, targets)
        np.testing.assert_allclose(found, wanted, rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize("seed", SEEDS)
def test_simhash_counts_the_planes_that_do_not_part_two_vectors(seed):
    t, history, targets = drawn(seed)
    method = SimHash(t, bits=64, seed=3)
    planes = np.random.default_rng(3).normal(size=(16, 64)).astype(np.float32)
    a, b = (x @ planes > 0 for x in (t.targets(*targets), t.pairs(*history)))
    wanted = (a[:, :, np.newaxis] == b[:, np.newaxis]).sum(axis=-1)
    found = scored(method, history, targets)
    # A vector that lies on a plane but for rounding may fall on either side.
    assert (found == wanted).mean() > 0.99 and np.abs(found - wanted).max() <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_hnsw_scores_what_it_finds_exactly(seed):
    t, history, targets = drawn(seed)
    wanted = oracle.scores(t, history, targets)
    everything = scored(CascadedHnsw(t, found=40), history, targets)
    np.testing.assert_allclose(everything, wanted, rtol=1e-3, atol=1e-4)
    some = scored(CascadedHnsw(t, found=5), history, targets)
    kept = some > NEGATIVE
    assert (kept.sum(axis=-1) >= 5).all() and (kept.sum(axis=-1) <= 20).all()
    np.testing.assert_allclose(some[kept], wanted[kept], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_top_k_masks_padding_and_adds_the_bias(seed):
    t = oracle.tables(seed, items=2_000)
    given = oracle.ids(seed + 10, t, length=200)
    history, targets = given[:2], given[2:]
    rng = np.random.default_rng(seed)
    mask = np.arange(200) < np.array([[200], [120]])
    bias = rng.normal(size=(2, 200)).astype(np.float32)
    full = np.where(mask[:, np.newaxis], oracle.scores(t, history, targets) + bias[:, np.newaxis], -np.inf)
    wanted = np.argsort(-full, axis=-1)[:, :, :10]
    codes, _ = quantize(t, subvectors=4, size=64)
    exact, coded = ExactFused(t), Adc(codes, t)
    shared = {}
    for method in (exact, Reranked(exact, exact, 2), coded, Reranked(coded, exact, 3)):
        found = method.top_k(method.index(*history), *targets, 10, mask, bias).numpy()
        assert (found[1] < 120).all()
        if method.name.startswith("exact"):
            np.testing.assert_array_equal(found, wanted)
        pairs = zip(found.reshape(-1, 10), wanted.reshape(-1, 10))
        shared[method.name] = np.mean([len(set(a) & set(b)) for a, b in pairs])
        # What was found is ranked by exact scores.
        if method.name == "adc_x3":
            assert (np.diff(np.take_along_axis(full, found, axis=-1)) <= 1e-5).all()
    assert shared["adc"] + 0.5 < shared["adc_x3"]


def test_a_batch_scores_as_its_requests_do_one_by_one():
    t, history, targets = drawn(0, clusters=20)
    codes, _ = quantize(t, subvectors=4, size=64)
    methods = [ExactFused(t), Adc(codes, t), CompiledAdc(codes, t), DecodeMultiply(codes, t), Sdc(t, 4, 64), SimHash(t)]
    for method in methods:
        whole = scored(method, history, targets)
        for row in range(2):
            one = scored(method, [x[row : row + 1] for x in history], [x[row : row + 1] for x in targets])
            np.testing.assert_allclose(whole[row : row + 1], one, rtol=1e-5, atol=1e-5, err_msg=method.name)
            for n in range(3):
                alone = scored(
                    method, [x[row : row + 1] for x in history], [x[row : row + 1, n : n + 1] for x in targets]
                )
                np.testing.assert_allclose(whole[row : row + 1, n : n + 1], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("share", [False, True])
def test_the_tables_of_a_model_give_its_own_gsu_scores(share):
    model = toy.seminar(share_gsu_esu=share, use_recency=False)
    rng = np.random.default_rng(0)
    for weight in (model.search.weights or []) + [model.pairs.projections, model.pairs.gate.kernel]:
        weight.assign(weight + rng.normal(size=weight.shape).astype(np.float32) * 0.3)
    batch = toy.batch(1)
    history = (batch["history_item_id"], batch["history_query"])
    queries = np.repeat(batch["query"][:, np.newaxis], batch["candidate_item_id"].shape[1], axis=1)
    kernels = (model.exact.query_kernel, model.exact.key_kernel) if share else None
    wanted = model.search.scores(
        model.pairs(tf.constant(batch["candidate_item_id"]), tf.constant(queries)),
        model.pairs(*map(tf.constant, history)),
        tf.constant(history[0] > 0),
        None,
        kernels,
    ).numpy()
    found = scored(ExactFused(gsu_tables(model)), history, (batch["candidate_item_id"], queries))
    valid = np.broadcast_to((history[0] > 0)[:, np.newaxis], wanted.shape)
    np.testing.assert_allclose(found[valid], wanted[valid], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="top_k_per_head"):
        gsu_tables(toy.seminar(top_k_per_head=True))
