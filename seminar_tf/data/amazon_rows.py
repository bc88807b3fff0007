"""Lines of the Amazon review files, 2018 and 2023, as rows of the canonical tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seminar_tf.data.attribute_lists import attribute_lists
from seminar_tf.data.image_features import ImageFeatures
from seminar_tf.data.masks import as_mask, blank
from seminar_tf.data.rejection import (
    MISSING_ITEM_ID,
    MISSING_TIMESTAMP,
    MISSING_USER_ID,
    PROVENANCE,
    UNPARSABLE_ROW,
    Checked,
)
from seminar_tf.data.row_faults import LAST_MS, Fault, drop_faulty, matches, report_fields

_TEXTS = pa.list_(pa.string())


@dataclass(frozen=True)
class Release:
    """Names of one release of the reviews.

    Attributes:
      name: for messages.
      suffix: of the files, before .gz.
      user, item, time, rating: fields of a review.
      ms: milliseconds in a unit of `time`.
      meta_item, brand: fields of a product.
      texts: a product's fields that make its text, in order.
      categories: a product's field of categories.
      price: type of a product's price.
    """

    name: str
    suffix: str
    user: str
    item: str
    time: str
    rating: str
    ms: int
    meta_item: str
    brand: str
    texts: tuple[str, ...]
    categories: str
    price: pa.DataType

    @property
    def review_fields(self) -> dict[str, pa.DataType]:
        """Fields of a review that are read, all of them required but the rating."""
        return {self.user: pa.string(), self.item: pa.string(), self.time: pa.int64(), self.rating: pa.float64()}

    @property
    def product_fields(self) -> dict[str, pa.DataType]:
        """Fields of a product that are read; the id is required."""
        texts = dict.fromkeys((*self.texts, self.categories), _TEXTS)
        return {self.meta_item: pa.string(), "title": pa.string(), self.brand: pa.string(), "price": self.price} | texts


RELEASES = (
    Release(
        "2018", ".json", "reviewerID", "asin", "unixReviewTime", "overall", 1000,
        "asin", "brand", ("description",), "category", pa.string(),
    ),
    Release(
        "2023", ".jsonl", "user_id", "parent_asin", "timestamp", "rating", 1,
        "parent_asin", "store", ("description", "features"), "categories", pa.float64(),
    ),
)  # fmt: skip


def reviews(rows: pa.Table, release: Release, min_rating: float) -> tuple[Checked, int]:
    """Reviews as browse events; the data has no queries.

    Args:
      rows: `release.review_fields` and PROVENANCE.
      release: what the fields are called.
      min_rating: reviews with fewer stars are left out; 0 keeps all, those without stars too.

    Returns:
      Events and dead letters; how many sound reviews were left out.
    """
    time = rows[release.time]
    faults = [
        Fault(MISSING_USER_ID, release.user, blank(rows[release.user])),
        Fault(MISSING_ITEM_ID, release.item, blank(rows[release.item])),
        Fault(MISSING_TIMESTAMP, release.time, as_mask(pc.is_null(time))),
        Fault(UNPARSABLE_ROW, release.time, as_mask(pc.greater(pc.abs(time), LAST_MS // release.ms))),
    ]
    if min_rating:
        faults.append(Fault(UNPARSABLE_ROW, release.rating, as_mask(pc.is_null(rows[release.rating]))))
    sound = drop_faulty(rows, faults, "events")
    data = sound.accepted
    if min_rating:
        data = data.filter(pc.greater_equal(data[release.rating], min_rating))
    count = data.num_rows
    events = {
        "user_id": pc.utf8_trim_whitespace(data[release.user]),
        "timestamp": pc.multiply(data[release.time], release.ms),
        "kind": _repeated("browse", count),
        "query": pa.nulls(count, pa.string()),
        "item_id": pc.utf8_trim_whitespace(data[release.item]),
        "action": _repeated("review", count),
    }
    made = pa.table(events | {name: data[name] for name in PROVENANCE})
    return Checked(made, sound.rejected), sound.accepted.num_rows - count


def products(rows: pa.Table, release: Release, images: ImageFeatures | None) -> Checked:
    """Product metadata as items: title, description as text, categories and brand as attributes, price as a number.

    A title that holds `getTime` is a piece of a web page's script, as the data's own page warns; a price such as
    `$5.99 - $12.99` is none. Both are `bad_field`: the item stays without them.

    Args:
      rows: `release.product_fields` and PROVENANCE.
      release: what the fields are called.
      images: vectors by item id, if any.
    """
    item = rows[release.meta_item]
    faults = [
        Fault(MISSING_ITEM_ID, release.meta_item, blank(item)),
        Fault(UNPARSABLE_ROW, release.meta_item, matches(item, r"[\r\n]")),
    ]
    sound = drop_faulty(rows, faults, "items")
    data = sound.accepted
    script = matches(data["title"], "getTime")
    price, unread = _prices(data["price"])
    letters = report_fields(data, [Fault("", "title", script), Fault("", "price", unread)], "items")
    attributes = [("category", data[release.categories]), ("brand", data[release.brand])]
    made = {
        "item_id": pc.utf8_trim_whitespace(data[release.meta_item]),
        "title": data["title"].take(pa.array(np.arange(data.num_rows), mask=script)),
        "text": _text([data[name] for name in release.texts]),
        "attributes": attribute_lists(attributes, data.num_rows),
        "numeric_price": price,
    }
    return Checked(_with_vectors(made, images), pa.concat_tables([sound.rejected, letters]))


def bare_products(ids: pa.Array, images: ImageFeatures | None) -> pa.Table:
    """Items that were reviewed and have no metadata."""
    count = len(ids)
    made = {
        "item_id": ids,
        "title": pa.nulls(count, pa.string()),
        "text": pa.nulls(count, pa.string()),
        "attributes": attribute_lists([], count),
        "numeric_price": pa.nulls(count, pa.float32()),
    }
    return _with_vectors(made, images)


def _with_vectors(made: dict[str, pa.Array], images: ImageFeatures | None) -> pa.Table:
    return pa.table(made if images is None else made | {"image_vector": images.vectors_of(made["item_id"])})


def _text(columns: list[pa.ChunkedArray]) -> pa.ChunkedArray:
    """Lists of texts joined by spaces, columns in order; null where all are empty."""
    joined = [pc.fill_null(pc.binary_join(column, " "), "") for column in columns]
    text = pc.utf8_trim_whitespace(pc.binary_join_element_wise(*joined, " "))
    empty = as_mask(pc.equal(text, ""))
    return text.take(pa.array(np.arange(len(text)), mask=empty))


def _prices(column: pa.ChunkedArray) -> tuple[pa.Array | pa.ChunkedArray, np.ndarray]:
    """Prices as float32, null where there is none; (rows,) bool: a text that is no single price."""
    if pa.types.is_floating(column.type):
        return column.cast(pa.float32()), np.zeros(len(column), bool)
    single = matches(column, r"^\s*\$?\s*[0-9][0-9,]{0,14}(\.[0-9]+)?\s*$")
    digits = pc.replace_substring_regex(column, r"[$,\s]", "")
    known = digits.take(pa.array(np.arange(len(column)), mask=~single))
    return known.cast(pa.float32()), ~single & ~blank(column)


def _repeated(value: str, rows: int) -> pa.Array:
    return pa.array([value]).take(pa.array(np.zeros(rows, np.int64)))
