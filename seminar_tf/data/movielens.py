"""Genuine MovieLens folders (latest-small and 1M layouts) as a canonical dataset.

A rating becomes a browse event: implicit feedback, whatever its stars, so the only task is `click`. A tag becomes a
search event whose query is the tag's text: the closest thing to a search in this data, and not a search log
("tag as query"). A tag stands at its own moment, which is mostly after the rating of the same movie; attached to
that rating it would show the model words that were not typed yet. By default tags are history only
(`is_target` false), so that the last target of a user stays the last rating, as in published protocols.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seminar_tf.data.dataset import DatasetError
from seminar_tf.data.dead_letter import DeadLetterWriter, report
from seminar_tf.data.movielens_extras import ItemExtras, load_extras
from seminar_tf.data.rejection import REJECTED_SCHEMA, Checked
from seminar_tf.data.text_rows import parse_numbers, read_csv, read_delimited
from seminar_tf.data.writer import DatasetWriter

logger = logging.getLogger(__name__)

TAG_USES = ("history", "target", "none")
TAG_NOTE = "tag as query: a tag is a text typed about a movie by a user; it is no record of a search"

# A span of years, with a hyphen or an en dash, counts by its first.
_YEAR = r"^(?P<title>.*?)\s*\((?P<year>[0-9]{4})(?:[-\x{2013}][0-9]{0,4})?\)\s*$"
_NO_GENRES = "(no genres listed)"


@dataclass(frozen=True)
class Layout:
    """File names of one published form of MovieLens.

    Attributes:
      name: for messages.
      ratings: names that the ratings may have; one must be there.
      movies: the movies' file.
      tags, users: files that only some forms have; empty for none.
    """

    name: str
    ratings: tuple[str, ...]
    movies: str
    tags: str = ""
    users: str = ""


LAYOUTS = (
    Layout("latest", ("ratings.csv",), "movies.csv", tags="tags.csv"),
    Layout("1M", ("ratings.dat", "ratings.dat.gz"), "movies.dat", users="users.dat"),
)


def prepare(
    src: str | Path,
    out: str | Path,
    *,
    overwrite: bool = False,
    tags: str = "history",
    vectors: tuple[Path, Path] | None = None,
    texts: Path | None = None,
    find_vectors: bool = True,
    find_texts: bool = True,
) -> dict[str, Any]:
    """Writes a MovieLens folder as a canonical dataset of one span.

    Args:
      src: the folder as published, unpacked.
      out: the dataset's folder; rows that cannot be read go to `out/rejected`.
      overwrite: replace a dataset that is already in `out`.
      tags: `history` (seen by later targets, never a target), `target` (targets like ratings) or `none`.
      vectors: .npy of movie ids and .npy of one image vector for each; None looks for them in `src`.
      texts: JSON file, movie id -> text; None looks for one in `src`.
      find_vectors, find_texts: whether to look.

    Returns:
      What was written: layout, rows by table, ratings, tags, vectors, texts, rejected rows by table and reason.
      The same is in `out/prepare.json`.

    Raises:
      DatasetError: no known layout, an unreadable file, an ambiguous choice of vectors or texts, or `out` is in use.
    """
    if tags not in TAG_USES:
        raise DatasetError(f"tags: expected one of {', '.join(TAG_USES)}, found {tags!r}.")
    src = Path(src)
    layout, ratings_file = find_layout(src)
    extras = load_extras(src, vectors, texts, find_vectors, find_texts)
    with DatasetWriter(out, overwrite) as writer:
        rejected = []
        items = _movies(src / layout.movies)
        item_rows = _with_extras(items.accepted, extras)
        writer.write(1, "items", item_rows)
        rejected.append(items.rejected)
        ratings = _ratings(ratings_file)
        writer.write(1, "events", ratings.accepted)
        rejected.append(ratings.rejected)
        tag_rows = 0
        if tags != "none" and layout.tags and (src / layout.tags).is_file():
            tagged = _tags(src / layout.tags, target=tags == "target")
            writer.write(1, "events", tagged.accepted)
            rejected.append(tagged.rejected)
            tag_rows = tagged.accepted.num_rows
        if layout.users and (src / layout.users).is_file():
            users = _users(src / layout.users)
            writer.write(1, "users", users.accepted)
            rejected.append(users.rejected)
        rows = {table: count for (_, table), count in writer.rows.items()}
        with DeadLetterWriter(writer.staging / "rejected") as dead:
            dead.write(pa.concat_tables(rejected).cast(REJECTED_SCHEMA))
        counted = report(dead.counts, rows, writer.staging / "rejected", shown=writer.path / "rejected")
        summary = {
            "source": f"MovieLens {layout.name}",
            "rows": rows,
            "ratings": ratings.accepted.num_rows,
            "users": len(pc.unique(ratings.accepted["user_id"])),
            "tags": tag_rows,
            "tags_used_as": tags,
            "tags_note": TAG_NOTE,
            "image_vectors": item_rows.num_rows - item_rows["image_vector"].null_count if extras.has_vectors else 0,
            "texts": item_rows.num_rows - item_rows["text"].null_count if extras.texts else 0,
            "rejected": counted["rejected"],
        }
        writer.write_json("prepare.json", summary)
    return summary


def find_layout(src: Path) -> tuple[Layout, Path]:
    """Tells which form of MovieLens a folder holds.

    Returns:
      The layout and the path of its ratings.

    Raises:
      DatasetError: none or several; the message lists what was looked for and what is there.
    """
    found = [
        (layout, src / name)
        for layout in LAYOUTS
        for name in layout.ratings
        if (src / name).is_file() and (src / layout.movies).is_file()
    ]
    if len(found) == 1:
        return found[0]
    wanted = "; ".join(f"{' or '.join(layout.ratings)} with {layout.movies} ({layout.name})" for layout in LAYOUTS)
    if found:
        names = ", ".join(path.name for _, path in found)
        raise DatasetError(f"{src} holds more than one set of ratings ({names}); keep one in the folder.")
    there = ", ".join(sorted(child.name for child in src.iterdir())[:20]) if src.is_dir() else "not a folder"
    raise DatasetError(
        f"{src} is not an unpacked MovieLens folder. Looked for {wanted}. Found there: {there or 'nothing'}."
    )


def _read(path: Path, columns: tuple[str, ...], table: str, fields: tuple[str, ...] = ()) -> Checked:
    """`columns` of a CSV file, or of a `::` file whose fields are `fields` (or just `columns`)."""
    if path.suffix == ".csv":
        return read_csv(path, columns, table)
    return read_delimited(path, fields or columns, table)


def _movies(path: Path) -> Checked:
    rows = parse_numbers(_read(path, ("movieId", "title", "genres"), "items"), ("movieId",), (), "items")
    data = rows.accepted
    whole = data["title"].combine_chunks()
    # flatten() gives null fields where nothing matched.
    matched, year = pc.extract_regex(whole, _YEAR).flatten()
    title = pc.coalesce(matched, whole)
    items = {
        "item_id": data["movieId"],
        "title": pc.utf8_trim_whitespace(title),
        "attributes": _genres(data["genres"].combine_chunks()),
        "numeric_year": year.cast(pa.float32()),
    }
    return Checked(pa.table(items), rows.rejected)


def _genres(genres: pa.Array) -> pa.ListArray:
    """`Comedy|Drama` -> [`genre=Comedy`, `genre=Drama`]; no genres, an empty list."""
    none = pc.or_(pc.equal(genres, _NO_GENRES), pc.equal(genres, ""))
    lists = pc.split_pattern(genres, "|")
    named = pc.binary_join_element_wise("genre", lists.flatten(), "=")
    every = pa.ListArray.from_arrays(lists.offsets, named)
    return pc.if_else(none, pa.scalar([], every.type), every)


def _with_extras(items: pa.Table, extras: ItemExtras) -> pa.Table:
    ids = items["item_id"].to_pylist()
    if extras.has_vectors:
        items = items.append_column("image_vector", extras.vectors_of(ids))
    if extras.texts:
        items = items.append_column("text", pa.array([extras.texts.get(i) for i in ids], pa.string()))
    return items


def _ratings(path: Path) -> Checked:
    columns = ("userId", "movieId", "rating", "timestamp")
    rows = parse_numbers(_read(path, columns, "events"), ("userId", "movieId"), ("rating", "timestamp"), "events")
    return Checked(_events(rows.accepted, "browse", None, "rate", True), rows.rejected)


def _tags(path: Path, target: bool) -> Checked:
    columns = ("userId", "movieId", "tag", "timestamp")
    rows = parse_numbers(_read(path, columns, "events"), ("userId", "movieId"), ("timestamp",), "events")
    return Checked(_events(rows.accepted, "search", rows.accepted["tag"], "tag", target), rows.rejected)


def _events(data: pa.Table, kind: str, query: pa.ChunkedArray | None, action: str, target: bool) -> pa.Table:
    count = data.num_rows
    seconds = data["timestamp"].to_numpy()
    return pa.table(
        {
            "user_id": data["userId"],
            # Order within a second is the file's: ingestion sorts by time and keeps the order of equals.
            "timestamp": pa.array(np.round(seconds * 1000.0).astype(np.int64)),
            "kind": pa.array([kind]).take(pa.array(np.zeros(count, np.int64))),
            "query": pa.nulls(count, pa.string()) if query is None else pc.utf8_trim_whitespace(query),
            "item_id": data["movieId"],
            "action": pa.array([action]).take(pa.array(np.zeros(count, np.int64))),
            "is_target": pa.array(np.full(count, target)),
        }
    )


def _users(path: Path) -> Checked:
    columns = ("userId", "gender", "age", "occupation")
    rows = parse_numbers(_read(path, columns, "users", (*columns, "zip")), ("userId",), (), "users")
    data = rows.accepted
    named = [
        pc.binary_join_element_wise(name, pc.utf8_trim_whitespace(data[name]), "=").to_pylist() for name in columns[1:]
    ]
    attributes = pa.array([list(row) for row in zip(*named)], pa.list_(pa.string()))
    return Checked(pa.table({"user_id": data["userId"], "attributes": attributes}), rows.rejected)
