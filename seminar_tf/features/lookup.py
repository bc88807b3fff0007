"""Strings to ids in the served graph: the same vocabularies, OOV buckets and text rules as Transform.

Tables are built from the vocabulary files of a TransformGraph and are tracked, files included, so that a tf.Module
that holds an `IdLookup` exports them as assets of its SavedModel.
"""

from __future__ import annotations

from pathlib import Path

import seminar_tf  # noqa: F401  (settles Keras before TensorFlow loads)

# isort: split
import tensorflow as tf

from seminar_tf.config import FeatureConfig
from seminar_tf.features import names, text
from seminar_tf.features.vocabulary import vocabulary_path


class IdLookup(tf.Module):
    """Maps strings to the ids that Transform gives them.

    Attributes:
      config: the vocabulary settings that Transform used.
    """

    def __init__(self, transform_dir: str | Path, config: FeatureConfig) -> None:
        """Args:
          transform_dir: folder of the TransformGraph artifact.
          config: OOV buckets and widths.

        Raises:
          FileNotFoundError: the folder holds no such vocabulary.
        """
        super().__init__(name="id_lookup")
        self.config = config
        self._items = _table(transform_dir, names.ITEM_VOCABULARY, config.item_oov_buckets)
        self._queries = _table(transform_dir, names.QUERY_VOCABULARY, config.query_oov_buckets)
        self._attributes = _table(transform_dir, names.ATTRIBUTE_VOCABULARY, config.attribute_oov_buckets)
        self._tokens = _table(transform_dir, names.TOKEN_VOCABULARY, config.token_oov_buckets)

    def items(self, item: tf.Tensor) -> tf.Tensor:
        """Item ids.

        Args:
          item: strings of any shape; empty is padding.

        Returns:
          int32 ids of the same shape; 0 is padding.
        """
        return _ids(self._items, item, names.FIRST_ITEM_ID)

    def queries(self, query: tf.Tensor) -> tf.Tensor:
        """Query ids of requests, one a request: white space is brought to its stored form first.

        Args:
          query: strings of any shape; empty is browsing.

        Returns:
          int32 ids of the same shape; 1 is the empty query. There is no padding among them.
        """
        stored = text.normalise_tensor(query)
        known = tf.cast(self._queries.lookup(stored), tf.int32) + names.FIRST_QUERY_ID
        return tf.where(tf.equal(stored, ""), names.EMPTY_QUERY_ID, known)

    def history_queries(self, query: tf.Tensor, item: tf.Tensor) -> tf.Tensor:
        """Query ids of histories, where padding is known by the empty item.

        Args:
          query: strings of any shape.
          item: strings of the same shape.

        Returns:
          int32 ids of the same shape; 0 where the item is empty, 1 where only the query is.
        """
        return tf.where(tf.equal(item, ""), names.PADDING_ID, self.queries(query))

    def attributes(self, attribute: tf.Tensor) -> tf.Tensor:
        """Attribute ids of `name=value` strings of any shape, as int32; empty is padding, 0."""
        return _ids(self._attributes, text.normalise_tensor(attribute), names.FIRST_ATTRIBUTE_ID)

    def tokens(self, texts: tf.Tensor, width: int) -> tf.Tensor:
        """Token ids of texts.

        Args:
          texts: (n,) strings.
          width: T, tokens kept of each.

        Returns:
          (n, T) int32, 0 is padding.
        """
        words = text.tokens(texts)[:, :width]
        ids = words.with_values(tf.cast(self._tokens.lookup(words.values), tf.int32) + names.FIRST_TOKEN_ID)
        return ids.to_tensor(names.PADDING_ID, shape=[None, width])


def _table(transform_dir: str | Path, name: str, buckets: int) -> tf.lookup.StaticVocabularyTable:
    path = vocabulary_path(transform_dir, name)
    if not path.exists():
        raise FileNotFoundError(f"vocabulary {name!r} is not at {path}: is this a TransformGraph artifact's folder?")
    initializer = tf.lookup.TextFileInitializer(
        str(path),
        key_dtype=tf.string,
        key_index=tf.lookup.TextFileIndex.WHOLE_LINE,
        value_dtype=tf.int64,
        value_index=tf.lookup.TextFileIndex.LINE_NUMBER,
    )
    return tf.lookup.StaticVocabularyTable(initializer, num_oov_buckets=buckets)


def _ids(table: tf.lookup.StaticVocabularyTable, values: tf.Tensor, first: int) -> tf.Tensor:
    known = tf.cast(table.lookup(values), tf.int32) + first
    return tf.where(tf.equal(values, ""), names.PADDING_ID, known)
