"""Every rival as a whole: padding, batches, gradients, saved weights, learning, XLA, what it starts from."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from seminar_tf.config import RANKERS, TrainConfig
from seminar_tf.layers.distinct import static_shapes
from seminar_tf.models.rankers import CLASSES
from tests.models import toy
from tests.models.rivals.helpers import RIVALS, fresh, moved, scores, tensors

import tensorflow as tf  # isort: skip


def test_every_name_of_the_configuration_has_a_ranker_of_its_own() -> None:
    assert tuple(CLASSES) == RANKERS and len(set(CLASSES.values())) == len(RANKERS)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", RIVALS)
def test_fault_05_and_06_padding_never_reaches_a_score(name: str, training: bool) -> None:
    """K larger than the shortest histories: with faults 5 or 6 padding would fill the rest of the K."""
    model, batch = moved(name, top_k=6), toy.batch(2)
    found = scores(model, batch, training)
    assert found.shape == (5, 3) and np.isfinite(found).all()
    np.testing.assert_allclose(scores(model, toy.pad(batch, 20), training), found, atol=1e-5)
    more = dict(batch, candidate_item_id=np.pad(batch["candidate_item_id"], ((0, 0), (0, 2))))
    more = {key: value for key, value in more.items() if not key.startswith("label_")}
    np.testing.assert_allclose(scores(model, more)[:, :3], scores(model, batch), atol=1e-5)


@pytest.mark.parametrize("name", RIVALS)
def test_many_candidates_score_as_one_by_one_and_rows_do_not_mix(name: str) -> None:
    model, batch = moved(name), toy.batch(1, candidates=20)
    found = scores(model, batch)
    unlabelled = {key: value for key, value in batch.items() if not key.startswith("label_")}
    np.testing.assert_allclose(scores(model, unlabelled, training=True), found, atol=1e-5)
    for n in (0, 13):
        one = dict(batch, candidate_item_id=batch["candidate_item_id"][:, n : n + 1])
        np.testing.assert_allclose(scores(model, one)[:, 0], found[:, n], atol=1e-5)
    for row in range(len(found)):
        alone = {key: value[row : row + 1] for key, value in batch.items()}
        np.testing.assert_allclose(scores(model, alone)[0], found[row], atol=1e-5)


@pytest.mark.parametrize("name", RIVALS)
def test_a_user_without_history_gets_finite_scores_and_gradients(name: str) -> None:
    model, batch = moved(name), toy.batch(3)
    for key in ("history_item_id", "history_query", "history_timestamp"):
        batch[key][:2] = 0
    assert np.isfinite(scores(model, batch)).all()
    with tf.GradientTape() as tape:
        total = model.total(model.compute_losses(tensors(batch), tf.constant([1, 2])))
    for gradient in tape.gradient(total, model.trainable_variables):
        assert gradient is None or np.isfinite(tf.convert_to_tensor(gradient).numpy()).all()


@pytest.mark.parametrize("name", RIVALS)
def test_fault_01_every_weight_trains_and_is_saved(name: str, tmp_path) -> None:
    model, batch = fresh(name), tensors(toy.batch(4, rows=16))
    model.compile(tf.keras.optimizers.Adam(0.01), run_eagerly=True)
    model.train_on_batch(batch)  # zeros of the gate and of the wide layer get their first gradient here
    with tf.GradientTape() as tape:
        total = model.total(model.compute_losses(batch, tf.constant([1, 2])))
    watched = {v.ref() for v in tape.watched_variables()}
    assert watched == {v.ref() for v in model.trainable_variables}
    for variable, gradient in zip(model.trainable_variables, tape.gradient(total, model.trainable_variables)):
        assert gradient is not None, variable.name
        assert np.abs(tf.convert_to_tensor(gradient).numpy()).max() > 0, variable.name
    path = str(tmp_path / "weights")
    model.save_weights(path)
    other = fresh(name, seed=9, start=toy.tables(9))
    other.load_weights(path)
    for a, b in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(scores(other, toy.batch(5)), scores(model, toy.batch(5)))


@pytest.mark.parametrize("name", RIVALS)
def test_a_trained_rival_tells_positives_from_negatives(name: str) -> None:
    train = dataclasses.replace(toy.TRAIN, listwise_weight=0.5)
    model = fresh(name, train=train, dropout=0.1)
    model.compile(tf.keras.optimizers.Adam(0.05), run_eagerly=True)
    batch = toy.batch(7, rows=16)
    first = model.train_on_batch(batch, return_dict=True)
    for _ in range(7):
        last = model.train_on_batch(batch, return_dict=True)
    own = {"gsu"} if name == "sim_soft" else set()
    assert set(last) == {"loss", "click", "click_listwise"} | own
    assert last["click"] < 0.8 * first["click"]
    assert not own or last["gsu"] < 0.95 * first["gsu"]


def test_the_index_of_soft_search_learns_by_its_own_loss_alone() -> None:
    """The choice of K carries no gradient: without the auxiliary loss W_a and W_b would stay as they are."""
    model, batch = fresh("sim_soft"), tensors(toy.batch(4, rows=16))
    kernels = [model.index_target.kernel, model.index_pair.kernel]
    for term, learns in (("click", False), ("gsu", True)):
        with tf.GradientTape() as tape:
            loss = model.compute_losses(batch, tf.constant([1, 2]))[term]
        assert all((g is not None) == learns for g in tape.gradient(loss, kernels)), term


@pytest.mark.parametrize("name", RIVALS)
def test_xla_scores_alike(name: str) -> None:
    # The shared short branch is compiled by other tests; without it this takes half the time.
    changes = {} if name == "sasrec" else {"short_length": 0}
    model, batch = moved(name, **changes), tensors(toy.batch(6, candidates=4))

    def static(batch: dict) -> tf.Tensor:
        with static_shapes(True):
            return model(batch)["click"]

    compiled = tf.function(static, jit_compile=True, autograph=False)
    np.testing.assert_allclose(compiled(batch), scores(model, batch), atol=1e-4)


@pytest.mark.parametrize("name", RIVALS)
def test_half_precision_gives_finite_losses_near_the_others(name: str) -> None:
    batch = tensors(toy.batch(8, rows=16))
    single = fresh(name).compute_losses(batch, tf.constant([1, 2]))
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        half = fresh(name).compute_losses(batch, tf.constant([1, 2]))
    finally:
        tf.keras.mixed_precision.set_global_policy(before)
    for term, loss in half.items():
        assert loss.dtype == tf.float32
        # A hash or a choice of K may fall out otherwise at the edge.
        np.testing.assert_allclose(loss, single[term], rtol=0.15, err_msg=term)


def test_a_rival_starts_from_the_tables_it_is_given() -> None:
    pretrained = toy.psu(train=TrainConfig(chunk_size=4, next_pair_windows=2)).channel_tables()
    for name in ("din", "twin"):
        started, plain = fresh(name, start=pretrained), fresh(name)
        np.testing.assert_array_equal(started.pairs.item_table, pretrained.item)
        np.testing.assert_array_equal(started.interest.eos, pretrained.weights["interest/0"])
        wide = [np.asarray(model.heads["click"].wide.kernel) for model in (started, plain)]
        assert wide[0][-1] == toy.CONFIG.dim**0.5 and not wide[0][:-1].any() and not wide[1].any()


def test_a_ranker_of_categories_needs_them() -> None:
    config = dataclasses.replace(toy.CONFIG, ranker="sim_hard")
    with pytest.raises(ValueError, match="sim_hard needs the items' categories"):
        CLASSES["sim_hard"](config, toy.SIZES, ("click",), toy.tables(), toy.item_features(), 1)
    without = dataclasses.replace(config, ranker="twin")
    twin = CLASSES["twin"](without, toy.SIZES, ("click",), toy.tables(), toy.item_features(), 1)
    assert np.isfinite(scores(twin, toy.batch(1))).all()


@pytest.mark.parametrize("name", ["sim_soft", "sasrec", "sdim"])
def test_tasks_have_losses_of_their_own(name: str) -> None:
    model, batch = fresh(name, tasks=("click", "like")), toy.batch(1)
    batch["label_like"] = np.where(batch["label_click"] > 0, np.nan, 0.0).astype(np.float32)
    losses = model.compute_losses(tensors(batch), tf.constant([1, 2]))
    assert {"click", "like"} <= set(losses) and all(np.isfinite(loss) for loss in losses.values())
