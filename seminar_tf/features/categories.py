"""Categories of items: those of their attributes that start with a prefix (docs/data.md)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seminar_tf.features import names
from seminar_tf.features.tables import ItemFeatures


def item_categories(items: ItemFeatures, attributes: Sequence[str], prefix: str) -> np.ndarray:
    """Category ids by item id.

    Args:
      items: the catalog's features.
      attributes: the attribute vocabulary, in id order.
      prefix: of the attributes that are categories, such as "category=".

    Returns:
      (V, C) int64, C being the most categories that any item has; ids count from 1, 0 is padding.

    Raises:
      ValueError: no item has such an attribute.
    """
    of_attribute = np.zeros(max(int(items.attributes.max(initial=0)), len(attributes)) + 1, np.int64)
    found = [n for n, text in enumerate(attributes, names.FIRST_ATTRIBUTE_ID) if text.startswith(prefix)]
    of_attribute[found] = np.arange(1, len(found) + 1)
    # Sorted from the largest, so that padding comes last.
    columns = -np.sort(-of_attribute[items.attributes], axis=1)
    width = int((columns > 0).sum(axis=1).max(initial=0))
    if not width:
        known = sorted({text.split("=")[0] + "=" for text in attributes})[:20]
        raise ValueError(
            f"config key model.rivals.category_prefix: no item attribute starts with {prefix!r}. The vocabulary's "
            f"attributes start with {', '.join(known) or 'nothing: it is empty'}."
        )
    return np.ascontiguousarray(columns[:, :width])
