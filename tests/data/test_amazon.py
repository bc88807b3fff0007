"""Amazon reviews of 2018 and 2023 in the exact published layouts, sound and damaged."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from seminar_tf.cli.prepare import command
from seminar_tf.data import amazon, dataset, duplicates, image_features, validation
from seminar_tf.data.dataset import DatasetError
from seminar_tf.data.image_features import RECORD_BYTES, WIDTH, ImageFeatures
from tests.data.published import write_image_features, write_json_lines

REVIEW_2018 = {
    "overall": 5.0,
    "vote": "3",
    "verified": True,
    "reviewTime": "03 11, 2013",
    "reviewerID": "A3478QRKQDOPQ2",
    "asin": "0001527665",
    "style": {"Format:": " VHS Tape"},
    "reviewerName": "jacki",
    "reviewText": 'really "happy"\nthey got it',
    "summary": "great",
    "unixReviewTime": 1362960000,
}
META_2018 = {
    "category": ["Movies & TV", "Movies"],
    "tech1": "",
    "description": ["Barefoot", "", "walks."],
    "fit": "",
    "title": "Peace Child",
    "also_buy": ["0143026860"],
    "tech2": "",
    "brand": "Don Richardson",
    "feature": [],
    "rank": "886,503 in Movies & TV (",
    "also_view": [],
    "main_cat": "Movies & TV",
    "similar_item": "",
    "date": "",
    "price": "$1,234.50",
    "asin": "0001527665",
    "imageURL": [],
}
REVIEW_2023 = {
    "rating": 2.0,
    "title": "Meh",
    "text": "so so",
    "images": [],
    "asin": "B00YQ6X8EO",
    "parent_asin": "B00YQ6X8E1",
    "user_id": "AGKHLEW2SOWHNMFQIJGBECAF7INQ",
    "timestamp": 1588687728923,
    "helpful_vote": 0,
    "verified_purchase": True,
}
META_2023 = {
    "main_category": "Prime Video",
    "title": "Glee",
    "average_rating": 4.7,
    "rating_number": 8,
    "features": ["IMDb 6.8", "2013"],
    "description": ["Entering its fourth season"],
    "price": 22.39,
    "images": {"hi_res": [], "large": []},
    "videos": [],
    "store": "Dot Jones",
    "categories": ["Comedy", "Drama"],
    "details": {"Content advisory": ["violence"]},
    "parent_asin": "B00YQ6X8E1",
    "bought_together": None,
}


def _table(out, table):
    return pa.concat_tables([pq.read_table(file) for file in dataset.table_files(out, 1, table)])


def _write(folder, reviews, meta, year=2018):
    folder.mkdir()
    suffix = "json.gz" if year == 2018 else "jsonl.gz"
    write_json_lines(folder / f"Movies_and_TV.{suffix}", reviews)
    write_json_lines(folder / f"meta_Movies_and_TV.{suffix}", meta)
    return folder


def test_2018(tmp_path):
    bare = {"asin": "B000000001", "category": [], "description": [], "title": "", "brand": "", "price": ""}
    later = REVIEW_2018 | {"asin": "B000000002", "overall": 1.0, "unixReviewTime": 1}
    src = _write(tmp_path / "src", [REVIEW_2018, later], [META_2018, bare])
    summary = amazon.prepare(src, tmp_path / "out")
    assert _table(tmp_path / "out", "events").to_pylist() == [
        {
            "user_id": "A3478QRKQDOPQ2",
            "timestamp": time,
            "kind": "browse",
            "query": None,
            "item_id": item,
            "action": "review",
        }
        for item, time in (("0001527665", 1362960000000), ("B000000002", 1000))
    ]
    nothing = {"text": None, "attributes": [], "numeric_price": None}
    assert _table(tmp_path / "out", "items").to_pylist() == [
        {
            "item_id": "0001527665",
            "title": "Peace Child",
            "text": "Barefoot  walks.",
            "attributes": ["category=Movies & TV", "category=Movies", "brand=Don Richardson"],
            "numeric_price": 1234.5,
        },
        {"item_id": "B000000001", "title": ""} | nothing,
        {"item_id": "B000000002", "title": None} | nothing,
    ]
    assert (summary["release"], summary["reviews"], summary["users"]) == ("2018", 2, 1)
    assert (summary["items_without_metadata"], summary["image_features"], summary["rejected"]) == (1, None, {})
    assert json.loads((tmp_path / "out" / "prepare.json").read_text()) == summary
    spec = dataset.describe(tmp_path / "out")
    assert (spec.tasks, spec.numeric, spec.image) == (("click",), ("price",), "none")


def test_2023_goes_by_the_parent_product(tmp_path):
    odd = META_2023 | {"parent_asin": "B000000003", "price": "from 14.99", "store": None, "features": None}
    src = _write(tmp_path / "src", [REVIEW_2023], [META_2023, odd], 2023)
    summary = amazon.prepare(src, tmp_path / "out")
    (event,) = _table(tmp_path / "out", "events").to_pylist()
    assert (event["user_id"], event["item_id"], event["timestamp"]) == (
        "AGKHLEW2SOWHNMFQIJGBECAF7INQ",
        "B00YQ6X8E1",
        1588687728923,
    )
    first, second = _table(tmp_path / "out", "items").to_pylist()
    assert first["text"] == "Entering its fourth season IMDb 6.8 2013"
    assert first["attributes"] == ["category=Comedy", "category=Drama", "brand=Dot Jones"]
    assert (first["numeric_price"], second["numeric_price"]) == (np.float32(22.39), None)
    assert second["text"] == "Entering its fourth season"
    assert summary["rejected"] == {"items": {"bad_field": 1}}
    assert summary["release"] == "2023"


def test_each_bad_line_is_in_the_dead_letters_with_its_field(tmp_path):
    reviews = [
        REVIEW_2018,
        "{'reviewerID': 'python'}",
        REVIEW_2018 | {"reviewerID": " "},
        {k: v for k, v in REVIEW_2018.items() if k != "asin"},
        REVIEW_2018 | {"unixReviewTime": None},
        REVIEW_2018 | {"unixReviewTime": 1362960000000000},
        REVIEW_2018 | {"unixReviewTime": [1]},
        REVIEW_2018,
    ]
    meta = [
        META_2018,
        META_2018 | {"asin": "B000000004", "title": "<script>var x = new Date().getTime()", "price": "$5 - $9"},
        META_2018 | {"asin": ""},
    ]
    summary = amazon.prepare(_write(tmp_path / "src", reviews, meta), tmp_path / "out")
    rows = pq.read_table(tmp_path / "out" / "rejected" / "part-00000.parquet").to_pylist()
    assert [(row["table"], row["row_number"], row["field"], row["reason"]) for row in rows] == [
        ("events", 1, None, "unparsable_row"),
        ("events", 6, "unixReviewTime", "unparsable_row"),
        ("events", 2, "reviewerID", "missing_user_id"),
        ("events", 3, "asin", "missing_item_id"),
        ("events", 4, "unixReviewTime", "missing_timestamp"),
        ("events", 5, "unixReviewTime", "unparsable_row"),
        ("items", 2, "asin", "missing_item_id"),
        ("items", 1, "title", "bad_field"),
        ("items", 1, "price", "bad_field"),
    ]
    assert summary["rows"] == {"events": 2, "items": 2}
    events = validation.to_canonical(_table(tmp_path / "out", "events"), validation.schema.EVENTS, "events")
    assert duplicates.drop_duplicates(events).rejected.num_rows == 1, "a repeated review is ingestion's to find"
    assert _table(tmp_path / "out", "items")["title"].to_pylist() == ["Peace Child", None]


def test_min_rating(tmp_path):
    reviews = [REVIEW_2018 | {"overall": stars} for stars in (1.0, 4.0, 5.0, None)]
    src = _write(tmp_path / "src", reviews, [META_2018])
    assert amazon.prepare(src, tmp_path / "all")["reviews"] == 4
    summary = amazon.prepare(src, tmp_path / "liked", min_rating=4)
    assert (summary["reviews"], summary["reviews_below_min_rating"]) == (2, 1)
    assert summary["rejected"] == {"events": {"unparsable_row": 1}}


@pytest.mark.parametrize("dim", [0, 32])
@pytest.mark.parametrize("seed", range(2))
def test_image_features_reach_their_items(tmp_path, monkeypatch, dim, seed):
    random = np.random.default_rng(seed)
    asins = [f"B{n:09d}" for n in random.permutation(30)]
    vectors = {asin: random.normal(size=WIDTH).astype(np.float32) for asin in asins}
    src = _write(tmp_path / "src", [REVIEW_2018, REVIEW_2018 | {"asin": asins[0]}], [])
    write_json_lines(src / "meta_Movies_and_TV.json.gz", [META_2018 | {"asin": a} for a in (*asins[1:20], "B00000000")])
    write_image_features(src / "image_features_Movies_and_TV.b", vectors)
    monkeypatch.setattr(image_features, "_WINDOW", 7)
    summary = amazon.prepare(src, tmp_path / "out", image_dim=dim)
    assert summary["image_features"] == {"records": 30, "dim": dim or WIDTH}
    rows = _table(tmp_path / "out", "items").to_pylist()
    found = {row["item_id"]: row["image_vector"] for row in rows}
    assert found["B00000000"] is None and found["0001527665"] is None, "no image, and an id that is only a beginning"
    given = np.array([found[asin] for asin in asins[:20]])
    if not dim:
        np.testing.assert_array_equal(given, [vectors[asin] for asin in asins[:20]])
    else:
        # A Gaussian projection keeps squared lengths in the mean.
        lengths = (given**2).sum(1) / np.array([(vectors[asin] ** 2).sum() for asin in asins[:20]])
        assert abs(lengths.mean() - 1) < 5 * np.sqrt(2 / dim / 20)
    spec = dataset.describe(tmp_path / "out")
    assert (spec.image, spec.image_dim) == ("vector", dim or WIDTH)
    assert (
        validation.check_items(_table(tmp_path / "out", "items"), "i", image_dim=spec.image_dim).rejected.num_rows == 0
    )


def test_of_records_with_one_asin_the_first_counts(tmp_path):
    record = [b"B000000001" + np.full(WIDTH, value, "<f4").tobytes() for value in (1.0, 2.0)]
    (tmp_path / "a.b").write_bytes(b"".join(record))
    vectors = ImageFeatures(tmp_path / "a.b").vectors_of(pa.array(["B000000001", "B0000000012"]))
    assert vectors.to_pylist() == [[1.0] * WIDTH, None]


@pytest.mark.parametrize("size", [0, RECORD_BYTES - 1, RECORD_BYTES * 3 // 2])
def test_image_features_that_are_cut_off_are_an_error_and_leave_nothing(tmp_path, size):
    src = _write(tmp_path / "src", [REVIEW_2018], [META_2018])
    (src / "image_features.b").write_bytes(bytes(size))
    with pytest.raises(DatasetError, match=f"image_features.b: .*found {size // RECORD_BYTES} of them"):
        amazon.prepare(src, tmp_path / "out")
    assert amazon.prepare(src, tmp_path / "out", find_images=False)["image_features"] is None


def test_a_packed_file_that_is_cut_off_is_an_error_and_leaves_nothing(tmp_path):
    src = _write(tmp_path / "src", [REVIEW_2018] * 50, [META_2018 | {"asin": f"B{n:09d}"} for n in range(500)])
    packed = src / "meta_Movies_and_TV.json.gz"
    packed.write_bytes(packed.read_bytes()[:-30])
    with pytest.raises(DatasetError, match=r"meta_Movies_and_TV.json.gz: not a whole file"):
        amazon.prepare(src, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_files_that_are_missing_ambiguous_or_of_another_layout(tmp_path):
    src = _write(tmp_path / "src", [REVIEW_2018], [META_2018])
    write_json_lines(src / "Movies_and_TV_5.json.gz", [REVIEW_2018])
    with pytest.raises(DatasetError, match=r"found Movies_and_TV.json.gz, Movies_and_TV_5.json.gz. Name it with --rev"):
        amazon.prepare(src, tmp_path / "out")
    amazon.prepare(src, tmp_path / "out", reviews=src / "Movies_and_TV_5.json.gz")
    (src / "meta_Movies_and_TV.json.gz").unlink()
    with pytest.raises(DatasetError, match=r"expected one file of metadata .* found none. Name it with --meta"):
        amazon.prepare(src, tmp_path / "other")
    swapped = _write(tmp_path / "swapped", [REVIEW_2023], [META_2018])
    with pytest.raises(DatasetError, match="a JSON object a line with reviewerID, asin, unixReviewTime; none of the"):
        amazon.prepare(swapped, tmp_path / "other")
    with pytest.raises(DatasetError, match="is not a folder"):
        amazon.prepare(tmp_path / "nowhere", tmp_path / "other")


def test_the_command(tmp_path):
    src = _write(tmp_path / "src", [REVIEW_2023], [META_2023], 2023)
    arguments = ["amazon", "--src", str(src), "--out", str(tmp_path / "out"), "--min-rating", "1"]
    told = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert told.exit_code == 0 and "Amazon reviews 2023, Movies_and_TV.jsonl.gz from" in told.output
    both = CliRunner().invoke(command, [*arguments, "--no-image-features", "--image-features", __file__])
    assert both.exit_code == 2 and "exclude each other" in both.output
