"""Row counts of the id spaces, read from the vocabulary files that Transform wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from seminar_tf.config import FeatureConfig
from seminar_tf.features import names


@dataclass(frozen=True)
class FeatureSizes:
    """Rows of each id space: padding (and the empty query), vocabulary, OOV buckets. Ids lie in [0, rows).

    Attributes:
      items, queries, tokens, attributes: rows of an embedding table over these ids.
    """

    items: int
    queries: int
    tokens: int
    attributes: int


def vocabulary_path(transform_dir: str | Path, name: str) -> Path:
    """The file of vocabulary `name` (names.ITEM_VOCABULARY, ...) in a TransformGraph artifact's folder."""
    return Path(transform_dir) / "transform_fn" / "assets" / name


def read_vocabulary(transform_dir: str | Path, name: str) -> list[str]:
    """Entries of a vocabulary, in id order.

    Raises:
      FileNotFoundError: the folder holds no such vocabulary; the message names the path.
    """
    path = vocabulary_path(transform_dir, name)
    if not path.exists():
        raise FileNotFoundError(f"vocabulary {name!r} is not at {path}: is this a TransformGraph artifact's folder?")
    return read_entries(path)


def read_entries(path: str | Path) -> list[str]:
    """Lines of a vocabulary file, in id order."""
    # Not splitlines(): a query may hold U+2028 and the like, which are not line ends here.
    text = Path(path).read_bytes().decode("utf-8")
    return text.removesuffix("\n").split("\n") if text else []


def feature_sizes(transform_dir: str | Path, config: FeatureConfig) -> FeatureSizes:
    """Counts rows of each id space.

    Args:
      transform_dir: folder of the TransformGraph artifact.
      config: the OOV buckets that Transform used.
    """

    def rows(name: str, first: int, oov: int) -> int:
        return first + len(read_vocabulary(transform_dir, name)) + oov

    return FeatureSizes(
        items=rows(names.ITEM_VOCABULARY, names.FIRST_ITEM_ID, config.item_oov_buckets),
        queries=rows(names.QUERY_VOCABULARY, names.FIRST_QUERY_ID, config.query_oov_buckets),
        tokens=rows(names.TOKEN_VOCABULARY, names.FIRST_TOKEN_ID, config.token_oov_buckets),
        attributes=rows(names.ATTRIBUTE_VOCABULARY, names.FIRST_ATTRIBUTE_ID, config.attribute_oov_buckets),
    )
