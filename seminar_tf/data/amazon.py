"""Amazon reviews of one category, releases of 2018 and 2023, as a canonical dataset.

A review is a browse event of the product's page: implicit feedback, whatever its stars. The data records no queries,
and none are made up: a query made of the reviewed product's own description, as some have done, would tell the model
what the target is.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from seminar_tf.data import amazon_rows
from seminar_tf.data.adapter_output import AdapterOutput
from seminar_tf.data.amazon_rows import RELEASES, Release
from seminar_tf.data.dataset import DatasetError
from seminar_tf.data.image_features import ImageFeatures
from seminar_tf.data.json_stream import read_batches

logger = logging.getLogger(__name__)

_BARE_ROWS = 20_000
# Vectors of 16 KiB: fewer products at a time.
_ROWS_WITH_VECTORS = 4_096


def prepare(
    src: str | Path,
    out: str | Path,
    *,
    overwrite: bool = False,
    reviews: Path | None = None,
    meta: Path | None = None,
    image_features: Path | None = None,
    find_images: bool = True,
    image_dim: int = 0,
    min_rating: float = 0.0,
) -> dict[str, Any]:
    """Writes a folder of Amazon reviews as a canonical dataset of one span.

    Memory grows with the ids of users and items, and not with the reviews.

    Args:
      src: the folder with the review file, the meta file and perhaps image features, as published (.gz or unpacked).
      out: the dataset's folder; rows that cannot be read go to `out/rejected`.
      overwrite: replace a dataset that is already in `out`.
      reviews: the review file; None looks for one in `src`.
      meta: the metadata file; None looks for one in `src`.
      image_features: the .b file; None looks for one in `src`.
      find_images: whether to look.
      image_dim: width that image features are projected to; 0 keeps all 4,096.
      min_rating: reviews with fewer stars are left out; 0 keeps all.

    Returns:
      What was written: release, rows by table, users, reviews left out, items without metadata, image features, and
      rejected rows by table and reason. The same is in `out/prepare.json`.

    Raises:
      DatasetError: a file is missing, ambiguous, unreadable or of another layout, or `out` is in use.
    """
    if not 0 <= min_rating <= 5:
        raise DatasetError(f"min rating: expected 0 to 5, found {min_rating}.")
    src = Path(src)
    release, meta = find_meta(src, meta)
    reviews = reviews or _only(src, _reviews_in(src, release), f"reviews (*{release.suffix} or .gz)", "--reviews")
    if image_features is None and find_images:
        found = sorted(src.glob("*.b"))
        image_features = _only(src, found, "image features (*.b)", "--image-features") if found else None
    images = ImageFeatures(image_features, image_dim) if image_features else None
    with AdapterOutput(out, overwrite) as output:
        written = left_out = 0
        required = (release.user, release.item, release.time)
        for batch in read_batches(reviews, release.review_fields, required, "events"):
            output.reject(batch.rejected)
            events, below = amazon_rows.reviews(batch.accepted, release, min_rating)
            output.reject(events.rejected)
            output.events(events.accepted)
            written += events.accepted.num_rows
            left_out += below
        logger.info("%s: %d events, %d reviews below %s stars", reviews, written, left_out, min_rating)
        step = _ROWS_WITH_VECTORS if images else _BARE_ROWS
        for batch in read_batches(meta, release.product_fields, (release.meta_item,), "items"):
            output.reject(batch.rejected)
            for start in range(0, batch.accepted.num_rows, step):
                made = amazon_rows.products(batch.accepted.slice(start, step), release, images)
                output.reject(made.rejected)
                output.catalog(made.accepted)
        without = output.seen_items.without(output.items)
        for start in range(0, len(without), step):
            output.catalog(amazon_rows.bare_products(without.slice(start, step), images))
        counts = {
            "release": release.name,
            "reviews": written,
            "reviews_below_min_rating": left_out,
            "items_without_metadata": len(without),
            "image_features": {"records": len(images), "dim": images.dim} if images else None,
        }
        return output.finish(f"Amazon reviews {release.name}, {reviews.name}", counts)


def find_meta(src: Path, meta: Path | None = None) -> tuple[Release, Path]:
    """Tells the release by the metadata file: meta_*.json is of 2018, meta_*.jsonl of 2023, packed or not.

    Args:
      src: folder that is looked through.
      meta: the file, if named.

    Raises:
      DatasetError: none or several, or a name that tells no release.
    """
    if meta is not None:
        releases = [r for r in RELEASES if meta.name.removesuffix(".gz").endswith(r.suffix)]
        if not releases:
            raise DatasetError(f"{meta}: expected a name that ends in .json (2018) or .jsonl (2023), or so and .gz.")
        return releases[0], meta
    if not src.is_dir():
        raise DatasetError(f"{src} is not a folder; expected one with an Amazon review file and its meta file.")
    found = [(release, path) for release in RELEASES for path in _named(src, release) if path.name.startswith("meta_")]
    path = _only(src, [path for _, path in found], "metadata (meta_*.json or meta_*.jsonl, or .gz)", "--meta")
    return next(pair for pair in found if pair[1] == path)


def _named(src: Path, release: Release) -> list[Path]:
    return sorted(p for p in src.iterdir() if p.is_file() and p.name.removesuffix(".gz").endswith(release.suffix))


def _reviews_in(src: Path, release: Release) -> list[Path]:
    return [p for p in _named(src, release) if not p.name.startswith("meta_")] if src.is_dir() else []


def _only(src: Path, found: list[Path], what: str, option: str) -> Path:
    if len(found) == 1:
        return found[0]
    there = ", ".join(path.name for path in found) or "none"
    raise DatasetError(f"{src}: expected one file of {what}, found {there}. Name it with {option} FILE.")
