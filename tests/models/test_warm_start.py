"""Rows that move by name between vocabularies, against plain dictionaries; models that start from earlier ones."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from seminar_tf.export.ranker_module import served_variables
from seminar_tf.features.vocabulary import FeatureSizes
from seminar_tf.models.channel_tables import ChannelTables
from seminar_tf.models.id_rows import SPACES, UNKNOWN, IdSpace, carry_over, earlier_rows, read_spaces
from seminar_tf.models.psu import PSU
from seminar_tf.models.seminar import Seminar
from seminar_tf.models.warm_start import (
    WarmStartError,
    copy_weights,
    differences,
    psu_tables,
    ranker_tables,
    spaces_between,
    start_from,
    start_ranker,
)
from tests.models import toy

BUCKETS = {"items": 2, "queries": 2, "tokens": 4, "attributes": 2}
# Yesterday's rows; toy.SIZES is today's.
OLD_SIZES = FeatureSizes(items=33, queries=14, tokens=25, attributes=18)


def spaces(sizes, seed):
    """Id spaces of a size, whose words are drawn from a common stock in another order each time."""
    rng = np.random.default_rng(seed)
    made = {}
    for name, (_, first) in SPACES.items():
        count = getattr(sizes, name) - first - BUCKETS[name]
        made[name] = IdSpace([f"{name}-é{n}" for n in rng.permutation(count + 6)[:count]], first, BUCKETS[name])
    return made


OLD, NEW = spaces(OLD_SIZES, 1), spaces(toy.SIZES, 2)
ROWS = spaces_between(OLD, NEW)


def expected(old, new, name):
    """The oracle: every row by hand."""
    was, now = OLD[name], NEW[name]
    made = np.array(new)
    made[: now.first] = old[: was.first]
    for n, entry in enumerate(now.entries):
        if entry in was.entries:
            made[now.first + n] = old[was.first + was.entries.index(entry)]
    made[now.rows - now.buckets :] = old[was.rows - was.buckets :]
    return made


def resized(features, rows):
    """Features of the first rows, repeated as needed: another catalog."""
    take = np.arange(rows) % len(features.known)
    return dataclasses.replace(
        features, **{f.name: getattr(features, f.name)[take] for f in dataclasses.fields(features)}
    )


def clipped(features, sizes):
    limits = {"tokens": sizes.tokens, "attributes": sizes.attributes}
    held = {
        name: np.minimum(getattr(features, name), most - 1) for name, most in limits.items() if hasattr(features, name)
    }
    return dataclasses.replace(features, **held)


def old_psu(seed=5):
    items = clipped(resized(toy.item_features(3), OLD_SIZES.items), OLD_SIZES)
    queries = clipped(resized(toy.query_features(3), OLD_SIZES.queries), OLD_SIZES)
    return PSU(toy.CONFIG, toy.TRAIN, OLD_SIZES, items, queries, seed)


def old_seminar(frozen, seed=5):
    rng = np.random.default_rng(seed)
    mask = rng.random((OLD_SIZES.items, 3)) < 0.7
    mask[0] = False
    tables = ChannelTables(
        channels=("text", "image", "attributes"),
        item=rng.normal(size=(OLD_SIZES.items, 3, toy.CONFIG.dim)).astype(np.float32) * mask[..., np.newaxis],
        item_mask=mask,
        query=rng.normal(size=(OLD_SIZES.queries, toy.CONFIG.dim)).astype(np.float32),
    )
    items = resized(toy.item_features(3), OLD_SIZES.items)
    config = dataclasses.replace(toy.CONFIG, freeze_tables=frozen)
    model = Seminar(config, OLD_SIZES, ("click",), tables, items, seed)
    for variable in model.trainable_variables:
        if variable is not model.pairs.item_table:
            variable.assign(rng.normal(size=variable.shape).astype(np.float32))
    return model


@pytest.mark.parametrize("seed", range(5))
def test_rows_are_found_by_name(seed):
    rng = np.random.default_rng(seed)
    words = [f"w{n}" for n in range(12)] + ["a b", "é"]
    old, new = (
        IdSpace([words[n] for n in rng.permutation(14)[: rng.integers(0, 14)]], 2, int(rng.integers(1, 3)))
        for _ in range(2)
    )
    rows = earlier_rows(old, new)
    assert rows.shape == (new.rows,)
    wanted = [0, 1]
    wanted += [old.first + old.entries.index(word) if word in old.entries else UNKNOWN for word in new.entries]
    same = old.buckets == new.buckets
    wanted += [old.rows - old.buckets + n if same else UNKNOWN for n in range(new.buckets)]
    assert rows.tolist() == wanted
    before, after = rng.normal(size=(old.rows, 3)), rng.normal(size=(new.rows, 3))
    made = carry_over(before, after, rows)
    for row, earlier in enumerate(wanted):
        np.testing.assert_array_equal(made[row], after[row] if earlier == UNKNOWN else before[earlier])


def test_a_psu_keeps_the_rows_of_known_ids_and_starts_the_others_as_ever():
    earlier, fresh, model = old_psu(), toy.psu(seed=7), toy.psu(seed=7)
    values = [v.numpy() for v in served_variables(earlier)]
    tables = psu_tables(model)
    assert sorted(tables.values()) == sorted(SPACES)
    start_from(served_variables(model), values, tables, ROWS)
    for variable, old, new in zip(served_variables(model), values, served_variables(fresh)):
        space = tables.get(id(variable))
        wanted = old if space is None else expected(old, new.numpy(), space)
        np.testing.assert_array_equal(variable, wanted, err_msg=variable.name)
    assert (ROWS["items"] == UNKNOWN).any() and (ROWS["items"] != UNKNOWN).sum() > 10
    # The same seed, the same start.
    again = toy.psu(seed=7)
    start_from(served_variables(again), values, psu_tables(again), ROWS)
    one, two = model.channel_tables(), again.channel_tables()
    np.testing.assert_array_equal(one.item, two.item)


@pytest.mark.parametrize("frozen", [False, True])
def test_seminar_keeps_what_was_fine_tuned(frozen):
    earlier, tables = old_seminar(frozen), toy.tables(4)
    made = [toy.seminar(seed=7, start=tables, freeze_tables=frozen) for _ in range(2)]
    fresh, model = made
    start_ranker(model, served_variables(model), earlier, served_variables(earlier), ROWS)
    space = ranker_tables(model)
    for variable, old, new in zip(served_variables(model), served_variables(earlier), served_variables(fresh)):
        if variable is model.pairs.item_table and not frozen:
            wanted = expected(old.numpy(), new.numpy(), "items")
            had = expected(earlier.pairs.item_mask.numpy(), np.ones((toy.SIZES.items, 3), bool), "items")
            wanted = np.where(had[..., np.newaxis], wanted, new.numpy())
        elif not variable.trainable:
            wanted = new.numpy()
        else:
            name = space.get(id(variable))
            wanted = old.numpy() if name is None else expected(old.numpy(), new.numpy(), name)
        np.testing.assert_array_equal(variable, wanted, err_msg=variable.name)
    np.testing.assert_array_equal(model.pairs.item_mask, tables.item_mask)


def test_other_shapes_and_other_counts_are_told_and_change_nothing():
    model = toy.psu()
    before = [v.numpy() for v in served_variables(model)]
    with pytest.raises(WarmStartError, match=r"has 3 weights, this one \d+"):
        start_from(served_variables(model), before[:3], psu_tables(model), ROWS)
    wrong = [v.numpy() for v in served_variables(old_psu())]
    wrong[-5] = np.zeros((3, 3), np.float32)
    with pytest.raises(WarmStartError, match=r"had shape \(3, 3\) and has"):
        start_from(served_variables(model), wrong, psu_tables(model), ROWS)
    for variable, value in zip(served_variables(model), before):
        np.testing.assert_array_equal(variable, value)


def test_what_differs_is_named():
    other = dataclasses.replace(toy.CONFIG, heads=4, top_k=9, dropout=0.5, use_gate=False)
    assert differences(toy.CONFIG, other) == [
        "model.heads was 2 and is 4",
        "model.use_gate was True and is False",
    ]
    assert differences(toy.CONFIG, dataclasses.replace(toy.CONFIG, history_length=99)) == []


def test_weights_pass_through_a_checkpoint(tmp_path):
    one, two = toy.psu(seed=1), toy.psu(seed=2)
    copy_weights(one, two, str(tmp_path / "weights"))
    for a, b in zip(served_variables(one), served_variables(two)):
        np.testing.assert_array_equal(a, b)


def test_vocabularies_are_read_with_their_buckets(tmp_path):
    with pytest.raises(FileNotFoundError, match="vocabulary 'items' is not at"):
        read_spaces(tmp_path, toy.SIZES)
    for name, (file, _) in SPACES.items():
        (tmp_path / file).write_text("\n".join(NEW[name].entries) + "\n", encoding="utf-8")
    assert read_spaces(tmp_path, toy.SIZES) == NEW
    with pytest.raises(ValueError, match="has 37 entries, the model's table 20 rows"):
        read_spaces(tmp_path, dataclasses.replace(toy.SIZES, items=20))
