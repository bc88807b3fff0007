"""Categories of items from their attributes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from seminar_tf.features.categories import item_categories
from seminar_tf.features.tables import ItemFeatures

ATTRIBUTES = ["genre=Drama", "author=17", "genre=Comedy", "genres=no", "genre=War"]


def _items(attributes: list[list[int]]) -> ItemFeatures:
    rows = len(attributes)
    plain = ItemFeatures.counted(np.ones(rows, bool), np.zeros(rows, np.int64))
    return dataclasses.replace(plain, attributes=np.array(attributes, np.int32))


def test_attributes_with_the_prefix_are_categories() -> None:
    # 6 and 7 are OOV buckets.
    items = _items([[0, 0, 0], [2, 1, 0], [3, 5, 1], [4, 6, 7], [2, 0, 3]])
    found = item_categories(items, ATTRIBUTES, "genre=")
    assert found.dtype == np.int64
    assert [set(row) - {0} for row in found.tolist()] == [set(), {1}, {1, 2, 3}, set(), {2}]
    assert item_categories(items, ATTRIBUTES, "author=").shape == (5, 1)


@pytest.mark.parametrize("attributes", [ATTRIBUTES, []])
def test_a_prefix_that_no_item_has_is_told_with_those_there_are(attributes: list[str]) -> None:
    with pytest.raises(ValueError, match=r"model\.rivals\.category_prefix: no item attribute starts with 'category='"):
        item_categories(_items([[0, 1], [2, 3]]), attributes, "category=")
