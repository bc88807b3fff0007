"""Small datasets in the exact layouts that KuaiSAR and the Amazon reviews are published in."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

REC = ["user_id", "item_id", "time", "timestamp", "playing_time", "duration_ms"]
REC += ["click", "forward", "like", "follow", "search", "search_item_related"]
SRC = ["user_id", "search_session_id", "search_session_time", "search_session_timestamp", "keyword", "search_source"]
SRC += ["item_id", "click_cnt", "item_type"]
LEVELS = ("first", "second", "third", "fourth")
CATEGORY = [f"{level}_level_category_{part}" for level in LEVELS for part in ("id", "name", "name_en")]
ITEMS = ["item_id", "caption", "author_id", "item_type", "upload_time", "upload_type", *CATEGORY]
USERS = ["user_id", "onehot_feat1", "onehot_feat2", "search_active_level", "reco_active_level"]

START_MS = 1_684_700_000_000


def rec_row(user: Any, item: Any, moment: Any, click: Any = 1, like: Any = 0) -> list[Any]:
    """A row of rec_inter.csv; times are floats there."""
    return [user, item, "2023-05-22 15:53:20", moment, 60792.0, 45400.0, click, 0, like, 0, 0, 0]


def src_row(user: Any, session: Any, moment: Any, words: Any, item: Any, clicks: Any = 1) -> list[Any]:
    """A row of src_inter.csv; the keyword is a list in a cell."""
    return [user, session, "2023-05-22 21:58:52", moment, str(words), "USER_INPUT", item, clicks, "VIDEO"]


def item_row(item: Any, caption: Any, author: Any = 10, day: Any = "2023-04-22", first: Any = 9) -> list[Any]:
    """A row of item_features.csv."""
    names = [first, "搞笑", "Funny", 136, "搞笑,段子", "Funny joke", 0, "空", "empty", 0, "空", "empty"]
    return [item, str(caption), author, "NORMAL", day, "LongImport", *names]


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]], packed: bool = False) -> Path:
    """Writes a CSV file as a data frame would: fields with commas are quoted."""
    path = path.with_name(f"{path.name}.gz") if packed else path
    with (gzip.open if packed else open)(path, "wt", encoding="utf-8", newline="") as file:  # type: ignore[operator]
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return path


def write_kuaisar(folder: Path, users: int = 12, events: int = 30, seed: int = 0, packed: bool = False) -> Path:
    """A small sound KuaiSAR folder: rows in no order, some shown and not clicked, one item without features."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    item = lambda: int(random.integers(1, 40))  # noqa: E731
    rec, src = [], []
    for user in range(1, users + 1):
        moments = START_MS + 1000.0 * random.permutation(events)
        for moment in moments[: events // 2]:
            rec += [rec_row(user, item(), moment, int(random.random() < 0.7), 1)]
        for session, moment in enumerate(moments[events // 2 :]):
            words = random.integers(1, 30, random.integers(1, 4)).tolist()
            src += [src_row(user, session, int(moment), words, i, int(n == 0)) for n, i in enumerate({item(), item()})]
    src.append(src_row(1, 999, START_MS, [5], 777))
    features = [item_row(i, random.integers(1, 30, i % 4).tolist(), author=i % 5) for i in range(1, 41)]
    write_csv(folder / "rec_inter.csv", REC, rec, packed)
    write_csv(folder / "src_inter.csv", SRC, src, packed)
    write_csv(folder / "item_features.csv", ITEMS, features, packed)
    write_csv(folder / "user_features.csv", USERS, [[u, u % 3, u % 8, 1, 2] for u in range(1, users + 1)], packed)
    write_csv(folder / "social_network.csv", ["user_id", "user_follow_id"], [[1, 2]], packed)
    return folder


def write_json_lines(path: Path, rows: Iterable[Any]) -> Path:
    """Writes an object a line, or the line itself where it is text; .gz is packed."""
    text = "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def write_image_features(path: Path, vectors: dict[str, np.ndarray]) -> Path:
    """Writes 10 bytes of asin and 4,096 floats each, little-endian, without a header."""
    path.write_bytes(b"".join(asin.encode() + vector.astype("<f4").tobytes() for asin, vector in vectors.items()))
    return path
