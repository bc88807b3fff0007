"""The stated truth is true: probabilities match frequencies, and no ranker in sight beats the ideal one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from seminar_tf.data.generator import behaviour, preset
from seminar_tf.data.generator.ideal import metrics
from seminar_tf.data.generator.simulate import draw_clicks, simulate
from seminar_tf.data.generator.world import build_world


def test_ideal_is_far_above_popularity(demo):
    ideal, popularity = demo.summary.ideal["ideal"], demo.summary.ideal["popularity"]
    assert ideal["ndcg_at_10"] > 3 * popularity["ndcg_at_10"]
    random_hit = 10 / demo.config.items
    assert popularity["hit_at_10"] > 5 * random_hit
    for metric in ideal:
        assert ideal[metric] > popularity[metric]
        assert ideal[metric] >= demo.summary.ideal["click_only"][metric]


def test_the_query_helps_the_ideal_ranker(demo):
    assert demo.summary.ideal["search"]["ideal"]["ndcg_at_10"] > demo.summary.ideal["browse"]["ideal"]["ndcg_at_10"]


def test_logged_labels_follow_the_truth(demo):
    for task in ("click", "like"):
        logged = demo.summary.ideal["logged"][task]
        assert logged["rows"] == len(demo.requests)
        assert logged["auc"] > 0.75
        assert logged["log_loss"] < 0.85 * logged["base_log_loss"]


def test_popularity_counts_train_events_only(demo):
    order = demo.events.drop_duplicates("request_id", keep="last").dropna(subset="request_id")
    newest = order.groupby("user_id").tail(1).request_id
    targets = demo.events[demo.events.request_id.isin(newest)]
    assert demo.summary.ideal["targets"] == len(targets)
    train = _train_events(demo)
    counts = train.item_id.value_counts().reindex(demo.items.item_id, fill_value=0)
    own = counts[targets.item_id].to_numpy()[:, None]
    ranks = np.stack([(counts.to_numpy() > own).sum(axis=1), (counts.to_numpy() == own).sum(axis=1)], axis=1)
    assert metrics(ranks) == demo.summary.ideal["popularity"]


def _train_events(demo):
    """Events before the second newest request of each user, and before the direct visit that led to it."""
    order = demo.events.dropna(subset="request_id").drop_duplicates("request_id")
    from_end = order.groupby("user_id").cumcount(ascending=False)
    of_request = dict(zip(order.request_id, from_end))
    own = demo.events.request_id.map(of_request)
    # A direct visit belongs to the request after it.
    return demo.events[own.bfill() >= 2]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_click_probabilities_match_frequencies(seed):
    config = preset("demo", users=400, seed=seed)
    world = build_world(config)
    truth, label = [], []
    for number in (0, 1):
        block = simulate(world, number)
        truth.append(block.click_truth[block.shown])
        label.append(block.click[block.shown])
    probability, clicked = np.concatenate(truth), np.concatenate(label)
    edges = np.quantile(probability, np.linspace(0, 1, 11))
    for low, high in itertools.pairwise(edges):
        rows = (probability >= low) & (probability <= high)
        error = np.sqrt(probability[rows] * (1 - probability[rows])).mean() / np.sqrt(rows.sum())
        assert abs(clicked[rows].mean() - probability[rows].mean()) < 5 * error + 1e-3


def test_clicks_are_drawn_under_the_condition_of_at_least_one():
    chance = np.array([0.1, 0.5, 0.0, 0.3])
    click, truth = draw_clicks(np.tile(chance, (200_000, 1)), np.random.default_rng(0))
    patterns = np.array(list(itertools.product([0, 1], repeat=4)))
    likelihood = np.prod(np.where(patterns, chance, 1 - chance), axis=1) * patterns.any(axis=1)
    likelihood /= likelihood.sum()
    drawn = np.bincount(click @ np.array([8, 4, 2, 1]), minlength=16) / len(click)
    np.testing.assert_allclose(drawn, likelihood, atol=5e-3)
    np.testing.assert_allclose(truth[0], likelihood @ patterns, rtol=1e-12)


def test_nothing_shown_means_nothing_clicked():
    click, truth = draw_clicks(np.zeros((3, 5)), np.random.default_rng(0))
    assert not click.any()
    assert not truth.any()


@pytest.mark.parametrize("search", [False, True])
def test_exposure_matches_what_is_shown(search):
    world = build_world(preset("tiny"))
    block = simulate(world, 0)
    repeats = 20_000
    one = block.context.take(np.full(repeats, 500))
    one.search[:] = search
    item, shown, _ = behaviour.draw_candidates(world, one, np.arange(repeats), np.random.default_rng(3))
    frequency = np.bincount(item[shown], minlength=world.config.items) / repeats
    expected = behaviour.exposure(world, one.take(np.arange(1)))[0]
    np.testing.assert_allclose(frequency, expected, atol=5 * np.sqrt(0.25 / repeats))
    assert not expected[world.direct_only].any()
    assert expected.sum() > 2


def test_ties_count_as_random_order():
    scores = np.array([3.0, 1.0, 1.0, 1.0, 0.0, 0.0, 7.0])
    target = 2
    ranks = np.array([[(scores > scores[target]).sum(), (scores == scores[target]).sum()]])
    places = [
        sorted(range(7), key=lambda i: (-scores[i], order[i])).index(target) + 1
        for order in itertools.permutations(range(7))
    ]
    found = metrics(ranks)
    for k in (5, 10, 50):
        assert found[f"ndcg_at_{k}"] == pytest.approx(np.mean([(p <= k) / np.log2(p + 1) for p in places]), abs=1e-6)
        assert found[f"hit_at_{k}"] == pytest.approx(np.mean([p <= k for p in places]), abs=1e-6)
    assert found["mrr"] == pytest.approx(np.mean([1 / p for p in places]), abs=1e-6)
