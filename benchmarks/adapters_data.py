"""Files of any number of rows in the published layouts of KuaiSAR and the Amazon reviews, for measuring adapters."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

_ROWS_AT_ONCE = 200_000
_START_MS = 1_684_700_000_000
_MONTH_MS = 30 * 86_400_000
_BAD_EVERY = 10_000  # one row in so many has no time that can be read
_WORDS = " ".join(f"word{n}" for n in range(60))  # some 400 characters, as a review has


def write_kuaisar(folder: Path, rows: int, seed: int) -> None:
    """Writes `rows` rows of both logs together, three of four in rec_inter.csv, and features of their items and users.

    As in the data itself: a user has some 760 rows, there is an item for three rows, rows are in no order of time.
    """
    users, items = max(rows // 760, 1), max(rows // 3, 1)
    rng = np.random.default_rng(seed)
    recommended = rows * 3 // 4
    _write_csv(folder / "rec_inter.csv", (_rec(rng, n, users, items) for n in _sizes(recommended)))
    _write_csv(folder / "src_inter.csv", (_src(rng, n, users, items) for n in _sizes(rows - recommended)))
    _write_csv(folder / "item_features.csv", _items(rng, items))
    ids = np.arange(users)
    profile = {"user_id": ids, "onehot_feat1": ids % 3, "onehot_feat2": ids % 8}
    levels = {"search_active_level": ids % 6, "reco_active_level": ids % 4}
    _write_csv(folder / "user_features.csv", iter([pa.table(profile | levels)]))


def write_amazon(folder: Path, rows: int, seed: int, release: str) -> None:
    """Writes `rows` reviews, 11 of a user and 18 of an item on average, and the items' metadata, as .gz."""
    users, items = max(rows // 11, 1), max(rows // 18, 1)
    rng = np.random.default_rng(seed)
    lines, products, suffix = (_reviews_2018, _meta_2018, "json") if release == "2018" else (
        _reviews_2023, _meta_2023, "jsonl")  # fmt: skip
    _write_lines(folder / f"Movies_and_TV.{suffix}.gz", (lines(rng, n, users, items) for n in _sizes(rows)))
    starts = range(0, items, _ROWS_AT_ONCE)
    chunks = (products(np.arange(start, min(start + _ROWS_AT_ONCE, items))) for start in starts)
    _write_lines(folder / f"meta_Movies_and_TV.{suffix}.gz", chunks)


def _sizes(rows: int) -> Iterator[int]:
    for start in range(0, rows, _ROWS_AT_ONCE):
        yield min(_ROWS_AT_ONCE, rows - start)


def _some_bad(text: pa.Array) -> pa.Array:
    return pa.concat_arrays([pa.array(["soon"]), text[1:]]) if len(text) >= _BAD_EVERY else text


def _text(values: np.ndarray) -> pa.Array:
    return pa.array(values).cast(pa.string())


def _times(rng: np.random.Generator, rows: int) -> pa.Array:
    """Floats as text, a bad one for each full _BAD_EVERY."""
    text = pc.binary_join_element_wise(_text(_START_MS + rng.integers(0, _MONTH_MS, rows)), "0", ".")
    pieces = [_some_bad(text[start : start + _BAD_EVERY]) for start in range(0, rows, _BAD_EVERY)]
    return pa.concat_arrays(pieces)


def _rec(rng: np.random.Generator, rows: int, users: int, items: int) -> pa.Table:
    flags = {name: rng.integers(0, 2, rows) for name in ("click", "forward", "like", "follow", "search")}
    return pa.table(
        {
            "user_id": rng.integers(0, users, rows),
            "item_id": rng.integers(1, items + 1, rows),
            "time": pa.array(["2023-05-22 15:53:20"] * rows),
            "timestamp": _times(rng, rows),
            "playing_time": pa.array(["60792.0"] * rows),
            "duration_ms": pa.array(["45400.0"] * rows),
            **flags,
            "search_item_related": np.zeros(rows, np.int64),
        }
    )


def _lists(rng: np.random.Generator, rows: int, length: int) -> pa.Array:
    words = [_text(rng.integers(1, 500_000, rows)) for _ in range(length)]
    return pc.binary_join_element_wise("[", pc.binary_join_element_wise(*words, ", "), "]", "")


def _src(rng: np.random.Generator, rows: int, users: int, items: int) -> pa.Table:
    return pa.table(
        {
            "user_id": rng.integers(0, users, rows),
            "search_session_id": rng.integers(0, max(rows // 4, 1), rows),
            "search_session_time": pa.array(["2023-05-22 21:58:52"] * rows),
            "search_session_timestamp": _times(rng, rows),
            "keyword": _lists(rng, rows, 3),
            "search_source": pa.array(["USER_INPUT"] * rows),
            "item_id": rng.integers(1, items + 1, rows),
            "click_cnt": rng.integers(0, 3, rows),
            "item_type": pa.array(["VIDEO"] * rows),
        }
    )


def _items(rng: np.random.Generator, items: int) -> Iterator[pa.Table]:
    for start in range(0, items, _ROWS_AT_ONCE):
        ids = np.arange(start, min(start + _ROWS_AT_ONCE, items)) + 1
        rows = len(ids)
        made: dict[str, Any] = {"item_id": ids, "caption": _lists(rng, rows, 8)}
        made |= {"author_id": ids % 9973, "item_type": pa.array(["NORMAL"] * rows)}
        made |= {"upload_time": pa.array(["2023-04-22"] * rows), "upload_type": pa.array(["LongImport"] * rows)}
        for level, wide in (("first", 38), ("second", 294), ("third", 500), ("fourth", 20)):
            named = {f"{level}_level_category_name{suffix}": pa.array(["空"] * rows) for suffix in ("", "_en")}
            made |= {f"{level}_level_category_id": ids % wide} | named
        yield pa.table(made)


def _write_csv(path: Path, tables: Iterator[pa.Table]) -> None:
    first = next(tables)
    with csv.CSVWriter(path, first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def _reviews_2018(rng: np.random.Generator, rows: int, users: int, items: int) -> list[pa.Array | str]:
    times = _text((_START_MS + rng.integers(0, _MONTH_MS, rows)) // 1000)
    head = '{"overall": 5.0, "verified": true, "reviewTime": "03 11, 2013", "reviewerID": "A'
    tail = f', "style": {{"Format:": " DVD"}}, "reviewText": "{_WORDS}", "summary": "great", "unixReviewTime": '
    return [head, _text(rng.integers(0, users, rows)), '", "asin": "', _asins(rng.integers(0, items, rows)), '"', tail,
            times, "}"]  # fmt: skip


def _reviews_2023(rng: np.random.Generator, rows: int, users: int, items: int) -> list[pa.Array | str]:
    times = _text(_START_MS + rng.integers(0, _MONTH_MS, rows))
    asin = _asins(rng.integers(0, items, rows))
    head = f'{{"rating": 2.0, "title": "Meh", "text": "{_WORDS}", "images": [], "asin": "'
    return [head, asin, '", "parent_asin": "', asin, '", "user_id": "A', _text(rng.integers(0, users, rows)),
            '", "timestamp": ', times, ', "helpful_vote": 0, "verified_purchase": true}']  # fmt: skip


def _meta_2018(ids: np.ndarray) -> list[pa.Array | str]:
    return ['{"category": ["Movies & TV", "Movies"], "description": ["', _WORDS, '"], "title": "title ', _text(ids),
            '", "brand": "B', _text(ids % 997), '", "price": "$7.86", "asin": "', _asins(ids), '"}']  # fmt: skip


def _meta_2023(ids: np.ndarray) -> list[pa.Array | str]:
    return ['{"main_category": "Prime Video", "title": "title ', _text(ids), '", "features": ["2013"], ',
            f'"description": ["{_WORDS}"], "price": 22.39, "store": "B', _text(ids % 997), '", ',
            '"categories": ["Drama"], "parent_asin": "', _asins(ids), '"}']  # fmt: skip


def _asins(ids: np.ndarray) -> pa.Array:
    return pc.binary_join_element_wise("B", pc.utf8_lpad(_text(ids), 9, "0"), "")


def _write_lines(path: Path, chunks: Iterator[list[pa.Array | str]]) -> None:
    with gzip.open(path, "wb", compresslevel=1) as file:
        for parts in chunks:
            lines = pc.binary_join_element_wise(*parts, "\n", "").cast(pa.large_string())
            # The lines lie one after the other in the array's buffer.
            file.write(lines.buffers()[2].to_pybytes())
