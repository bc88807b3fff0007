"""The claims about generated data, measured on the tables as a stranger would read them."""

from __future__ import annotations

import io
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from seminar_tf.data.generator import preset
from seminar_tf.data.generator.config import END_MS, MAX_USER_EVENTS, MIN_USER_EVENTS, PRESETS, START_MS
from seminar_tf.data.generator.ideal import metrics
from seminar_tf.data.generator.timeline import user_lengths


def category_of(items: pd.DataFrame) -> pd.Series:
    """item_id -> category, where an item has attributes."""
    known = items.dropna(subset="attributes").set_index("item_id").attributes
    return known.map(lambda row: row[0].removeprefix("category="))


def tokens(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def test_popularity_has_a_long_tail(demo):
    counts = demo.events.item_id.value_counts()
    assert counts.iloc[: len(demo.items) // 10].sum() > 0.4 * len(demo.events)
    assert (counts <= counts.max() / 20).mean() > 0.5


def test_interests_drift(demo):
    events = demo.events.assign(category=demo.events.item_id.map(category_of(demo.items))).dropna(subset="category")
    drifted, shuffled = [], []
    rng = np.random.default_rng(0)
    for _, log in events.groupby("user_id"):
        session = (log.timestamp.diff() > 1_800_000).cumsum().to_numpy()
        if session[-1] < 30:
            continue
        by_session = np.array([session < session[-1] / 3, session > session[-1] * 2 / 3])
        mixed = rng.random(session[-1] + 1)[session]
        drifted.append(_distance(log.category, *by_session))
        shuffled.append(_distance(log.category, mixed < 1 / 3, mixed > 2 / 3))
    assert len(drifted) > 30
    assert np.mean(drifted) > 1.2 * np.mean(shuffled)


def _distance(category: pd.Series, some: np.ndarray, others: np.ndarray) -> float:
    """Total variation distance between the categories of two sets of events."""
    shares = [category[rows].value_counts(normalize=True) for rows in (some, others)]
    return float(shares[0].sub(shares[1], fill_value=0.0).abs().sum() / 2)


def test_searches_and_sessions_come_in_bursts(demo):
    log = demo.events.sort_values(["user_id", "timestamp"])
    search = log.kind == "search"
    after_search = search[search.shift(1, fill_value=False) & (log.user_id == log.user_id.shift(1))]
    assert 0.15 < search.mean() < 0.5
    assert after_search.mean() > 1.8 * search.mean()
    gap = log.groupby("user_id").timestamp.diff().dropna()
    assert gap.mean() > 20 * gap.median()


def test_a_search_has_one_to_five_clicks_that_share_query_and_request(demo):
    clicks = demo.events[demo.events.kind == "search"].groupby("request_id")
    assert (clicks["query"].nunique() == 1).all()
    assert clicks.size().between(1, 5).all()
    assert clicks.size().max() > 2
    assert demo.events[demo.events.kind == "browse"]["query"].isna().all()


def test_queries_and_titles_share_words(demo):
    in_items = {w for column in ("title", "text") for text in demo.items[column].dropna() for w in tokens(text)}
    typed = [w for query in demo.events["query"].dropna() for w in tokens(query)]
    assert np.mean([w in in_items for w in typed]) > 0.99


def test_clicked_items_have_words_of_the_query(demo):
    items = demo.items.set_index("item_id").fillna({"title": "", "text": ""})
    words = (items.title + " " + items.text).map(lambda text: set(tokens(text)))
    found = demo.events[demo.events.kind == "search"]
    of_click = [bool(words[i] & set(tokens(q))) for i, q in zip(found.item_id, found["query"])]
    others = found.item_id.sample(frac=1, random_state=0)
    of_chance = [bool(words[i] & set(tokens(q))) for i, q in zip(others, found["query"])]
    assert np.mean(of_click) > 0.55 > 2 * np.mean(of_chance)


def test_pictures_tell_the_category(demo):
    shown = demo.items.dropna(subset=["image", "attributes"])
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) for png in shown.image])
    assert pixels.shape[1:] == (32, 32, 3)
    flat, label = pixels.reshape(len(pixels), -1).astype(np.float32), pd.factorize(shown.attributes.str[0])[0]
    known, asked = np.arange(len(flat)) % 2 == 0, np.arange(len(flat)) % 2 == 1
    centroids = np.stack([flat[known & (label == c)].mean(axis=0) for c in range(label.max() + 1)])
    nearest = (np.square(centroids).sum(axis=1) - 2 * flat[asked] @ centroids.T).argmin(axis=1)
    assert (nearest == label[asked]).mean() > 8 / (label.max() + 1)


def test_modalities_are_missing_here_and_there(demo):
    missing = demo.items[["image", "title", "text", "attributes"]].isna()
    assert 0.1 < missing.image.mean() < 0.2
    assert 0.03 < missing.title.mean() < 0.08
    assert missing.text[missing.title].all()
    assert 0.005 < missing.attributes.mean() < 0.04
    assert demo.items.numeric_price.between(1, 10_000).all()


def test_some_new_items_appear_in_histories_only(demo):
    direct = demo.events[~demo.events.is_target]
    assert 0.005 < len(direct) / len(demo.events) < 0.06
    assert direct.request_id.isna().all()
    assert direct.timestamp.min() > (START_MS + END_MS) / 2
    assert not set(direct.item_id) & set(demo.requests.item_id)
    assert not set(direct.item_id) & set(demo.events[demo.events.is_target].item_id)


def test_impressions_agree_with_events(demo):
    requests, clicked = demo.requests, demo.requests[demo.requests.label_click == 1]
    assert (requests.groupby("request_id").label_click.sum() >= 1).all()
    assert (requests.label_like <= requests.label_click).all()
    assert requests.groupby("user_id").request_id.nunique().max() == demo.config.logged_requests
    assert set(requests.user_id) == set(demo.users.user_id) == set(demo.events.user_id)
    pairs = clicked.merge(demo.events, on=["request_id", "item_id"], suffixes=("", "_event"))
    logged = demo.events.request_id.isin(requests.request_id)
    assert len(pairs) == len(clicked) == logged.sum()
    delay = pairs.timestamp_event - pairs.timestamp
    assert delay.between(0, 30_000).all()
    assert (pairs.label_like == pairs.label_like_event).all()


def test_time_order_and_the_last_event_is_a_logged_click(demo):
    log = demo.events
    gaps = log.groupby("user_id").timestamp.diff().dropna()
    assert (gaps > 0).all()
    assert log.timestamp.between(START_MS, END_MS - 1).all()
    last = log.groupby("user_id").tail(1)
    newest = demo.requests.groupby("user_id").tail(1)
    assert set(last.request_id) == set(newest.request_id)
    # No click of a request lies at or after the next request.
    of_request = log.dropna(subset="request_id").groupby("request_id", sort=False).timestamp.agg(["min", "max"])
    starts = demo.requests.drop_duplicates("request_id").set_index("request_id")
    ends = of_request["max"].reindex(starts.index)
    follows = starts.user_id == starts.user_id.shift(-1)
    assert (ends[follows] < starts.timestamp.shift(-1)[follows]).all()


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_lengths_are_spread_widely_around_their_mean(name):
    config = preset(name)
    lengths = user_lengths(0, config.users, config)
    assert lengths.min() >= MIN_USER_EVENTS
    assert lengths.max() <= MAX_USER_EVENTS
    assert lengths.mean() == pytest.approx(config.mean_events, rel=0.1)
    assert lengths.max() > 5 * np.median(lengths)


def test_demo_is_mostly_50_to_1000_with_a_few_thousands():
    lengths = user_lengths(0, 600, preset("demo"))
    assert ((lengths >= 50) & (lengths <= 1_000)).mean() > 0.8
    assert 3 <= (lengths > 1_500).sum() <= 30


def test_events_are_as_many_as_asked_for(demo):
    assert len(demo.events) == pytest.approx(demo.config.users * demo.config.mean_events, rel=0.05)
    lengths = demo.events.groupby("user_id").size()
    assert lengths.min() == demo.summary.shortest >= MIN_USER_EVENTS
    assert lengths.max() == demo.summary.longest <= MAX_USER_EVENTS


def test_history_tells_more_than_popularity(demo):
    """The plainest use of a history, a user's own category counts, beats popularity: there is something to learn."""
    last = demo.requests.drop_duplicates("user_id", keep="last").set_index("user_id").request_id
    is_last = demo.events.request_id == demo.events.user_id.map(last)
    history, targets = demo.events[~is_last], demo.events[is_last]
    popularity = history.item_id.value_counts().reindex(demo.items.item_id, fill_value=0).to_numpy(np.float64)
    of_item = category_of(demo.items)
    category = demo.items.item_id.map(of_item)
    position = pd.Series(np.arange(len(demo.items)), demo.items.item_id)
    plain, personal = [], []
    for user, log in history.groupby("user_id"):
        liked = log.item_id.tail(100).map(of_item).value_counts(normalize=True)
        scores = popularity * category.map(liked).fillna(0.0).to_numpy()
        for item in targets[targets.user_id == user].item_id:
            own = position[item]
            plain.append([(popularity > popularity[own]).sum(), (popularity == popularity[own]).sum()])
            personal.append([(scores > scores[own]).sum(), (scores == scores[own]).sum()])
    assert metrics(np.array(personal))["ndcg_at_10"] > 1.2 * metrics(np.array(plain))["ndcg_at_10"]
