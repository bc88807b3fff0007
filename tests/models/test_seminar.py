"""SEMINAR as a whole: invariances, gradients, what is restored, what is trained."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from seminar_tf.config import TrainConfig
from seminar_tf.models import pair_table
from seminar_tf.models.seminar import Seminar
from tests.models import toy

SWITCHES = [
    {},
    {"share_gsu_esu": True},
    {"use_recency": False},
    {"short_length": 0},
    {"use_query": False},
    {"use_gate": False},
    {"top_k": 100},
    {"top_k_per_head": True},
]


def _scores(model: Seminar, batch: dict, training: bool = False) -> np.ndarray:
    return model({name: tf.constant(value) for name, value in batch.items()}, training=training)["click"].numpy()


@functools.cache
def _cached(*changes: tuple[str, object]) -> Seminar:
    model, rng = toy.seminar(**dict(changes)), np.random.default_rng(0)
    # Away from the start, where zeros (gate, recency, linear path) would hide a fault.
    for variable in model.trainable_variables:
        variable.assign_add(0.1 * rng.normal(size=variable.shape).astype(np.float32))
    return model


def _moved(**changes: object) -> Seminar:
    """A model with no weight at its start; shared by tests, which must not change it."""
    return _cached(*changes.items())


@pytest.mark.parametrize("changes", SWITCHES)
def test_padding_changes_no_score(changes: dict) -> None:
    model, batch = _moved(**changes), toy.batch(1)
    scores = _scores(model, batch)
    assert scores.shape == (5, 3) and np.isfinite(scores).all()
    np.testing.assert_allclose(_scores(model, toy.pad(batch, 7)), scores, atol=1e-5)
    more = dict(batch, candidate_item_id=np.pad(batch["candidate_item_id"], ((0, 0), (0, 2))))
    np.testing.assert_allclose(_scores(model, more)[:, :3], scores, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_fault_05_and_06_padding_never_reaches_a_score(training: bool) -> None:
    """K larger than the shortest histories: with faults 5 or 6 padding would fill the rest of the K."""
    model, batch = _moved(top_k=8), toy.batch(2)
    np.testing.assert_allclose(_scores(model, toy.pad(batch, 20), training), _scores(model, batch, training), atol=1e-5)


@pytest.mark.parametrize("seed, changes", [(1, {}), (2, {}), (1, {"top_k_per_head": True})])
def test_many_candidates_score_as_one_by_one_and_rows_do_not_mix(seed: int, changes: dict) -> None:
    model, batch = _moved(**changes), toy.batch(seed, candidates=20)
    scores = _scores(model, batch)
    unlabelled = {name: value for name, value in batch.items() if not name.startswith("label_")}
    np.testing.assert_allclose(_scores(model, unlabelled, training=True), scores, atol=1e-5)
    for n in range(0, 20, 6):
        one = dict(batch, candidate_item_id=batch["candidate_item_id"][:, n : n + 1])
        np.testing.assert_allclose(_scores(model, one)[:, 0], scores[:, n], atol=1e-5)
    order = np.random.default_rng(seed).permutation(len(scores))
    moved = {name: value[order] for name, value in batch.items()}
    np.testing.assert_allclose(_scores(model, moved), scores[order], atol=1e-5)
    for row in range(len(scores)):
        alone = {name: value[row : row + 1] for name, value in batch.items()}
        np.testing.assert_allclose(_scores(model, alone)[0], scores[row], atol=1e-5)


def test_whole_and_distinct_tables_give_the_same_losses_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = _moved(), {name: tf.constant(value) for name, value in toy.batch(9, rows=8).items()}
    found = []
    for rows in (pair_table.WHOLE_TABLE_ROWS, 0):
        monkeypatch.setattr(pair_table, "WHOLE_TABLE_ROWS", rows)
        with tf.GradientTape() as tape:
            loss = model.compute_losses(batch, tf.constant([1, 2]))["click"]
        found.append([loss, *map(tf.convert_to_tensor, tape.gradient(loss, model.trainable_variables))])
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_positive_of_training_is_left_out_of_its_own_popularity() -> None:
    model, batch = toy.seminar(), {name: tf.constant(value) for name, value in toy.batch(5).items()}
    positive = np.max([batch[f"label_{task}"].numpy() > 0.5 for task in model.tasks], axis=0)
    assert positive.any()
    assert not positive.all()
    served = model._popularity(batch, training=False).numpy()
    trained = model._popularity(batch, training=True).numpy()
    count = model._counts.numpy()[batch["candidate_item_id"].numpy()]
    lowered = positive & (count > 0)
    assert lowered.any()
    np.testing.assert_array_equal(trained[~lowered], served[~lowered])
    assert (trained[lowered] < served[lowered]).all()
    again = np.log1p(count[lowered] - 1) - np.log1p(count[lowered])
    np.testing.assert_allclose((trained - served)[lowered] / model._log_count_scale, again, atol=1e-5)


def test_a_user_without_history_gets_finite_scores() -> None:
    batch = toy.batch(3)
    for name in ("history_item_id", "history_query", "history_timestamp"):
        batch[name] = np.zeros_like(batch[name])
    assert np.isfinite(_scores(_moved(), batch)).all()


@pytest.mark.parametrize("share", [False, True])
def test_fault_01_every_projection_trains_and_is_saved(share: bool, tmp_path) -> None:
    model = toy.seminar(share_gsu_esu=share)
    batch = {name: tf.constant(value) for name, value in toy.batch(4, rows=16).items()}
    model.compile(tf.keras.optimizers.Adam(0.01), run_eagerly=True)
    model.train_on_batch(batch)  # zeros of the gate and of the wide layer get their first gradient here
    with tf.GradientTape() as tape:
        loss = model.compute_losses(batch, tf.constant([1, 2]))["click"]
    gradients = dict(zip([v.ref() for v in model.trainable_variables], tape.gradient(loss, model.trainable_variables)))
    wanted = {"G": model.pairs.projections, "gate": model.pairs.gate.kernel, "tables": model.pairs.item_table}
    for unit, attention in (
        ("exact", model.exact),
        ("short", model.short.attention),
        ("interest", model.interest.attention),
    ):
        for kernel in ("query_kernel", "key_kernel", "value_kernel", "output_kernel"):
            wanted[f"{unit}/{kernel}"] = getattr(attention, kernel)
    for name, variable in wanted.items():
        assert variable.ref() in gradients, f"{name} is not trainable"
        gradient = tf.convert_to_tensor(gradients[variable.ref()]).numpy()
        assert np.abs(gradient).max() > 0, f"{name} gets no gradient"
        if name == "G":
            assert (np.abs(gradient).max(axis=(1, 2)) > 0).all(), "some G_j gets no gradient"
    assert len(model.search.weights) == (0 if share else 2)
    path = str(tmp_path / "weights")
    model.save_weights(path)
    other = toy.seminar(seed=9, start=toy.tables(9), share_gsu_esu=share)
    other.load_weights(path)
    for a, b in zip(model.weights, other.weights):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(_scores(other, toy.batch(5)), _scores(model, toy.batch(5)))


def test_projections_start_at_the_identity_and_tables_are_restored() -> None:
    tables = toy.tables(3)
    model = toy.seminar(start=tables, use_gate=False)
    np.testing.assert_array_equal(model.pairs.projections.numpy(), np.tile(np.eye(toy.CONFIG.dim), (4, 1, 1)))
    items, queries = np.array([[3, 7]], np.int32), np.array([[1, 5]], np.int32)
    for n in range(2):
        channels = np.concatenate([tables.query[queries[0, n]][None], tables.item[items[0, n]]])
        present = np.append(True, tables.item_mask[items[0, n]])
        np.testing.assert_allclose(model.pairs(items, queries)[0, n], channels[present].mean(0), atol=1e-5)


@pytest.mark.parametrize("switch, name", [("freeze_tables", "item_table"), ("freeze_projections", "projections")])
def test_freeze_switches(switch: str, name: str) -> None:
    model = toy.seminar(**{switch: True})
    frozen = getattr(model.pairs, name).ref()
    assert frozen in [v.ref() for v in model.non_trainable_variables]
    assert frozen not in [v.ref() for v in model.trainable_variables]


def test_pretrained_gate_interest_and_search_are_restored() -> None:
    psu = toy.psu()
    psu.compile(tf.keras.optimizers.Adam(0.05), run_eagerly=True)
    psu.train_on_batch(toy.batch(1))
    model = toy.seminar(start=psu.channel_tables())
    np.testing.assert_array_equal(model.pairs.gate.kernel, psu.gate.kernel)
    np.testing.assert_array_equal(model.interest.eos, psu.interest.eos)
    np.testing.assert_array_equal(model.search.key_kernel, psu.interest.attention.key_kernel)
    with pytest.raises(ValueError, match="Pretrain with the same"):
        toy.seminar(start=psu.channel_tables(), heads=4, use_recency=False)


@pytest.mark.parametrize("seed", [0, 1])
def test_fine_tuning_starts_as_the_psu_ranks(seed: int) -> None:
    pretrained = toy.psu(seed)
    # Histories no longer than the short branch: SEMINAR's interest comes from their newest S pairs.
    batch = toy.batch(seed, length=toy.CONFIG.short_length)
    logits = _scores(toy.seminar(seed + 5, start=pretrained.channel_tables()), batch)
    user = pretrained(batch).numpy()
    encoded = pretrained.encode(batch, tf.constant(batch["candidate_item_id"].ravel()))
    queries, weight = pretrained._encode_queries(tf.repeat(batch["query"], batch["candidate_item_id"].shape[1]))
    item, item_weight = (tf.gather(x, encoded.extra_row) for x in (encoded.items, encoded.item_weight))
    pairs = pretrained.gate.combine(item, item_weight, queries, weight).numpy().reshape(len(user), -1, toy.CONFIG.dim)
    np.testing.assert_allclose(logits, np.einsum("bd,bnd->bn", user, pairs), rtol=1e-4, atol=1e-5)


def test_the_search_is_pretrained_without_the_short_branch_too() -> None:
    pretrained = toy.psu()
    model = toy.seminar(start=pretrained.channel_tables(), short_length=0)
    np.testing.assert_array_equal(model.search.query_kernel, pretrained.interest.attention.query_kernel)
    np.testing.assert_array_equal(model.search.key_kernel, pretrained.interest.attention.key_kernel)
    assert not np.asarray(model.heads["click"].wide.kernel).any()


def test_without_the_next_pair_loss_only_the_gate_is_handed_over() -> None:
    untrained = toy.psu(train=TrainConfig(next_pair_weight=0.0, chunk_size=4)).channel_tables()
    assert untrained.weights and all(name.startswith("gate/") for name in untrained.weights)
    model = toy.seminar(start=untrained)
    np.testing.assert_array_equal(model.search.query_kernel, np.eye(toy.CONFIG.dim))
    assert not np.asarray(model.heads["click"].wide.kernel).any()


def test_unknown_labels_and_padding_candidates_carry_no_loss() -> None:
    model, batch = _moved(), toy.batch(6)
    masked = dict(batch, label_click=batch["label_click"].copy(), candidate_item_id=batch["candidate_item_id"].copy())
    masked["label_click"][:, 1] = np.nan
    masked["candidate_item_id"][:, 2] = 0
    one = dict(batch, label_click=batch["label_click"][:, :1], candidate_item_id=batch["candidate_item_id"][:, :1])
    seed = tf.constant([0, 0])
    np.testing.assert_allclose(
        model.compute_losses(masked, seed)["click"], model.compute_losses(one, seed)["click"], rtol=1e-5
    )


def test_a_trained_model_tells_positives_from_negatives_and_resumes_bit_for_bit() -> None:
    train = dataclasses.replace(toy.TRAIN, listwise_weight=0.5)

    def fresh() -> Seminar:
        model = toy.seminar(train=train, dropout=0.2)
        model.compile(tf.keras.optimizers.Adam(0.02), run_eagerly=True)
        return model

    batch = toy.batch(7, rows=16)
    whole = fresh()
    first = whole.train_on_batch(batch, return_dict=True)
    for _ in range(19):
        last = whole.train_on_batch(batch, return_dict=True)
    assert set(last) == {"loss", "click", "click_listwise"} and last["click"] < 0.8 * first["click"]
    half, rest = fresh(), fresh()
    for _ in range(10):
        half.train_on_batch(batch)
    rest.set_weights(half.get_weights())
    rest.optimizer.build(rest.trainable_variables)
    for target, value in zip(rest.optimizer.variables, half.optimizer.variables):
        target.assign(value)
    for _ in range(10):
        rest.train_on_batch(batch)
    for a, b in zip(whole.weights, rest.weights):
        np.testing.assert_array_equal(a, b)


def test_gate_weights_sum_to_one() -> None:
    weights = _moved().gate_weights(np.array([3, 7], np.int32), np.array([1, 4], np.int32)).numpy()
    assert weights.shape == (2, 4)
    np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-5)


def test_one_graph_serves_every_width_and_length(tmp_path) -> None:
    """Unknown B, L and N, saved and loaded again: the same scores, by either way of the exact unit."""
    model = _moved()
    names = [name for name in toy.batch() if not name.startswith("label")]
    wide = {name: [None] * np.ndim(toy.batch()[name]) for name in names}
    spec = {name: tf.TensorSpec(wide[name], toy.batch()[name].dtype, name) for name in names}
    module = tf.Module()
    module.model = model
    module.score = tf.function(lambda batch: model(batch)["click"], input_signature=[spec], autograph=False)
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    for rows, length, candidates in ((1, 3, 1), (4, 9, 20), (2, 30, 17)):
        batch = {n: v for n, v in toy.batch(8, rows, length, candidates).items() if n in spec}
        found = loaded.score({n: tf.constant(v) for n, v in batch.items()})
        np.testing.assert_allclose(found, _scores(model, batch), atol=1e-5)
