"""Text rules that ingestion, Transform and the served graph must share, in Python, Arrow and TensorFlow ops."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

import seminar_tf  # noqa: F401  (settles Keras before TensorFlow loads)

# isort: split
import tensorflow as tf

# Exactly what str.split() takes for white space, so that all versions of the rule agree on every string.
_WHITE_SPACE = r"[\x09-\x0d\x1c-\x20\x{85}\p{Z}]+"
# Marks belong to the letter before them: without \p{M} a decomposed accent or a Devanagari vowel would cut words.
_NO_WORD = r"[^\p{L}\p{N}\p{M}]+"


def normalise_text(text: str) -> str:
    """A query, or an attribute, as it is stored: ends stripped, each run of white space one space."""
    return " ".join(text.split())


def normalise_array(text: pa.Array) -> pa.Array:
    """`normalise_text` of an Arrow array of strings."""
    return pc.utf8_trim(pc.replace_substring_regex(text, _WHITE_SPACE, " "), " ")


def normalise_tensor(text: tf.Tensor) -> tf.Tensor:
    """`normalise_text` in TensorFlow ops.

    Args:
      text: UTF-8 strings of any shape.

    Returns:
      Strings of the same shape.
    """
    return tf.strings.strip(tf.strings.regex_replace(text, _WHITE_SPACE, " "))


def tokens(text: tf.Tensor) -> tf.RaggedTensor:
    """Words of a text: lower case, cut at whatever is no Unicode letter, digit or mark.

    Args:
      text: (n,) UTF-8 strings.

    Returns:
      (n, None) strings, none of them empty.
    """
    words = tf.strings.regex_replace(tf.strings.lower(text, encoding="utf-8"), _NO_WORD, " ")
    return tf.strings.split(tf.strings.strip(words))
