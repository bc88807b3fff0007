"""MovieLens folders in the exact published layouts, and the real ones where they are there."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from seminar_tf.cli.prepare import command
from seminar_tf.data import dataset, duplicates, movielens, validation
from seminar_tf.data.dataset import DatasetError
from seminar_tf.data.known_ids import KnownIds
from tests.real_data import real_data

MOVIES = [
    ("1", "Toy Story (1995)", "Adventure|Children's", ("Toy Story", 1995), ["genre=Adventure", "genre=Children's"]),
    ("2", "Misérables, Les (1995)", "Drama", ("Misérables, Les", 1995), ["genre=Drama"]),
    ("7", "Babylon 5", "(no genres listed)", ("Babylon 5", None), []),
    ("9", "Cité (City) (1995) ", "Drama", ("Cité (City)", 1995), ["genre=Drama"]),
]


@pytest.fixture
def latest(tmp_path):
    src = tmp_path / "ml-latest-small"
    src.mkdir()
    titles = [*MOVIES, ("11", "Death Note: Desu nôto (2006\u20132007)", "", ("Death Note: Desu nôto", 2006), [])]
    movies = "".join(f'{movie},"{title}",{genres}\r\n' for movie, title, genres, *_ in titles)
    (src / "movies.csv").write_bytes(("movieId,title,genres\r\n" + movies).encode())
    ratings = "1,1,4.0,964982703\r\n1,2,0.5,964982703\r\n2,9,5.0,1445714835\r\n"
    (src / "ratings.csv").write_bytes(("userId,movieId,rating,timestamp\r\n" + ratings).encode())
    tags = '1,1,"""artsy"", slow ",964982800\r\n2,7,space,1445714000\r\n'
    (src / "tags.csv").write_bytes(("userId,movieId,tag,timestamp\r\n" + tags).encode())
    return src


def _million(src, packed):
    src.mkdir()
    lines = "".join(f"{movie}::{title}::{genres}\n" for movie, title, genres, *_ in MOVIES)
    (src / "movies.dat").write_bytes(lines.encode("latin-1"))
    (src / "users.dat").write_text("1::F::1::10::48067\n2::M::56::16::70072\n3::M::25::15::55117\n")
    ratings = b"1::1::5::978300719\n1::9::4::978300719\n1::2::3::978300719.25\n2::2::1::978300000\n"
    if packed:
        (src / "ratings.dat.gz").write_bytes(gzip.compress(ratings))
    else:
        (src / "ratings.dat").write_bytes(ratings)
    return src


def _table(out, table):
    return pa.concat_tables([pq.read_table(file) for file in dataset.table_files(out, 1, table)])


def test_latest_layout(latest, tmp_path):
    summary = movielens.prepare(latest, tmp_path / "out")
    items = _table(tmp_path / "out", "items").to_pylist()
    for row, (movie, _, _, (title, year), attributes) in zip(items, MOVIES):
        assert (row["item_id"], row["title"], row["numeric_year"]) == (movie, title, year)
        assert row["attributes"] == attributes
    assert (items[4]["title"], items[4]["numeric_year"]) == ("Death Note: Desu nôto", 2006)
    events = _table(tmp_path / "out", "events").to_pylist()
    rated, tagged = events[:3], events[3:]
    assert [(e["user_id"], e["item_id"], e["timestamp"]) for e in rated] == [
        ("1", "1", 964982703000),
        ("1", "2", 964982703000),
        ("2", "9", 1445714835000),
    ]
    assert {(e["kind"], e["query"], e["action"], e["is_target"]) for e in rated} == {("browse", None, "rate", True)}
    assert [(e["kind"], e["query"], e["action"], e["is_target"]) for e in tagged] == [
        ("search", '"artsy", slow', "tag", False),
        ("search", "space", "tag", False),
    ]
    spec = dataset.describe(tmp_path / "out")
    assert (spec.tasks, spec.numeric, spec.image) == (("click",), ("year",), "none")
    assert (summary["ratings"], summary["tags"], summary["users"], summary["rejected"]) == (3, 2, 2, {})
    assert json.loads((tmp_path / "out" / "prepare.json").read_text()) == summary


@pytest.mark.parametrize("packed", [False, True])
def test_1m_layout(tmp_path, packed):
    summary = movielens.prepare(_million(tmp_path / "ml-1m", packed), tmp_path / "out")
    items = _table(tmp_path / "out", "items").to_pylist()
    assert [(i["title"], i["numeric_year"]) for i in items] == [movie[3] for movie in MOVIES]
    events = _table(tmp_path / "out", "events").to_pylist()
    # Equal seconds keep the file's order; a fraction of a second is milliseconds.
    assert [(e["item_id"], e["timestamp"]) for e in events] == [
        ("1", 978300719000),
        ("9", 978300719000),
        ("2", 978300719250),
        ("2", 978300000000),
    ]
    users = _table(tmp_path / "out", "users").to_pylist()
    assert users[1] == {"user_id": "2", "attributes": ["gender=M", "age=56", "occupation=16"]}
    assert len(users) == 3, "a user without ratings is still a user"
    assert (summary["ratings"], summary["tags"], summary["users"]) == (4, 0, 2)


@pytest.mark.parametrize("tags, flags", [("history", [False, False]), ("target", [True, True]), ("none", [])])
def test_what_tags_are_used_as(latest, tmp_path, tags, flags):
    movielens.prepare(latest, tmp_path / "out", tags=tags)
    assert _table(tmp_path / "out", "events")["is_target"].to_pylist() == [True] * 3 + flags


def test_everything_written_passes_the_checks_of_ingestion(latest, tmp_path):
    movielens.prepare(latest, tmp_path / "out")
    items = validation.check_items(_table(tmp_path / "out", "items"), "items")
    events = validation.check_events(
        _table(tmp_path / "out", "events"), KnownIds(items.accepted["item_id"].combine_chunks()), 2 * 10**12, "events"
    )
    assert items.rejected.num_rows == events.rejected.num_rows == 0


def test_vectors_and_texts_are_joined_by_movie_id(latest, tmp_path):
    np.save(latest / "poster_ids.npy", np.array([9, 1, 500]))
    vectors = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    np.save(latest / "poster_pca4.npy", vectors)
    (latest / "abstracts.json").write_text(json.dumps({"2": "A convict is hunted.", "500": "not in movies"}))
    summary = movielens.prepare(latest, tmp_path / "out")
    items = _table(tmp_path / "out", "items").to_pylist()
    for row, wanted in zip(items, [vectors[1], None, None, vectors[0], None]):
        assert row["image_vector"] is None if wanted is None else np.array_equal(row["image_vector"], wanted)
    assert [row["text"] for row in items] == [None, "A convict is hunted.", None, None, None]
    assert (summary["image_vectors"], summary["texts"]) == (2, 1)
    assert dataset.describe(tmp_path / "out").image_dim == 4
    without = movielens.prepare(latest, tmp_path / "bare", find_vectors=False, find_texts=False)
    assert (without["image_vectors"], without["texts"]) == (0, 0)
    assert dataset.describe(tmp_path / "bare").image == "none"


def test_an_ambiguous_choice_has_to_be_made_by_name(latest, tmp_path):
    np.save(latest / "poster_ids.npy", np.array([1]))
    for name in ("a.npy", "b.npy"):
        np.save(latest / name, np.ones((1, 2), np.float32))
    with pytest.raises(DatasetError, match=r"a.npy, b.npy.*--vectors"):
        movielens.prepare(latest, tmp_path / "out")
    pair = (latest / "poster_ids.npy", latest / "b.npy")
    assert movielens.prepare(latest, tmp_path / "out", vectors=pair)["image_vectors"] == 1
    for name in ("a.json", "b.json"):
        (latest / name).write_text("{}")
    with pytest.raises(DatasetError, match=r"a.json, b.json.*--texts"):
        movielens.prepare(latest, tmp_path / "other", vectors=pair)


@pytest.mark.parametrize(
    "ids, vectors, message",
    [
        (np.array([1.0]), np.ones((1, 2)), "of integers"),
        (np.array([1, 2]), np.ones((1, 2)), r"expected \(2, dim\)"),
        (np.array([1, 1]), np.ones((2, 2)), "more than once"),
        (np.array([1]), np.ones((1, 2), int), "floats"),
        (np.array([1]), np.array([["x"]], object), "not a readable .npy"),
    ],
)
def test_vectors_of_another_form_are_an_error(latest, tmp_path, ids, vectors, message):
    np.save(latest / "v_ids.npy", ids)
    np.save(latest / "v.npy", vectors, allow_pickle=True)
    with pytest.raises(DatasetError, match=message):
        movielens.prepare(latest, tmp_path / "out")


@pytest.mark.parametrize("text", ["[1]", '{"1": 2}', "{"])
def test_texts_of_another_form_are_an_error(latest, tmp_path, text):
    (latest / "t.json").write_text(text)
    with pytest.raises(DatasetError, match=r"t\.json"):
        movielens.prepare(latest, tmp_path / "out")


def test_lines_that_cannot_be_read_become_dead_letters(latest, tmp_path):
    with (latest / "ratings.csv").open("a") as file:
        file.write("1,1,4.0\n1,1,good,964982703\n2,2,3.0,964982704\n")
    with (latest / "movies.csv").open("a") as file:
        file.write("one,Title (1999),Drama\n")
    summary = movielens.prepare(latest, tmp_path / "out")
    assert summary["rejected"] == {"events": {"unparsable_row": 2}, "items": {"unparsable_row": 1}}
    assert (summary["ratings"], summary["rows"]["items"]) == (4, 5)
    letters = pq.read_table(tmp_path / "out" / "rejected").to_pylist()
    assert [(row["table"], row["row_number"]) for row in letters] == [("items", 5), ("events", 3), ("events", 4)]
    assert letters[1]["row"] == "1,1,4.0"
    assert dataset.find_spans(tmp_path / "out") == (1,), "dead letters lie outside the spans"


def test_a_wrong_folder_is_an_error_that_lists_what_was_looked_for(latest, tmp_path):
    for src in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DatasetError, match=r"ratings.csv with movies.csv.*ratings.dat or ratings.dat.gz"):
            movielens.prepare(src, tmp_path / "out")
    _million(tmp_path / "ml-1m", packed=False)
    for file in (tmp_path / "ml-1m").iterdir():
        file.rename(latest / file.name)
    with pytest.raises(DatasetError, match=r"more than one set of ratings \(ratings.csv, ratings.dat\)"):
        movielens.prepare(latest, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_command(latest, tmp_path):
    arguments = ["movielens", "--src", str(latest), "--out", str(tmp_path / "out")]
    ran = CliRunner().invoke(command, arguments)
    assert ran.exit_code == 0, ran.output
    assert "2 tags written as search events (tag as query" in ran.output
    assert "MovieLens latest" in ran.output
    again = CliRunner().invoke(command, arguments)
    assert isinstance(again.exception, DatasetError)
    assert CliRunner().invoke(command, [*arguments, "--overwrite", "--tags", "none"]).exit_code == 0
    both = CliRunner().invoke(command, [*arguments, "--overwrite", "--texts", str(latest / "tags.csv"), "--no-texts"])
    assert both.exit_code == 2 and "exclude each other" in both.output


@pytest.mark.real_data
def test_real_latest_small(tmp_path):
    summary = movielens.prepare(real_data("ml-latest-small"), tmp_path / "out")
    assert (summary["users"], summary["ratings"], summary["tags"]) == (610, 100_836, 3_683)
    assert summary["rows"] == {"events": 100_836 + 3_683, "items": 9_742}
    assert (summary["image_vectors"], summary["texts"], summary["rejected"]) == (4_888, 0, {})
    items, events = _table(tmp_path / "out", "items"), _table(tmp_path / "out", "events")
    rated = set(events.filter(events["is_target"])["item_id"].to_pylist())
    assert len(rated) == 9_724, "18 movies of movies.csv have no rating"
    assert items["numeric_year"].null_count == 12
    known = KnownIds(items["item_id"].combine_chunks())
    checked = validation.check_events(events, known, 2 * 10**12, "events")
    assert checked.rejected.num_rows == duplicates.drop_duplicates(checked.accepted).rejected.num_rows == 0
    assert dataset.describe(tmp_path / "out").image_dim == 64


@pytest.mark.real_data
def test_real_1m(tmp_path):
    summary = movielens.prepare(real_data("ml-1m"), tmp_path / "out")
    assert (summary["users"], summary["ratings"], summary["tags"]) == (6_040, 999_611, 0)
    assert summary["rows"] == {"events": 999_611, "items": 3_883, "users": 6_040}
    assert (summary["image_vectors"], summary["texts"], summary["rejected"]) == (3_256, 3_301, {})
    events = _table(tmp_path / "out", "events")
    users = events["user_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    same, gaps = np.diff(users) == 0, np.diff(events["timestamp"].to_numpy())
    assert (gaps[same] >= 0).all(), "a user's rows are in true order"
