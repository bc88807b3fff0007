"""Tables of logged impressions and of slices, against loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.experiment.layout import Ranks, Scored
from pipelines.experiment.results import ALL
from pipelines.experiment.tables import CTR, PSR, impression_tables, slice_table

USERS = 60


def scored(strength: float, seed: int, floor: bool = False) -> Scored:
    """Six impressions of each user, of which the model knows something; every third user took nothing."""
    rng = np.random.default_rng(7)
    users, kind = np.repeat([b"%03d" % n for n in range(USERS)], 6), np.tile(["browse", "search"], 3 * USERS)
    labels = (rng.random(6 * USERS) < 0.4).astype(np.float32) * (np.arange(6 * USERS) // 6 % 3 > 0)
    noise = np.random.default_rng(seed).normal(0, 1, 6 * USERS)
    scores = strength * (labels - 0.3) + noise
    return Scored(users, kind, labels, 50 * scores if floor else 1 / (1 + np.exp(-scores)))


def impressions() -> tuple[dict, dict]:
    found = {
        "A": {seed: scored(2.0, seed) for seed in (1, 2, 3)},
        "B": {seed: scored(0.5, 10 + seed) for seed in (1, 2, 3)},
        "popularity": {None: scored(1.0, 30, floor=True)},
    }
    return found, {"A": "ranker", "B": "ranker", "popularity": "floor"}


def gauc(one: Scored, keep: np.ndarray) -> tuple[float, dict[bytes, tuple[float, int]]]:
    """By loops over pairs of a user's impressions."""
    by_user = {}
    for user in np.unique(one.users):
        y, s = (column[keep & (one.users == user)] for column in (one.labels, one.scores))
        won = [(a > b) + 0.5 * (a == b) for a in s[y > 0.5] for b in s[y <= 0.5]]
        if won:
            by_user[user] = (float(np.mean(won)), len(y))
    return sum(v * n for v, n in by_user.values()) / sum(n for _, n in by_user.values()), by_user


@pytest.mark.parametrize("part, kind", [(0, None), (1, "browse"), (2, "search")])
def test_impressions_are_those_of_loops(part, kind):
    found, kinds = impressions()
    tables = impression_tables(found, kinds, "A")
    assert [one.part for one in tables] == [ALL, CTR, PSR]
    one = found["A"][1]
    keep = np.ones(len(one.users), bool) if kind is None else one.kind == kind
    assert (tables[part].count, tables[part].users) == (keep.sum(), USERS)
    lines = {line.row: line for line in tables[part].lines}
    expected = [gauc(found["A"][seed], keep)[0] for seed in (1, 2, 3)]
    assert lines["A"].values["gauc"][0] == pytest.approx(np.mean(expected))
    p = np.clip(one.scores[keep], 1e-7, 1 - 1e-7)
    losses = -np.where(one.labels[keep] > 0.5, np.log(p), np.log1p(-p))
    assert impression_tables({"A": {1: one}}, kinds, "A")[part].lines[0].values["log_loss"][0] == pytest.approx(
        losses.mean()
    )
    # Weighted by impressions, over the users who took some and left some.
    b = [gauc(found["B"][seed], keep)[0] for seed in (1, 2, 3)]
    d = lines["B"].difference
    assert d.mean == pytest.approx(np.mean(b) - np.mean(expected)) and d.real and d.low < d.mean < d.high < 0
    assert d.users == len(gauc(one, keep)[1]) < USERS
    # What a floor ranks by is no probability.
    assert set(lines["popularity"].values) == {"gauc", "auc"}


def test_other_impressions_are_refused_and_one_class_gives_no_table():
    found, kinds = impressions()
    nothing = {"A": {1: replace(found["A"][1], labels=np.zeros_like(found["A"][1].labels))}}
    assert impression_tables(nothing, kinds, "A") == []
    found["B"][2] = replace(found["B"][2], labels=1 - found["B"][2].labels)
    with pytest.raises(ValueError, match="'B' scored other impressions"):
        impression_tables(found, kinds, "A")


def test_slices_are_means_of_their_targets():
    def sliced(mean: float, seed: int) -> Ranks:
        """All metrics of one target alike: no invariant is broken."""
        hit = (np.random.default_rng(seed).random(2 * USERS) < mean).astype(float)
        columns = {"item": np.where(np.arange(2 * USERS) % 5, "warm", "cold"), "request_kind": np.full(2 * USERS, "x")}
        users = np.repeat([b"%03d" % n for n in range(USERS)], 2)
        values = {"ndcg_at_1": hit, "hit_at_1": hit, "mrr": hit}
        return Ranks(users, np.arange(2 * USERS, dtype=np.int32), values, columns)

    found = {"A": {seed: sliced(0.5, seed) for seed in (1, 2)}, "B": {1: sliced(0.2, 9)}}
    table = slice_table("full", found, "mrr", ["B", "A"])
    # A feature of one value cuts nothing.
    assert table.targets == {"item:cold": 24, "item:warm": 96} and list(table.rows) == ["B", "A"]
    expected = np.mean([one.values["mrr"][::5].mean() for one in found["A"].values()])
    assert table.rows["A"]["item:cold"] == pytest.approx(expected)
    uncut = {"A": {1: replace(found["A"][1], slices={})}}
    assert slice_table("full", uncut, "mrr", ["A"]) is None
